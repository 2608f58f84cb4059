//! The tasks that a pipeline can name: ours, and those that its file defines.

use std::sync::Arc;

use promot_data::task::{CustomTask, TaskRef, find_task, tasks};

/// Tasks by name.
#[derive(Clone, Debug, Default)]
pub struct TaskSet {
    custom: Vec<Arc<CustomTask>>,
    /// Names of definitions that have problems: known, so that using them is no further problem.
    broken: Vec<String>,
}

impl TaskSet {
    pub(super) fn add(&mut self, task: CustomTask) {
        self.custom.push(Arc::new(task));
    }

    pub(super) fn add_broken(&mut self, name: &str) {
        self.broken.push(name.to_owned());
    }

    /// Whether the file defines a task of this name, with or without problems.
    pub(super) fn is_broken(&self, name: &str) -> bool {
        self.broken.iter().any(|other| other == name)
    }

    /// The task called `name`.
    pub fn find(&self, name: &str) -> Option<TaskRef> {
        match self.custom(name) {
            Some(task) => Some(task.clone()),
            None => find_task(name),
        }
    }

    /// The task called `name`, if the file defines it.
    pub fn custom(&self, name: &str) -> Option<&Arc<CustomTask>> {
        let mut custom = self.custom.iter();
        custom.find(|task| task.definition().name == name)
    }

    /// All names, those of the file first.
    pub fn names(&self) -> Vec<&str> {
        let custom = self
            .custom
            .iter()
            .map(|task| task.definition().name.as_str());
        let broken = self.broken.iter().map(String::as_str);
        let ours = tasks().iter().map(|task| task.name());
        custom.chain(broken).chain(ours).collect()
    }
}

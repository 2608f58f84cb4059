//! Collects the rows that a file's reader finds: picks a task's fields and checks them.

use std::path::Path;

use serde_json::{Map, Value};

use super::Mapping;
use crate::record::{FieldError, Record};
use crate::task::Task;

/// Rows so far, and what a row must have.
pub(super) struct Rows<'a> {
    task: &'a dyn Task,
    mapping: &'a Mapping,
    limit: Option<usize>,
    records: Vec<Record>,
}

impl<'a> Rows<'a> {
    /// None yet, of at most `limit` if there is one.
    pub(super) fn new(task: &'a dyn Task, mapping: &'a Mapping, limit: Option<usize>) -> Self {
        Self {
            task,
            mapping,
            limit,
            records: Vec::new(),
        }
    }

    /// Whether no more are wanted.
    pub(super) fn are_enough(&self) -> bool {
        self.limit.is_some_and(|limit| self.records.len() >= limit)
    }

    /// The task's fields and the columns that they are read from.
    pub(super) fn columns(&self) -> Vec<(&str, &str)> {
        let fields = self.task.fields().into_iter();
        fields
            .map(|field| (field, self.mapping.column(field)))
            .collect()
    }

    /// That the column of `field` is not among those called `names`.
    pub(super) fn absent(&self, field: &str, names: &[String]) -> FieldError {
        self.mapping.absent(field, names)
    }

    /// Adds the row at `place` (a line, or a row) of a file.
    ///
    /// # Errors
    /// If a field is missing, or the task cannot use it.
    pub(super) fn push(
        &mut self,
        path: &Path,
        place: usize,
        columns: &Map<String, Value>,
    ) -> Result<(), FieldError> {
        let mut fields = Map::new();
        for field in self.task.fields() {
            fields.insert(field.to_owned(), self.mapping.value(field, columns)?);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let record = Record::new(format!("{name}:{place}"), fields);
        self.task.render(&record)?;
        self.records.push(record);
        Ok(())
    }

    /// What was collected.
    pub(super) fn into_records(self) -> Vec<Record> {
        self.records
    }
}

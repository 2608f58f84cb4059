//! What is needed to repeat a run and to know that it is the same one.

use promot_core::Digest;
use serde::{Deserialize, Serialize};

use crate::plan::{BaseModel, DataSource, Plan, StageKind};

/// What a report's numbers were computed from. Nothing of it depends on the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The program's version.
    pub version: String,
    /// The kind of device: `cpu` or `cuda`.
    pub device: String,
    /// The pretrained model, unless the pipeline makes its own.
    pub base: Option<CardBase>,
    /// Files with rows; rows of the mini world are part of the program.
    pub data: Vec<CardFiles>,
    /// The stages with their keys, every one after its inputs.
    pub stages: Vec<CardStage>,
    /// The command that repeats it, where one was given.
    pub command: Option<String>,
}

/// The pretrained model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardBase {
    /// Its name; of a directory the last part.
    pub name: String,
    /// Digest of its files; of a model of the hub it stands for the commit.
    pub digest: Digest,
}

/// Files of one split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardFiles {
    /// The stage that reads them.
    pub stage: String,
    /// The task whose rows they are.
    pub task: String,
    /// `train`, `validation` or `test`.
    pub split: String,
    /// Digest of their content; of files of the hub it stands for commit and names.
    pub digest: Digest,
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardStage {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: String,
    /// Digest of all that determines its artifact.
    pub key: Digest,
}

impl Card {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut data = Vec::new();
        for stage in plan.stages() {
            if let StageKind::Data(params) = &stage.kind {
                files(&stage.name, &params.task, &params.source, &mut data);
            }
            let measured = stage.kind.evaluation().map(|params| &params.tasks);
            let foreign = stage
                .kind
                .train()
                .into_iter()
                .flat_map(|train| train.foreign_tasks());
            for task in measured.into_iter().flatten().chain(foreign) {
                files(&stage.name, &task.task, &task.source, &mut data);
            }
        }
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: plan.device.device.kind().to_owned(),
            base: plan.base.as_ref().map(|base| CardBase {
                name: base_name(base),
                digest: base.digest(),
            }),
            data,
            stages: plan
                .stages()
                .map(|stage| CardStage {
                    name: stage.name.clone(),
                    kind: stage.kind.name().to_owned(),
                    key: stage.key,
                })
                .collect(),
            command: None,
        }
    }
}

/// Where a directory lies is not told: the same model elsewhere gives the same report.
fn base_name(base: &BaseModel) -> String {
    match base {
        BaseModel::Builtin { name, .. } => format!("builtin:{name}"),
        BaseModel::Directory { path, .. } => path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        BaseModel::Hub { snapshot, .. } => {
            format!("hf:{}@{}", snapshot.repository().id(), snapshot.commit())
        }
    }
}

fn files(stage: &str, task: &str, source: &DataSource, found: &mut Vec<CardFiles>) {
    let DataSource::Files(files) = source else {
        return;
    };
    let splits = [
        ("train", &files.train),
        ("validation", &files.validation),
        ("test", &files.test),
    ];
    for (split, set) in splits {
        found.extend(set.iter().map(|set| CardFiles {
            stage: stage.to_owned(),
            task: task.to_owned(),
            split: split.to_owned(),
            digest: set.digest,
        }));
    }
}

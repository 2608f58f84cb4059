//! From a parsed file to a plan that can be run: names resolved, types checked, keys computed.

mod base_model;
mod checkpoints;
mod compile;
mod curve;
mod device;
mod draw;
mod hub_model;
mod key;
mod params;
mod parsed;
mod read;
mod recipe;
mod references;
mod rehearsal;
mod tasks;
mod why;
mod widths;

pub use compile::compile;
pub use device::{ComputeDevice, DeviceRequest, FoundDevice, UnknownDevice};
pub use params::{
    BaseModel, Checkpoint, CurriculumParams, CurveModel, CurveParams, DataFiles, DataParams,
    DataSource, DrawShots, DriftParams, EvalModel, EvalParams, EvalTask, FileSet, ForeignParams,
    GradientsModel, GradientsParams, LoraTuneParams, MixParams, MixPart, ModelSize,
    ModelTuneParams, OptimizerKind, PretrainParams, PromptTuneParams, Published, PublishedScore,
    RandomPromptParams, SelectBy, SelectParams, StageKind, StopWhen, TrainParams,
};
pub use tasks::TaskSet;
pub use why::{Staleness, staleness};

use std::collections::BTreeMap;

use petgraph::graph::{DiGraph, NodeIndex};
use promot_core::{Digest, Seed};
use promot_data::task::TaskRef;
use promot_model::gemm::Precision;

/// A pipeline that can be run: the only way to one is [`compile`].
#[derive(Debug)]
pub struct Plan {
    /// The pipeline's name.
    pub name: String,
    /// The seed of every random stream.
    pub seed: Seed,
    /// In which numbers matrix products are computed.
    pub precision: Precision,
    /// Where models compute.
    pub device: FoundDevice,
    /// The pretrained model, unless the pipeline makes its own.
    pub base: Option<BaseModel>,
    /// The tasks that stages may name.
    pub tasks: TaskSet,
    graph: DiGraph<Stage, ()>,
    /// Stages in an order in which every stage comes after its inputs.
    order: Vec<NodeIndex>,
}

/// One stage.
#[derive(Debug)]
pub struct Stage {
    /// Its name in the file.
    pub name: String,
    /// What it does.
    pub kind: StageKind,
    /// Digest of everything that determines its artifact.
    pub key: Digest,
    /// What the key was computed from, by path: for telling why a stage has to run again.
    pub facts: BTreeMap<String, String>,
}

impl Plan {
    /// The stages, every one after its inputs.
    pub fn stages(&self) -> impl ExactSizeIterator<Item = &Stage> {
        self.order.iter().map(|&index| &self.graph[index])
    }

    /// The stage called `name`.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages().find(|stage| stage.name == name)
    }

    /// The task called `name`.
    ///
    /// # Panics
    /// If there is none, which compiling has ruled out for the names that stages have.
    pub fn task(&self, name: &str) -> TaskRef {
        self.tasks.find(name).expect("names were resolved")
    }

    /// The rows of a data or mix stage.
    pub fn data_of(&self, on: &str) -> Vec<&DataParams> {
        match self.stage(on).map(|stage| &stage.kind) {
            Some(StageKind::Data(params)) => vec![params],
            Some(StageKind::Mix(params)) => {
                let parts = params.parts.iter();
                parts.flat_map(|part| self.data_of(&part.data)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Names of the stages whose artifacts `name` reads, in the order of the file.
    pub fn inputs(&self, name: &str) -> Vec<&str> {
        let Some(index) = self
            .graph
            .node_indices()
            .find(|&i| self.graph[i].name == name)
        else {
            return Vec::new();
        };
        let mut inputs: Vec<NodeIndex> = self
            .graph
            .neighbors_directed(index, petgraph::Direction::Incoming)
            .collect();
        inputs.sort();
        inputs
            .into_iter()
            .map(|index| self.graph[index].name.as_str())
            .collect()
    }
}

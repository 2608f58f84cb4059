//! What is tuned, what is frozen, and what the optimizer remembers of it.

use std::collections::BTreeMap;

use super::Adapters;
use super::error::TrainError;
use crate::arch::Model;
use crate::backend::Backend;
use crate::checkpoint::NamedTensors;
use crate::graph::Var;
use crate::lora::{AttachedLora, Lora};
use crate::optim::{self, ParameterState};
use crate::prompt::SoftPrompt;

/// What is tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tune {
    /// The model; prompts stay as they are (stage 2, and standard fine-tuning without prompts).
    Model,
    /// The prompts; the model stays as it is (stage 1).
    Prompts,
    /// Both at once (the paper's joint ablation, section 5.5).
    Both,
    /// LoRA's changes of weights; the model stays as it is (stage 1 of section A.3.6).
    Lora,
}

impl Tune {
    pub(super) fn model(self) -> bool {
        matches!(self, Self::Model | Self::Both)
    }

    pub(super) fn prompts(self) -> bool {
        matches!(self, Self::Prompts | Self::Both)
    }
}

/// One tuned tensor: of the model, or a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuned {
    /// The model's parameter of this index.
    Parameter(usize),
    /// The prompt of this index.
    Prompt(usize),
    /// The tensor of LoRA's changes of this index.
    Lora(usize),
}

/// The model and prompts in training.
pub(super) struct Tunables<B: Backend + optim::Kernels> {
    pub(super) model: Model<B>,
    /// Leaves if tuned, else constants.
    pub(super) prompts: Vec<Var<B>>,
    pub(super) lora: Option<AttachedLora<B>>,
    /// What `lora` was attached from.
    lora_start: Option<Lora>,
    pub(super) tuned: Vec<Tuned>,
    pub(super) states: Vec<B::State>,
}

const TUNED: &str = "what is tuned is there";
const VALUE: &str = "value/";
const STATE: &str = "state/";

impl<B: Backend + optim::Kernels> Tunables<B> {
    pub(super) fn new(
        model: Model<B>,
        adapters: &Adapters,
        tune: Tune,
    ) -> Result<Self, TrainError> {
        let lora = adapters.lora.as_ref();
        let lora = lora.map(|lora| lora.attach(&model, tune == Tune::Lora));
        let lora = lora.transpose()?;
        let prompts: Vec<Var<B>> = adapters
            .prompts
            .iter()
            .map(|prompt| {
                let tensor = prompt.to_tensor(model.device());
                if tune.prompts() {
                    Var::leaf(tensor)
                } else {
                    Var::constant(tensor)
                }
            })
            .collect();
        let mut tuned = Vec::new();
        if tune.model() {
            tuned.extend((0..model.parameters().len()).map(Tuned::Parameter));
        }
        if tune.prompts() {
            tuned.extend((0..prompts.len()).map(Tuned::Prompt));
        }
        if let (Tune::Lora, Some(lora)) = (tune, &lora) {
            tuned.extend((0..lora.num_tensors()).map(Tuned::Lora));
        }
        let states = tuned.iter().map(|_| B::State::default()).collect();
        Ok(Self {
            model,
            prompts,
            lora,
            lora_start: adapters.lora.clone(),
            tuned,
            states,
        })
    }

    /// The model as it answers: with LoRA's changes, if there are any.
    pub(super) fn answering_model(&self) -> Result<Model<B>, TrainError> {
        match self.current_lora() {
            Some(lora) => Ok(lora.merged(&self.model)?),
            None => Ok(self.model.clone()),
        }
    }

    /// LoRA's changes with their present values.
    fn current_lora(&self) -> Option<Lora> {
        let mut lora = self.lora_start.clone()?;
        let attached = self.lora.as_ref()?;
        attached.store(self.model.device(), &mut lora);
        Some(lora)
    }

    pub(super) fn prompts(&self) -> &[Var<B>] {
        &self.prompts
    }

    pub(super) fn tensor(&self, tuned: Tuned) -> &B::Tensor {
        match tuned {
            Tuned::Parameter(index) => self.model.parameters().tensor(index),
            Tuned::Prompt(index) => self.prompts[index].tensor(),
            Tuned::Lora(index) => self.lora().tensor(index),
        }
    }

    pub(super) fn set(&mut self, tuned: Tuned, tensor: B::Tensor) {
        match tuned {
            Tuned::Parameter(index) => self.model.parameters_mut().set(index, tensor),
            Tuned::Prompt(index) => self.prompts[index] = Var::leaf(tensor),
            Tuned::Lora(index) => self.lora.as_mut().expect(TUNED).set(index, tensor),
        }
    }

    /// Probability of zeroing what LoRA's changes read: none where they are frozen.
    pub(super) fn lora_dropout(&self) -> f32 {
        let tuned = self.tuned.iter().any(|t| matches!(t, Tuned::Lora(_)));
        let start = self.lora_start.as_ref().filter(|_| tuned);
        start.map_or(0.0, |lora| lora.dropout)
    }

    fn lora(&self) -> &AttachedLora<B> {
        self.lora.as_ref().expect(TUNED)
    }

    fn name(&self, tuned: Tuned) -> String {
        match tuned {
            Tuned::Parameter(index) => self
                .model
                .parameters()
                .iter()
                .nth(index)
                .expect("an index")
                .name
                .clone(),
            Tuned::Prompt(index) => format!("soft_prompt.{index}"),
            Tuned::Lora(index) => format!("lora.{index}"),
        }
    }

    /// The tuned values by name, and with `states` what the optimizer remembers of them.
    pub(super) fn to_tensors(&self, states: bool) -> NamedTensors {
        let device = self.model.device();
        let mut tensors = BTreeMap::new();
        for (&tuned, state) in self.tuned.iter().zip(&self.states) {
            let name = self.name(tuned);
            let tensor = self.tensor(tuned);
            let (rows, columns) = B::shape(tensor);
            let values = device.download(B::slice(tensor));
            tensors.insert(format!("{VALUE}{name}"), (values, vec![rows, columns]));
            if states {
                let vectors = device.download_state(state).vectors;
                for (i, vector) in vectors.into_iter().enumerate() {
                    let dims = vec![vector.len()];
                    tensors.insert(format!("{STATE}{i}/{name}"), (vector, dims));
                }
            }
        }
        tensors
    }

    /// Takes back what [`Tunables::to_tensors`] gave.
    pub(super) fn restore(&mut self, mut tensors: NamedTensors) -> Result<(), TrainError> {
        for i in 0..self.tuned.len() {
            let tuned = self.tuned[i];
            let name = self.name(tuned);
            let shape = B::shape(self.tensor(tuned));
            let expected = || format!("{name} of shape {shape:?}");
            let (values, dims) =
                tensors
                    .remove(&format!("{VALUE}{name}"))
                    .ok_or_else(|| TrainError::OtherRun {
                        found: "no such tensor".to_owned(),
                        expected: expected(),
                    })?;
            if dims != [shape.0, shape.1] {
                return Err(TrainError::OtherRun {
                    found: format!("shape {dims:?}"),
                    expected: expected(),
                });
            }
            let device = self.model.device().clone();
            self.set(tuned, device.tensor(device.upload(values), shape));
            let vectors = (0..)
                .map_while(|v| tensors.remove(&format!("{STATE}{v}/{name}")))
                .map(|(vector, _)| vector)
                .collect();
            self.states[i] = device.upload_state(ParameterState { vectors });
        }
        match tensors.into_keys().next() {
            Some(name) => Err(TrainError::OtherRun {
                found: format!("tensor {name}"),
                expected: "only what is tuned".to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// The adapters with their present values.
    pub(super) fn adapters(&self) -> Adapters {
        let device = self.model.device();
        let prompts = self.prompts.iter();
        Adapters {
            prompts: prompts
                .map(|prompt| SoftPrompt::from_tensor(device, prompt.tensor()))
                .collect(),
            lora: self.current_lora(),
        }
    }

    pub(super) fn into_parts(self) -> (Model<B>, Adapters) {
        let adapters = self.adapters();
        (self.model, adapters)
    }
}

//! A model of any architecture. A further one is a variant here and in [`ModelConfig`].

use promot_core::{Ragged, TokenBatch};

use super::{Changed, Llama, LossOptions, ModelConfig, T5};
use crate::backend::{Backend, Device};
use crate::checkpoint::{CheckpointError, NamedTensors};
use crate::generate::{GenerateOptions, decode};
use crate::graph::{Graph, Var};
use crate::lora::AttachedLora;
use crate::param::ParameterSet;

/// A model on a device.
pub enum Model<D: Device> {
    /// T5, T5 v1.1 and mT5.
    T5(T5<D>),
    /// Llama and models of its shape.
    Llama(Llama<D>),
}

impl<D: Device> Clone for Model<D> {
    /// Shares the memory of all tensors.
    fn clone(&self) -> Self {
        match self {
            Self::T5(model) => Self::T5(model.clone()),
            Self::Llama(model) => Self::Llama(model.clone()),
        }
    }
}

impl<D: Device> From<T5<D>> for Model<D> {
    fn from(model: T5<D>) -> Self {
        Self::T5(model)
    }
}

impl<D: Device> From<Llama<D>> for Model<D> {
    fn from(model: Llama<D>) -> Self {
        Self::Llama(model)
    }
}

impl<B: Backend> Model<B> {
    /// A model from named values; the head is tied if `lm_head.weight` is not among them.
    ///
    /// # Errors
    /// If a tensor is missing, superfluous, or of another shape than the configuration says.
    pub fn from_tensors(
        device: &B,
        config: ModelConfig,
        tensors: NamedTensors,
    ) -> Result<Self, CheckpointError> {
        Ok(match config {
            ModelConfig::T5(config) => T5::from_tensors(device, config, tensors)?.into(),
            ModelConfig::Llama(config) => Llama::from_tensors(device, config, tensors)?.into(),
        })
    }

    /// A copy of the configuration.
    pub fn config(&self) -> ModelConfig {
        match self {
            Self::T5(model) => ModelConfig::T5(model.config().clone()),
            Self::Llama(model) => ModelConfig::Llama(model.config().clone()),
        }
    }

    /// The device that the weights are on.
    pub fn device(&self) -> &B {
        match self {
            Self::T5(model) => model.device(),
            Self::Llama(model) => model.device(),
        }
    }

    /// The weights.
    pub fn parameters(&self) -> &ParameterSet<B> {
        match self {
            Self::T5(model) => model.parameters(),
            Self::Llama(model) => model.parameters(),
        }
    }

    /// The weights, to be tuned.
    pub fn parameters_mut(&mut self) -> &mut ParameterSet<B> {
        match self {
            Self::T5(model) => model.parameters_mut(),
            Self::Llama(model) => model.parameters_mut(),
        }
    }

    /// Whether the head is the embedding table.
    pub fn is_tied(&self) -> bool {
        match self {
            Self::T5(model) => model.is_tied(),
            Self::Llama(model) => model.is_tied(),
        }
    }

    /// The table that embeds input tokens, `(V, D)`.
    pub fn embedding_table(&self) -> &B::Tensor {
        let name = match self {
            Self::T5(_) => super::t5::EMBEDDING,
            Self::Llama(_) => super::llama::EMBEDDING,
        };
        let table = self.parameters().get(name).expect("every model has one");
        &table.tensor
    }

    /// The mean loss over the batch's target tokens, in nats, as a `(1, 1)` variable.
    ///
    /// `prompts` are soft prompts `(P, D)`, which `batch.prompts` refers to; those that are leaves
    /// get gradients.
    ///
    /// # Panics
    /// If there is no target token, or a row of a decoder-only model has neither a soft prompt nor
    /// an input token.
    pub fn loss(
        &self,
        graph: &mut Graph<B>,
        batch: &TokenBatch,
        prompts: &[Var<B>],
        options: &LossOptions,
    ) -> Var<B> {
        self.loss_with(graph, batch, prompts, None, options)
    }

    /// The same with LoRA's changes of some weights, which are tuned if they are leaves.
    pub fn loss_with(
        &self,
        graph: &mut Graph<B>,
        batch: &TokenBatch,
        prompts: &[Var<B>],
        lora: Option<&AttachedLora<B>>,
        options: &LossOptions,
    ) -> Var<B> {
        let changed = lora.map_or_else(Changed::new, |lora| {
            lora.weights(graph, self, options.tune_model, options.lora_dropout)
        });
        match self {
            Self::T5(model) => model.loss(graph, batch, prompts, changed, options),
            Self::Llama(model) => model.loss(graph, batch, prompts, changed, options),
        }
    }

    /// Answers a ragged batch of inputs, each after its soft prompt if `prompt_of` names one: token
    /// ids without those that start and end an answer.
    ///
    /// # Panics
    /// If a decoder-only model gets an input without tokens.
    pub fn generate(
        &self,
        inputs: &Ragged,
        prompts: &[Var<B>],
        prompt_of: &[Option<usize>],
        options: &GenerateOptions,
    ) -> Vec<Vec<u32>> {
        match self {
            Self::T5(model) => {
                let encoded = model.encode(inputs, prompts, prompt_of);
                let starts = vec![model.config().decoder_start_token_id; inputs.len()];
                let ends = [model.config().eos_token_id];
                decode(&mut model.decoder_for(&encoded), &starts, &ends, options)
            }
            Self::Llama(model) => {
                let mut decoder = model.decoder_for(inputs, prompts, prompt_of);
                let last = |row: &[u32]| *row.last().expect("at least one token");
                let starts: Vec<u32> = inputs.rows().map(last).collect();
                let ends = model.config().eos_token_id.all();
                decode(&mut decoder, &starts, ends, options)
            }
        }
    }
}

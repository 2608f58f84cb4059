//! LoRA: low-rank changes of some weights (Hu et al. 2021; paper section A.3.6), tuned in the place
//! of a soft prompt.
//!
//! A changed weight is `W + alpha / rank * B A`, computed once a pass. Nothing in an architecture
//! knows of it; where it is tuned, the other weights of the same sublayer get gradients, too, which
//! nobody takes. Dropout on what `A` reads is therefore the same for all tokens of a pass: it zeroes
//! columns of `A`, where PEFT draws a mask for every token.

use promot_core::Seed;
use rand::Rng as _;

use crate::arch::{Changed, Model};
use crate::backend::{Backend, Device};
use crate::graph::{Graph, Var};
use crate::ops::dropout::{DropoutKey, row_dropout};
use crate::ops::projection::linear_add;
use crate::ops::scale::scale;

/// The change of one weight.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraPair {
    /// The weight's name in a Hugging Face checkpoint.
    pub weight: String,
    /// `A` transposed, `(in_features, rank)` row by row.
    pub a_transposed: Vec<f32>,
    /// `B`, `(out_features, rank)` row by row.
    pub b: Vec<f32>,
}

/// Low-rank changes of a model's weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// Columns of `B` and rows of `A` (r).
    pub rank: usize,
    /// Changes are multiplied with `alpha / rank`.
    pub alpha: f32,
    /// Probability of zeroing an input feature of the changes while they are tuned, in [0, 1).
    pub dropout: f32,
    /// Last parts of the changed modules' names, such as `q` or `q_proj`.
    pub targets: Vec<String>,
    /// The changes, in the order of the model's parameters.
    pub pairs: Vec<LoraPair>,
}

/// Why there is nothing to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoraError {
    /// No linear layer has such a name.
    #[error("no linear layer of the model is called {target:?}; there are {}", layers.join(", "))]
    UnknownTarget {
        /// The name asked for.
        target: String,
        /// The names there are.
        layers: Vec<String>,
    },
    /// An adapter for a model of other sizes.
    #[error("{weight} is {found:?} in the adapter, {expected:?} in the model")]
    Shape {
        /// The weight.
        weight: String,
        /// Rows and columns of the change.
        found: (usize, usize),
        /// Rows and columns of the weight.
        expected: (usize, usize),
    },
    /// An adapter for a model of another kind.
    #[error("the model has no weight {weight}")]
    NoSuchWeight {
        /// The weight that the adapter changes.
        weight: String,
    },
}

/// The last part of a linear layer's name; `None` for embeddings, heads, norms and biases.
fn layer_name(weight: &str) -> Option<&str> {
    let module = weight.strip_suffix(".weight")?;
    let name = module.rsplit('.').next()?;
    let others = [
        "shared",
        "embed_tokens",
        "lm_head",
        "relative_attention_bias",
    ];
    (!others.contains(&name) && !name.ends_with("norm")).then_some(name)
}

impl Lora {
    /// Fresh changes of all linear layers whose names end with one of `targets`, without dropout:
    /// `A` uniform as PyTorch initialises a linear layer of `in_features`, `B` zero, so that nothing
    /// is changed yet.
    ///
    /// # Errors
    /// If a target names no linear layer of the model.
    ///
    /// # Panics
    /// If `rank` is 0.
    pub fn init<B: Backend>(
        model: &Model<B>,
        targets: &[String],
        rank: usize,
        alpha: f32,
        seed: Seed,
    ) -> Result<Self, LoraError> {
        assert!(rank > 0, "at least one column");
        let mut layers: Vec<&str> = Vec::new();
        let mut pairs = Vec::new();
        for parameter in model.parameters().iter() {
            let Some(layer) = layer_name(&parameter.name) else {
                continue;
            };
            if !layers.contains(&layer) {
                layers.push(layer);
            }
            if !targets.iter().any(|target| target == layer) {
                continue;
            }
            let (rows, columns) = B::shape(&parameter.tensor);
            let bound = (columns as f32).powf(-0.5);
            let mut stream = seed.stream(&parameter.name, "initial values of LoRA's A");
            pairs.push(LoraPair {
                weight: parameter.name.clone(),
                a_transposed: (0..columns * rank)
                    .map(|_| stream.random_range(-bound..bound))
                    .collect(),
                b: vec![0.0; rows * rank],
            });
        }
        match targets.iter().find(|t| !layers.contains(&t.as_str())) {
            Some(target) => Err(LoraError::UnknownTarget {
                target: target.clone(),
                layers: layers.into_iter().map(str::to_owned).collect(),
            }),
            None => Ok(Self {
                rank,
                alpha,
                dropout: 0.0,
                targets: targets.to_vec(),
                pairs,
            }),
        }
    }

    /// The changed model: what the adapter does, without an adapter.
    ///
    /// # Errors
    /// If the model lacks one of the weights, or has it in another shape.
    pub fn merged<B: Backend>(&self, model: &Model<B>) -> Result<Model<B>, LoraError> {
        let attached = self.attach(model, false)?;
        let mut graph = Graph::inference(model.device());
        let mut merged = model.clone();
        for (index, weight) in attached.weights(&mut graph, model, false, None) {
            merged.parameters_mut().set(index, weight.tensor().clone());
        }
        Ok(merged)
    }

    /// The changes as variables on the model's device, leaves if they are `tuned`.
    ///
    /// # Errors
    /// As [`Lora::merged`].
    pub fn attach<B: Backend>(
        &self,
        model: &Model<B>,
        tuned: bool,
    ) -> Result<AttachedLora<B>, LoraError> {
        let device = model.device();
        let mut pairs = Vec::with_capacity(self.pairs.len());
        for pair in &self.pairs {
            let Some(parameter) = model.parameters().index_of(&pair.weight) else {
                return Err(LoraError::NoSuchWeight {
                    weight: pair.weight.clone(),
                });
            };
            let expected = B::shape(model.parameters().tensor(parameter));
            let found = (
                pair.b.len() / self.rank,
                pair.a_transposed.len() / self.rank,
            );
            if found != expected {
                return Err(LoraError::Shape {
                    weight: pair.weight.clone(),
                    found,
                    expected,
                });
            }
            let var = |values: &[f32], rows| {
                let tensor = device.tensor(device.upload(values.to_vec()), (rows, self.rank));
                if tuned {
                    Var::leaf(tensor)
                } else {
                    Var::constant(tensor)
                }
            };
            pairs.push(AttachedPair {
                parameter,
                a_transposed: var(&pair.a_transposed, expected.1),
                b: var(&pair.b, expected.0),
            });
        }
        Ok(AttachedLora {
            scale: self.alpha / self.rank as f32,
            pairs,
        })
    }
}

/// The change of one weight, on a device.
struct AttachedPair<D: Device> {
    /// The index of the weight among the model's parameters.
    parameter: usize,
    a_transposed: Var<D>,
    b: Var<D>,
}

/// Changes of a model's weights on its device.
pub struct AttachedLora<D: Device> {
    scale: f32,
    pairs: Vec<AttachedPair<D>>,
}

impl<D: Device> AttachedLora<D> {
    /// How many tensors there are: an `A` and a `B` for each changed weight.
    pub(crate) fn num_tensors(&self) -> usize {
        2 * self.pairs.len()
    }

    /// Tensor `index`: even ones are `A` transposed, odd ones `B`.
    pub(crate) fn tensor(&self, index: usize) -> &D::Tensor {
        let pair = &self.pairs[index / 2];
        match index % 2 {
            0 => pair.a_transposed.tensor(),
            _ => pair.b.tensor(),
        }
    }

    /// Replaces tensor `index` by new values of a tuned one.
    pub(crate) fn set(&mut self, index: usize, tensor: D::Tensor) {
        let pair = &mut self.pairs[index / 2];
        match index % 2 {
            0 => pair.a_transposed = Var::leaf(tensor),
            _ => pair.b = Var::leaf(tensor),
        }
    }

    /// Takes the values into `lora`, which this was attached from.
    pub(crate) fn store(&self, device: &D, lora: &mut Lora) {
        for (pair, attached) in lora.pairs.iter_mut().zip(&self.pairs) {
            pair.a_transposed = device.download(attached.a_transposed.slice());
            pair.b = device.download(attached.b.slice());
        }
    }
}

impl<B: Backend> AttachedLora<B> {
    /// The changed weights by parameter index; `tuned` says whether the model's own want gradients.
    /// `dropout` zeroes features that changes read, other ones for every weight.
    pub(crate) fn weights(
        &self,
        graph: &mut Graph<B>,
        model: &Model<B>,
        tuned: bool,
        dropout: Option<DropoutKey>,
    ) -> Changed<B> {
        let change = |pair: &AttachedPair<B>| {
            let weight = model.parameters().tensor(pair.parameter).clone();
            let weight = if tuned {
                Var::leaf(weight)
            } else {
                Var::constant(weight)
            };
            let key = dropout.map(|key| key.at(pair.parameter as u64));
            let a_transposed = row_dropout(graph, &pair.a_transposed, key);
            let b = scale(graph, &pair.b, self.scale);
            let changed = linear_add(graph, &weight, &b, &a_transposed, None);
            (pair.parameter, changed)
        };
        self.pairs.iter().map(change).collect()
    }
}

#[cfg(test)]
mod tests;

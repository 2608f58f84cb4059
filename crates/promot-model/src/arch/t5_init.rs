//! Which tensors a T5 has, and what they start from.

use promot_core::Seed;

use super::t5::EMBEDDING;
use super::t5_config::{FeedForward, T5Config};
use super::t5_pass::Stack;
use super::weights::normal_values;
use crate::backend::Shape;

/// Names and shapes of all tensors, in the order of the computation.
pub(super) fn layout(config: &T5Config, tied: bool) -> Vec<(String, Shape)> {
    let (d, inner, ff) = (config.d_model, config.inner_dim(), config.d_ff);
    let mut tensors = vec![(EMBEDDING.to_owned(), (config.vocab_size, d))];
    for (stack, blocks) in [
        (Stack::Encoder, config.num_layers),
        (Stack::Decoder, config.decoder_layers()),
    ] {
        let mut add =
            |name: String, shape| tensors.push((format!("{}.{name}", stack.name()), shape));
        for block in 0..blocks {
            let attention = |add: &mut dyn FnMut(String, Shape), layer: usize, kind: &str| {
                let layer = format!("block.{block}.layer.{layer}");
                for part in ["q", "k", "v"] {
                    add(format!("{layer}.{kind}.{part}.weight"), (inner, d));
                }
                add(format!("{layer}.{kind}.o.weight"), (d, inner));
                if block == 0 && kind == "SelfAttention" {
                    let shape = (config.relative_attention_num_buckets, config.num_heads);
                    add(
                        format!("{layer}.{kind}.relative_attention_bias.weight"),
                        shape,
                    );
                }
                add(format!("{layer}.layer_norm.weight"), (1, d));
            };
            attention(&mut add, 0, "SelfAttention");
            let mut layer = 1;
            if stack == Stack::Decoder {
                attention(&mut add, 1, "EncDecAttention");
                layer = 2;
            }
            let layer = format!("block.{block}.layer.{layer}");
            let inputs: &[&str] = match config.feed_forward_proj {
                FeedForward::Relu => &["wi"],
                FeedForward::GatedGelu => &["wi_0", "wi_1"],
            };
            for part in inputs {
                add(format!("{layer}.DenseReluDense.{part}.weight"), (ff, d));
            }
            add(format!("{layer}.DenseReluDense.wo.weight"), (d, ff));
            add(format!("{layer}.layer_norm.weight"), (1, d));
        }
        add("final_layer_norm.weight".to_owned(), (1, d));
    }
    if !tied {
        tensors.push(("lm_head.weight".to_owned(), (config.vocab_size, d)));
    }
    tensors
}

/// Values as `T5PreTrainedModel._init_weights` of transformers distributes them (factor 1), except
/// that an untied head starts at `d_model^-0.5` as in T5X: from 1, the first losses of a model
/// trained from scratch are in the hundreds.
pub(super) fn initial_values(config: &T5Config, name: &str, shape: Shape, seed: Seed) -> Vec<f32> {
    let d = config.d_model as f64;
    let ends = |suffix: &str| name.ends_with(suffix);
    let deviation = if ends("layer_norm.weight") {
        return vec![1.0; shape.0 * shape.1];
    } else if name == EMBEDDING {
        1.0
    } else if ends(".q.weight") {
        (d * config.d_kv as f64).powf(-0.5)
    } else if ends(".o.weight") {
        (config.inner_dim() as f64).powf(-0.5)
    } else if ends(".wo.weight") {
        (config.d_ff as f64).powf(-0.5)
    } else {
        // Keys, values, feed-forward inputs, position biases and the head.
        d.powf(-0.5)
    };
    normal_values(seed, name, shape, deviation)
}

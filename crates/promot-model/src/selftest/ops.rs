//! Every op, forward and backward, on shapes off every block.

use std::sync::Arc;

use promot_core::Ragged;

use super::compare::{Op, compare};
use super::{Check, tolerance};
use crate::backend::{Backend, DeviceError, Shape};
use crate::gemm::Precision;
use crate::graph::{Graph, Var};
use crate::ops::attention::{BucketMap, Layout, RelativeBias, attention};
use crate::ops::cross_attention::cross_attention;
use crate::ops::cross_entropy::{LabelSmoothing, cross_entropy};
use crate::ops::dropout::{DropoutKey, dropout};
use crate::ops::embedding::embedding;
use crate::ops::feed_forward::{Activation, Weights, feed_forward};
use crate::ops::projection::{linear_add, norm_linears};
use crate::ops::rms_norm::rms_norm;
use crate::ops::rope::{Angles, rope};
use crate::ops::self_attention::{self, self_attention};
use crate::ops::{add::add, linear::linear, scale::scale};

const DROPOUT: DropoutKey = DropoutKey { rate: 0.2, key: 9 };

/// Compares all ops with the CPU's. `precision` is the device's.
///
/// # Errors
/// If the device fails.
pub fn ops<B: Backend>(device: &B, precision: Precision) -> Result<Vec<Check>, DeviceError> {
    let mut checks = Vec::new();
    for op in all() {
        let check = compare(device, op.name(), &op.shapes(), &op, tolerance(precision))?;
        checks.push(check);
    }
    Ok(checks)
}

/// One op on one set of shapes.
enum Case {
    Elementwise,
    RmsNorm,
    Rope,
    Embedding,
    Linear,
    Projection,
    FeedForward(Activation),
    Attention(AttentionCase),
    CrossAttention(AttentionCase),
    SelfAttention(AttentionCase),
    CrossEntropy,
}

/// What attention is asked for.
struct AttentionCase {
    name: &'static str,
    q_lens: &'static [usize],
    k_lens: &'static [usize],
    num_heads: usize,
    num_kv_heads: usize,
    d_kv: usize,
    causal: bool,
    bias: bool,
    dropout: Option<DropoutKey>,
}

fn all() -> Vec<Case> {
    let t5 = AttentionCase {
        name: "attention: relative bias, dropout",
        q_lens: &[70, 1, 0, 133],
        k_lens: &[70, 1, 0, 133],
        num_heads: 3,
        num_kv_heads: 3,
        d_kv: 64,
        causal: false,
        bias: true,
        dropout: Some(DROPOUT),
    };
    let cross = AttentionCase {
        name: "attention: other lengths of keys",
        q_lens: &[5, 66, 2],
        k_lens: &[130, 7, 0],
        d_kv: 40,
        bias: false,
        dropout: None,
        ..t5
    };
    let llama = AttentionCase {
        name: "attention: causal, grouped heads",
        q_lens: &[65, 3, 129],
        k_lens: &[65, 20, 129],
        num_heads: 6,
        num_kv_heads: 2,
        d_kv: 128,
        causal: true,
        bias: false,
        dropout: None,
    };
    let decoder = AttentionCase {
        name: "attention: causal, relative bias",
        q_lens: &[80, 9],
        k_lens: &[80, 9],
        d_kv: 32,
        causal: true,
        ..t5
    };
    let crossing = AttentionCase {
        name: "cross_attention",
        ..cross
    };
    let sublayer = AttentionCase {
        name: "self_attention",
        ..t5
    };
    vec![
        Case::Elementwise,
        Case::RmsNorm,
        Case::Rope,
        Case::Embedding,
        Case::Linear,
        Case::Projection,
        Case::FeedForward(Activation::GatedGelu),
        Case::FeedForward(Activation::GatedSilu),
        Case::SelfAttention(sublayer),
        Case::Attention(t5),
        Case::Attention(cross),
        Case::CrossAttention(crossing),
        Case::Attention(decoder),
        Case::Attention(llama),
        Case::CrossEntropy,
    ]
}

impl AttentionCase {
    fn layout(&self) -> Layout {
        let offsets = |lens: &[usize]| -> Arc<[usize]> {
            let ends = lens.iter().scan(0, |end, len| {
                *end += len;
                Some(*end)
            });
            std::iter::once(0).chain(ends).collect()
        };
        Layout {
            q_offsets: offsets(self.q_lens),
            kv_offsets: offsets(self.k_lens),
            shared_keys: false,
            num_heads: self.num_heads,
            num_kv_heads: self.num_kv_heads,
            causal: self.causal,
            scale: 0.3,
            dropout: self.dropout,
        }
    }

    fn buckets(&self) -> BucketMap {
        BucketMap {
            num_buckets: 32,
            max_distance: 128,
            bidirectional: !self.causal,
        }
    }
}

impl Case {
    fn name(&self) -> &str {
        match self {
            Self::Elementwise => "add, scale, dropout",
            Self::RmsNorm => "rms_norm",
            Self::Rope => "rope",
            Self::Embedding => "embedding",
            Self::Linear => "linear",
            Self::Projection => "norm_linears, linear_add",
            Self::FeedForward(Activation::Relu) => "feed_forward: relu",
            Self::FeedForward(Activation::GatedGelu) => "feed_forward: gated-gelu",
            Self::FeedForward(Activation::GatedSilu) => "feed_forward: gated-silu",
            Self::Attention(case) | Self::CrossAttention(case) | Self::SelfAttention(case) => {
                case.name
            }
            Self::CrossEntropy => "cross_entropy",
        }
    }

    fn shapes(&self) -> Vec<Shape> {
        match self {
            Self::Elementwise => vec![(57, 33), (57, 33)],
            Self::RmsNorm => vec![(130, 321), (1, 321)],
            Self::Rope => vec![(37, 3 * 64)],
            Self::Embedding => vec![(50, 70), (4, 70)],
            Self::Linear => vec![(130, 70), (65, 70)],
            Self::Projection => vec![(130, 72), (1, 72), (40, 72), (72, 40)],
            Self::FeedForward(_) => vec![(130, 72), (1, 72), (200, 72), (72, 200), (200, 72)],
            Self::Attention(case) => {
                let (q, k): (usize, usize) = (case.q_lens.iter().sum(), case.k_lens.iter().sum());
                let keys = (k, case.num_kv_heads * case.d_kv);
                let mut shapes = vec![(q, case.num_heads * case.d_kv), keys, keys];
                if case.bias {
                    shapes.push((case.buckets().num_buckets, case.num_heads));
                }
                shapes
            }
            Self::CrossAttention(case) => {
                let (q, k): (usize, usize) = (case.q_lens.iter().sum(), case.k_lens.iter().sum());
                let features = case.num_heads * case.d_kv;
                vec![(q, features), (k, 56), (features, 56), (features, 56)]
            }
            Self::SelfAttention(case) => {
                let tokens: usize = case.q_lens.iter().sum();
                let features = case.num_heads * case.d_kv;
                let keys = (case.num_kv_heads * case.d_kv, 56);
                let bias = (case.buckets().num_buckets, case.num_heads);
                let weights = [(1, 56), (features, 56), keys, keys, (56, features), bias];
                [(tokens, 56)].into_iter().chain(weights).collect()
            }
            Self::CrossEntropy => vec![(70, 40), (3001, 40)],
        }
    }
}

impl Op for Case {
    fn run<B: Backend>(&self, graph: &mut Graph<B>, v: &[Var<B>]) -> Var<B> {
        match self {
            Self::Elementwise => {
                let sum = add(graph, &v[0], &v[1]);
                let sum = scale(graph, &sum, 0.7);
                dropout(graph, &sum, Some(DROPOUT))
            }
            Self::RmsNorm => rms_norm(graph, &v[0], &v[1], 1e-6),
            Self::Rope => {
                let angles = Angles::new(graph.device(), (0..37).map(|i| 3 * i), 64, 10_000.0);
                rope(graph, &v[0], &angles)
            }
            Self::Embedding => {
                let inputs = Ragged::from_rows([[1u32, 49, 1].as_slice(), &[], &[7, 1]]);
                let prompts = [Some(0), Some(0), None];
                embedding(graph, &v[0], &v[1..], &inputs, &prompts).0
            }
            Self::Linear => linear(graph, &v[0], &v[1]),
            Self::Projection => {
                let weights = &v[2..3];
                let projected = norm_linears(graph, &v[0], &v[1], weights, 1e-6);
                linear_add(graph, &v[0], &projected[0], &v[3], Some(DROPOUT))
            }
            Self::FeedForward(activation) => {
                let weights = Weights {
                    norm: v[1].clone(),
                    gate: Some(v[4].clone()),
                    up: v[2].clone(),
                    down: v[3].clone(),
                    activation: *activation,
                };
                feed_forward(graph, &v[0], &weights, 1e-6, [Some(DROPOUT); 2])
            }
            Self::Attention(case) => {
                let bias = v.get(3).map(|table| RelativeBias {
                    table: table.clone(),
                    buckets: case.buckets(),
                });
                attention(graph, &v[0], &v[1], &v[2], bias.as_ref(), &case.layout())
            }
            Self::CrossAttention(case) => {
                cross_attention(graph, &v[0], &v[1], [&v[2], &v[3]], &case.layout())
            }
            Self::SelfAttention(case) => {
                let weights = self_attention::Weights {
                    norm: v[1].clone(),
                    q: v[2].clone(),
                    k: v[3].clone(),
                    v: v[4].clone(),
                    o: v[5].clone(),
                };
                let bias = RelativeBias {
                    table: v[6].clone(),
                    buckets: case.buckets(),
                };
                // Queries and keys of such weights are large.
                let layout = Layout {
                    scale: 0.02,
                    ..case.layout()
                };
                let rest = (1e-6, Some(DROPOUT));
                self_attention(graph, &v[0], &weights, Some(&bias), &layout, rest)
            }
            Self::CrossEntropy => {
                let targets: Vec<u32> = (0..70).map(|row| row * 41 % 3001).collect();
                let smoothing = LabelSmoothing::t5x(0.1);
                cross_entropy(graph, &v[0], &v[1], &targets, smoothing, 0.5)
            }
        }
    }
}

//! `attention` against an f64 loop, dfdx's softmax attention and finite differences, over ragged
//! shapes: length 1, empty sequences, q_len != kv_len, causal, with and without bias.

use dfdx::shapes::Axis;
use dfdx::tensor::Trace as _;
use dfdx::tensor_ops::{Backward as _, PermuteTo as _, SumTo as _, TryMatMul as _};

use super::*;
use crate::backend::Host;
use crate::ops::testing::{self, assert_close, leaf};

const BUCKETS: BucketMap = BucketMap {
    num_buckets: 8,
    max_distance: 16,
    bidirectional: true,
};

struct Case {
    q: &'static [usize],
    k: &'static [usize],
    causal: bool,
    bias: bool,
    scale: f32,
}

const CASES: [Case; 6] = [
    Case {
        q: &[1],
        k: &[1],
        causal: false,
        bias: true,
        scale: 1.0,
    },
    Case {
        q: &[3, 1, 19],
        k: &[3, 1, 19],
        causal: false,
        bias: true,
        scale: 1.0,
    },
    Case {
        q: &[3, 0, 1, 6],
        k: &[3, 0, 1, 6],
        causal: true,
        bias: true,
        scale: 1.0,
    },
    Case {
        q: &[2, 1, 5],
        k: &[4, 1, 17],
        causal: false,
        bias: false,
        scale: 0.5,
    },
    Case {
        q: &[1, 2],
        k: &[5, 4],
        causal: true,
        bias: true,
        scale: 1.0,
    },
    Case {
        q: &[2, 0, 3],
        k: &[0, 4, 2],
        causal: false,
        bias: false,
        scale: 1.0,
    },
];
const HEADS: usize = 2;
const D_KV: usize = 3;

fn offsets(lengths: &[usize]) -> Arc<[usize]> {
    let ends = lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

impl Case {
    fn layout(&self, dropout: Option<DropoutKey>) -> Layout {
        Layout {
            q_offsets: offsets(self.q),
            kv_offsets: offsets(self.k),
            num_heads: HEADS,
            causal: self.causal,
            scale: self.scale,
            dropout,
        }
    }

    fn inputs(&self) -> Vec<Var<Host>> {
        let (q, k): (usize, usize) = (self.q.iter().sum(), self.k.iter().sum());
        let mut inputs: Vec<_> = [(q, 1), (k, 2), (k, 3)]
            .map(|(rows, seed)| leaf((rows, HEADS * D_KV), seed))
            .into();
        if self.bias {
            inputs.push(leaf((BUCKETS.num_buckets, HEADS), 4));
        }
        inputs
    }

    fn buckets(&self) -> BucketMap {
        BucketMap {
            bidirectional: !self.causal,
            ..BUCKETS
        }
    }

    fn op(
        &self,
        graph: &mut Graph<Host>,
        v: &[Var<Host>],
        dropout: Option<DropoutKey>,
    ) -> Var<Host> {
        let bias = v.get(3).map(|table| RelativeBias {
            table: table.clone(),
            buckets: self.buckets(),
        });
        attention(
            graph,
            &v[0],
            &v[1],
            &v[2],
            bias.as_ref(),
            &self.layout(dropout),
        )
    }

    fn reference(&self, v: &[Var<Host>]) -> Vec<f64> {
        let width = HEADS * D_KV;
        let at = |var: &Var<Host>, row: usize, column: usize| {
            f64::from(var.slice()[row * width + column])
        };
        let (q_offsets, k_offsets) = (offsets(self.q), offsets(self.k));
        let mut out = vec![0.0; v[0].slice().len()];
        for sequence in 0..self.q.len() {
            let (q_len, k_len) = (self.q[sequence], self.k[sequence]);
            for i in 0..q_len {
                let position = if self.causal { i + k_len - q_len } else { i };
                let seen = if self.causal { position + 1 } else { k_len };
                for head in 0..HEADS {
                    let weights: Vec<f64> = (0..seen)
                        .map(|j| {
                            let (q_row, k_row) = (q_offsets[sequence] + i, k_offsets[sequence] + j);
                            let score: f64 = (0..D_KV)
                                .map(|c| {
                                    at(&v[0], q_row, head * D_KV + c)
                                        * at(&v[1], k_row, head * D_KV + c)
                                })
                                .sum();
                            let bias = v.get(3).map_or(0.0, |table| {
                                let bucket = self.buckets().bucket(j as isize - position as isize);
                                f64::from(table.slice()[bucket * HEADS + head])
                            });
                            (score * f64::from(self.scale) + bias).exp()
                        })
                        .collect();
                    let total: f64 = weights.iter().sum();
                    for c in 0..D_KV {
                        out[(q_offsets[sequence] + i) * width + head * D_KV + c] = weights
                            .iter()
                            .enumerate()
                            .map(|(j, w)| {
                                w / total * at(&v[2], k_offsets[sequence] + j, head * D_KV + c)
                            })
                            .sum();
                    }
                }
            }
        }
        out
    }
}

#[test]
fn forward_equals_an_f64_loop() {
    for (i, case) in CASES.iter().enumerate() {
        let inputs = case.inputs();
        let (y, _) = testing::run(&inputs, |g, v| case.op(g, v, None));
        assert_close(&format!("case {i}"), &y, &case.reference(&inputs), 1e-5);
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let dropout = DropoutKey { rate: 0.3, key: 9 };
    for (i, case) in CASES.iter().enumerate() {
        for dropout in [None, Some(dropout)] {
            testing::check_finite_differences(
                &format!("case {i}"),
                &case.inputs(),
                5e-3,
                |g, v| case.op(g, v, dropout),
            );
        }
    }
}

#[test]
fn equals_dfdx_softmax_attention_for_one_head() {
    let (len, width) = (40, 8);
    let inputs = [
        leaf((len, width), 5),
        leaf((len, width), 6),
        leaf((len, width), 7),
    ];
    let layout = Layout {
        q_offsets: offsets(&[len]),
        kv_offsets: offsets(&[len]),
        num_heads: 1,
        causal: false,
        scale: 1.0,
        dropout: None,
    };
    let (y, ours) = testing::run(&inputs, |g, v| {
        attention(g, &v[0], &v[1], &v[2], None, &layout)
    });
    let [q, k, v] = [0, 1, 2].map(|i| inputs[i].tensor());
    let scores = q.leaky_trace().matmul(k.leaky_trace().permute());
    let theirs = scores.softmax::<Axis<1>>().matmul(v.leaky_trace());
    let values: Vec<f64> = theirs.as_vec().into_iter().map(f64::from).collect();
    assert_close("output", &y, &values, 1e-5);
    let weights = Host::new().tensor(testing::output_weights(y.len()), (len, width));
    let gradients = (theirs * weights).sum().backward();
    for (ours, input) in ours.iter().zip(&inputs) {
        assert_close(
            "gradient",
            ours,
            &testing::dfdx_gradient(&gradients, input),
            1e-4,
        );
    }
}

#[test]
fn a_sequence_does_not_depend_on_its_batch() {
    let inputs = CASES[1].inputs();
    let (batched, _) = testing::run(&inputs, |g, v| CASES[1].op(g, v, None));
    let alone = Case {
        q: &[19],
        k: &[19],
        ..CASES[1]
    };
    let width = HEADS * D_KV;
    let mut own: Vec<_> = inputs[..3]
        .iter()
        .map(|var| testing::leaf_of(var.slice()[4 * width..].to_vec(), (19, width)))
        .collect();
    own.push(inputs[3].clone());
    let (single, _) = testing::run(&own, |g, v| alone.op(g, v, None));
    assert_eq!(batched[4 * width..], single);
}

#[test]
fn a_frozen_bias_table_gets_no_gradient_and_leaves_the_others_as_they_are() {
    let mut inputs = CASES[1].inputs();
    let (_, tuned) = testing::run(&inputs, |g, v| CASES[1].op(g, v, None));
    inputs[3] = Var::constant(inputs[3].tensor().clone());
    let (_, frozen) = testing::run(&inputs, |g, v| CASES[1].op(g, v, None));
    assert_eq!(tuned[..3], frozen[..3]);
    assert!(frozen[3].is_empty());
}

//! Every public op at the sizes of T5 v1.1 small, forward and with its backward pass, in both
//! precisions; and one update of the optimizer.

use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use promot_benches::random::{leaf, ragged, values};
use promot_core::Ragged;
use promot_model::backend::{Device as _, Host, HostGradients};
use promot_model::gemm::Precision;
use promot_model::graph::{Graph, Var};
use promot_model::ops::add::add;
use promot_model::ops::attention::{BucketMap, Layout, RelativeBias, attention};
use promot_model::ops::cross_attention::cross_attention;
use promot_model::ops::cross_entropy::{LabelSmoothing, cross_entropy};
use promot_model::ops::embedding::embedding;
use promot_model::ops::feed_forward::{Activation, Weights, feed_forward};
use promot_model::ops::linear::linear;
use promot_model::ops::projection::{linear_add, norm_linears};
use promot_model::ops::rms_norm::rms_norm;
use promot_model::ops::self_attention::{self, self_attention};
use promot_model::optim::{
    AdafactorOptions, Kernels as _, Optimizer, ParameterState, Step, Update,
};

const WIDTH: usize = 512;
const D_FF: usize = 1024;
const HEADS: usize = 6;
const INNER: usize = HEADS * 64;
const VOCAB_SIZE: usize = 32128;
const TARGETS: usize = 96;

/// One op, ready to run in a graph.
type Op = Box<dyn Fn(&mut Graph<Host>) -> Var<Host>>;

/// 16 sequences of 40 to 160 tokens, as RTE's are.
fn inputs() -> Ragged {
    ragged("inputs", 16, 40..=160, VOCAB_SIZE as u32)
}

fn ops(device: &Host) -> Vec<(&'static str, Op)> {
    let inputs = inputs();
    let offsets: Arc<[usize]> = inputs.offsets().into();
    let tokens = inputs.ids().len();
    let hidden = |name| leaf(device, name, (tokens, WIDTH));
    let heads = |name| leaf(device, name, (tokens, INNER));

    let (x, w) = (hidden("linear x"), leaf(device, "linear w", (D_FF, WIDTH)));
    let to_ff: Op = Box::new(move |graph| linear(graph, &x, &w));

    let (q, k, v) = (heads("q"), heads("k"), heads("v"));
    let bias = RelativeBias {
        table: leaf(device, "bias", (32, HEADS)),
        buckets: BucketMap {
            num_buckets: 32,
            max_distance: 128,
            bidirectional: true,
        },
    };
    let layout = Layout {
        q_offsets: offsets.clone(),
        kv_offsets: offsets.clone(),
        num_heads: HEADS,
        num_kv_heads: HEADS,
        shared_keys: false,
        causal: false,
        scale: 1.0,
        dropout: None,
    };
    let few_offsets: Vec<usize> = (0..=inputs.len())
        .map(|i| i * TARGETS / inputs.len())
        .collect();
    let crossing = Layout {
        q_offsets: few_offsets.into(),
        ..layout.clone()
    };
    let sublayer = self_attention::Weights {
        norm: leaf(device, "self-attention norm", (1, WIDTH)),
        q: leaf(device, "self-attention q", (INNER, WIDTH)),
        k: leaf(device, "self-attention k", (INNER, WIDTH)),
        v: leaf(device, "self-attention v", (INNER, WIDTH)),
        o: leaf(device, "self-attention o", (WIDTH, INNER)),
    };
    let (x, itself) = (hidden("self-attention x"), (bias.clone(), layout.clone()));
    let attend_to_itself: Op = Box::new(move |graph| {
        let (bias, layout) = &itself;
        self_attention(graph, &x, &sublayer, Some(bias), layout, (1e-6, None))
    });
    let (queries, states) = (leaf(device, "queries", (TARGETS, INNER)), hidden("states"));
    let [wk, wv] = ["cross k", "cross v"].map(|name| leaf(device, name, (INNER, WIDTH)));
    let cross: Op =
        Box::new(move |graph| cross_attention(graph, &queries, &states, [&wk, &wv], &crossing));
    let attend: Op = Box::new(move |graph| attention(graph, &q, &k, &v, Some(&bias), &layout));

    let (x, w) = (hidden("norm x"), leaf(device, "norm w", (1, WIDTH)));
    let norm: Op = Box::new(move |graph| rms_norm(graph, &x, &w, 1e-6));

    let x = hidden("feed-forward x");
    let layer = Weights {
        norm: leaf(device, "feed-forward norm", (1, WIDTH)),
        gate: Some(leaf(device, "gate", (D_FF, WIDTH))),
        up: leaf(device, "up", (D_FF, WIDTH)),
        down: leaf(device, "down", (WIDTH, D_FF)),
        activation: Activation::GatedGelu,
    };
    let transform: Op = Box::new(move |graph| feed_forward(graph, &x, &layer, 1e-6, [None; 2]));

    let (x, norm_w) = (hidden("qkv x"), leaf(device, "qkv norm", (1, WIDTH)));
    let weights = ["q w", "k w", "v w"].map(|name| leaf(device, name, (INNER, WIDTH)));
    let (residual, o) = (hidden("residual"), leaf(device, "o w", (WIDTH, INNER)));
    let project: Op = Box::new(move |graph| {
        let qkv = norm_linears(graph, &x, &norm_w, &weights, 1e-6);
        // Each of the three gets a gradient.
        let sum = add(graph, &qkv[0], &qkv[1]);
        let sum = add(graph, &sum, &qkv[2]);
        linear_add(graph, &residual, &sum, &o, None)
    });

    let table = leaf(device, "table", (VOCAB_SIZE, WIDTH));
    let prompt = [leaf(device, "prompt", (100, WIDTH))];
    let prompt_of = vec![Some(0); inputs.len()];
    let embed: Op = Box::new(move |graph| embedding(graph, &table, &prompt, &inputs, &prompt_of).0);

    let decoded = leaf(device, "decoded", (TARGETS, WIDTH));
    let head = leaf(device, "head", (VOCAB_SIZE, WIDTH));
    let targets = ragged("targets", 1, TARGETS..=TARGETS, VOCAB_SIZE as u32);
    let loss: Op = Box::new(move |graph| {
        let smoothing = LabelSmoothing::t5x(0.1);
        cross_entropy(graph, &decoded, &head, targets.ids(), smoothing, 1.0)
    });

    vec![
        ("linear", to_ff),
        ("attention", attend),
        ("self_attention", attend_to_itself),
        ("cross_attention", cross),
        ("rms_norm", norm),
        ("feed_forward", transform),
        ("projections", project),
        ("embedding", embed),
        ("cross_entropy", loss),
    ]
}

/// Ends a graph at `y`, whose gradient is `upstream`, and goes back.
fn backward(mut graph: Graph<Host>, y: &Var<Host>, upstream: Vec<f32>) -> HostGradients {
    let slot = y.slot().expect("an op whose inputs want gradients");
    let end = move |gradients: &mut _, _| Host::put_gradient(gradients, &slot, upstream);
    let end = graph.output(vec![1.0], (1, 1), Some(end));
    graph.backward(&end, 1.0)
}

fn bench_ops(c: &mut Criterion) {
    for precision in [Precision::F32, Precision::Bf16] {
        let device = Host::with_precision(precision);
        for (name, op) in ops(&device) {
            let mut group = c.benchmark_group(format!("{name} {}", precision.name()));
            group.bench_function("forward", |b| {
                b.iter(|| op(&mut Graph::inference(&device)));
            });
            let (rows, columns) = op(&mut Graph::inference(&device)).shape();
            let upstream = values("upstream", rows * columns);
            group.bench_function("forward and backward", |b| {
                let step = |upstream| {
                    let mut graph = Graph::training(&device, Default::default());
                    let y = op(&mut graph);
                    backward(graph, &y, upstream)
                };
                b.iter_batched(|| upstream.clone(), step, BatchSize::PerIteration);
            });
            group.finish();
        }
    }
}

fn bench_update(c: &mut Criterion) {
    let device = Host::new();
    let shape = (VOCAB_SIZE, WIDTH);
    let parameter = values("parameter", shape.0 * shape.1);
    let gradient = values("gradient", shape.0 * shape.1);
    let optimizer = Optimizer::Adafactor(AdafactorOptions::default());
    let mut states = [ParameterState::default()];
    let mut number = 0;
    c.bench_function("adafactor update of an embedding table", |b| {
        // The update takes the gradient's memory, so each one gets a copy of its own.
        let copy = || gradient.clone();
        let update = |gradient: Vec<f32>| {
            number += 1;
            let step = Step {
                number,
                learning_rate: 1e-3,
                scale: 1.0,
            };
            let (squares, _) = device.squares(&optimizer, &[(&gradient, shape)]);
            let update = Update {
                values: &parameter[..],
                gradient,
                squares: &squares[0],
                shape,
            };
            device.update(&optimizer, step, vec![update], &mut states)
        };
        b.iter_batched(copy, update, BatchSize::PerIteration);
    });
}

fn few_samples() -> Criterion {
    Criterion::default().sample_size(10)
}

criterion_group! {
    name = benches;
    config = few_samples();
    targets = bench_ops, bench_update
}
criterion_main!(benches);

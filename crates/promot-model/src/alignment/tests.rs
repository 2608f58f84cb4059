//! Gradients and cosines of tiny models: against finite differences, on any number of threads, on the
//! second device.

use promot_core::{Ragged, Seed};

use super::*;
use crate::arch::{Llama, LlamaConfig, T5, T5Config};
use crate::backend::gpu::emulated::{SCHEDULES, emulated};
use crate::backend::{Device as _, Host};
use crate::gemm::Precision;

fn t5<B: Backend>(device: &B) -> Model<B> {
    let json = br#"{"vocab_size": 12, "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2,
        "num_heads": 2, "feed_forward_proj": "gated-gelu"}"#;
    let config = T5Config::from_json(json).unwrap();
    T5::new(device, config, false, Seed::new(3)).into()
}

fn llama<B: Backend>(device: &B) -> Model<B> {
    let json = br#"{"model_type": "llama", "vocab_size": 12, "hidden_size": 8,
        "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1}"#;
    let config = LlamaConfig::from_json(json).unwrap();
    let mut model = Llama::new(device, config, true, Seed::new(4));
    // As initialised, every layer is nearly the identity.
    let parameters = model.parameters_mut();
    for index in 0..parameters.len() {
        let tensor = parameters.tensor(index).clone();
        let shape = B::shape(&tensor);
        if shape.0 > 1 {
            let values = device.download(B::slice(&tensor)).into_iter();
            let values = values.map(|w| 15.0 * w).collect();
            parameters.set(index, device.tensor(device.upload(values), shape));
        }
    }
    model.into()
}

/// Two labels, for inputs of different lengths.
fn batch(labels: [u32; 4]) -> TokenBatch {
    let inputs: [&[u32]; 4] = [&[3, 4, 5, 1], &[6, 7, 1], &[8, 3, 9, 4, 1], &[5, 1]];
    let targets: Vec<[u32; 2]> = labels.iter().map(|&label| [label, 1]).collect();
    TokenBatch::new(
        Ragged::from_rows(inputs),
        Ragged::from_rows(targets.iter().map(<[u32; 2]>::as_slice)),
    )
}

const REAL: [u32; 4] = [10, 11, 10, 11];
const SHUFFLED: [u32; 4] = [11, 11, 10, 10];

fn options() -> GradientOptions {
    GradientOptions {
        smoothing: LabelSmoothing::t5x(0.1),
        recompute: false,
    }
}

fn compared<B: Backend>(
    model: &Model<B>,
    prompts: &[Var<B>],
    batches: [TokenBatch; 2],
) -> Vec<(String, f64)> {
    let of = |batch| weight_gradient(model, prompts, batch, &options()).unwrap();
    let [one, other] = batches.each_ref().map(of);
    let groups = parameter_groups(model);
    let cosines = cosines(model, &groups, &one, &other).unwrap();
    let named = groups.into_iter().zip(cosines);
    named
        .map(|(group, cosine)| (group.name, cosine.unwrap()))
        .collect()
}

#[test]
fn groups_are_those_of_the_figures_and_every_parameter_is_of_one_module() {
    let of = |model: &Model<Host>| {
        let groups = parameter_groups(model);
        let all = groups.iter().find(|group| group.name == "all parameters");
        let all = all.unwrap().members.clone();
        assert_eq!(all, (0..model.parameters().len()).collect::<Vec<_>>());
        let by_module = groups
            .iter()
            .filter(|group| group.name.starts_with("all layers"));
        let mut once: Vec<usize> = by_module.flat_map(|g| g.members.clone()).collect();
        once.sort_unstable();
        assert_eq!(once, all);
        let parameters: Vec<&str> = model.parameters().iter().map(|p| p.name.as_str()).collect();
        let named = groups.iter().map(|group| {
            let members = group.members.iter().map(|&i| parameters[i].to_owned());
            (group.name.clone(), members.collect::<Vec<_>>())
        });
        named.collect::<Vec<_>>()
    };
    let host = Host::new();
    let shown = |groups: &[(String, Vec<String>)], name: &str| {
        let found = groups.iter().find(|(group, _)| group == name);
        found.map(|(_, members)| members.join(" "))
    };
    let t5 = of(&t5(&host));
    let layer = "decoder.block.1.layer";
    for (name, expected) in [
        (
            "last decoder layer: query",
            format!("{layer}.0.SelfAttention.q.weight"),
        ),
        (
            "last decoder layer: cross-attention value",
            format!("{layer}.1.EncDecAttention.v.weight"),
        ),
        (
            "last decoder layer: feed-forward",
            ["wi_0", "wi_1", "wo"]
                .map(|part| format!("{layer}.2.DenseReluDense.{part}.weight"))
                .join(" "),
        ),
        ("all layers: output head", "lm_head.weight".to_owned()),
    ] {
        assert_eq!(shown(&t5, name), Some(expected), "{name}");
    }
    let llama = of(&llama(&host));
    let layer = "model.layers.1";
    for (name, expected) in [
        (
            "last decoder layer: key",
            Some(format!("{layer}.self_attn.k_proj.weight")),
        ),
        (
            "last decoder layer: feed-forward",
            Some(
                ["gate", "up", "down"]
                    .map(|part| format!("{layer}.mlp.{part}_proj.weight"))
                    .join(" "),
            ),
        ),
        ("last decoder layer: cross-attention key", None),
        ("all layers: output head", None),
    ] {
        assert_eq!(shown(&llama, name), expected, "{name}");
    }
}

#[test]
fn gradients_of_equal_batches_are_parallel_and_those_of_other_labels_are_not() {
    let host = Host::new();
    for model in [t5(&host), llama(&host)] {
        for (group, cosine) in compared(&model, &[], [batch(REAL), batch(REAL)]) {
            assert_eq!(cosine, 1.0, "{group}");
        }
        for (group, cosine) in compared(&model, &[], [batch(REAL), batch(SHUFFLED)]) {
            assert!(cosine < 0.9999, "{group}: {cosine}");
            assert!(cosine > -1.0, "{group}: {cosine}");
        }
    }
}

#[test]
fn a_frozen_prompt_is_in_the_gradient() {
    let host = Host::new();
    let values = (0..24).map(|i| (i as f32 * 0.7).sin()).collect();
    let prompt = [Var::constant(host.tensor(values, (3, 8)))];
    for model in [t5(&host), llama(&host)] {
        let without = compared(&model, &[], [batch(REAL), batch(SHUFFLED)]);
        let with = [batch(REAL), batch(SHUFFLED)].map(|batch| batch.with_prompt(0));
        let with = compared(&model, &prompt, with);
        assert_eq!(with.len(), without.len());
        let moved = with.iter().zip(&without).filter(|(a, b)| a.1 != b.1);
        assert!(moved.count() > with.len() / 2, "{with:?}\n{without:?}");
    }
}

/// The gradient of one parameter by central differences of the loss.
fn by_differences(model: &Model<Host>, index: usize, batch: &TokenBatch) -> Vec<f64> {
    const STEP: f32 = 0.01;
    let host = model.device().clone();
    let tensor = model.parameters().tensor(index).clone();
    let (values, shape) = (Host::slice(&tensor).to_vec(), Host::shape(&tensor));
    let loss = |values: Vec<f32>| {
        let mut moved = model.clone();
        moved
            .parameters_mut()
            .set(index, host.tensor(values, shape));
        let options = LossOptions {
            tune_model: false,
            smoothing: options().smoothing,
            dropout: None,
            lora_dropout: None,
            recompute: false,
        };
        let loss = moved.loss(&mut Graph::inference(&host), batch, &[], &options);
        f64::from(loss.slice()[0])
    };
    let difference = |i: usize| {
        let at = |step: f32| {
            let mut values = values.clone();
            values[i] += step;
            loss(values)
        };
        (at(STEP) - at(-STEP)) / f64::from(2.0 * STEP)
    };
    (0..values.len()).map(difference).collect()
}

#[test]
fn cosines_are_those_of_finite_differences() {
    let host = Host::new();
    for (model, groups) in [
        (
            t5(&host),
            [
                "last decoder layer: value",
                "last decoder layer: cross-attention query",
            ],
        ),
        (
            llama(&host),
            ["last decoder layer: value", "last decoder layer: key"],
        ),
    ] {
        let found = compared(&model, &[], [batch(REAL), batch(SHUFFLED)]);
        for name in groups {
            let group = parameter_groups(&model)
                .into_iter()
                .find(|group| group.name == name)
                .unwrap();
            let [index] = group.members[..] else {
                panic!("{name}: one matrix");
            };
            let [one, other] =
                [REAL, SHUFFLED].map(|labels| by_differences(&model, index, &batch(labels)));
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let expected = dot(&one, &other) / (dot(&one, &one) * dot(&other, &other)).sqrt();
            let (_, cosine) = found.iter().find(|(group, _)| group == name).unwrap();
            assert!(
                (cosine - expected).abs() < 5e-3,
                "{name}: {cosine} instead of {expected}"
            );
        }
    }
}

#[test]
fn bits_depend_neither_on_threads_nor_on_recomputation() {
    let on = |threads: usize, recompute: bool| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        pool.install(|| {
            let model = t5(&Host::new());
            let options = GradientOptions {
                recompute,
                ..options()
            };
            let of = |labels| weight_gradient(&model, &[], &batch(labels), &options).unwrap();
            let (one, other) = (of(REAL), of(SHUFFLED));
            let cosines = cosines(&model, &parameter_groups(&model), &one, &other).unwrap();
            (cosines, one.gradients)
        })
    };
    let expected = on(1, false);
    assert!(on(2, false) == expected);
    assert!(on(2, true) == expected);
}

#[test]
fn the_second_device_agrees() {
    let host = Host::new();
    let gpu = emulated(Precision::F32, SCHEDULES[2]);
    let batches = || [batch(REAL), batch(SHUFFLED)];
    for (expected, found) in [
        (
            compared(&t5(&host), &[], batches()),
            compared(&t5(&gpu), &[], batches()),
        ),
        (
            compared(&llama(&host), &[], batches()),
            compared(&llama(&gpu), &[], batches()),
        ),
    ] {
        for ((group, expected), (_, found)) in expected.iter().zip(&found) {
            assert!(
                (expected - found).abs() < 1e-4,
                "{group}: {found} instead of {expected}"
            );
        }
        assert_eq!(expected.len(), found.len());
    }
}

#[test]
fn weights_that_are_no_numbers_are_an_error() {
    let host = Host::new();
    let mut model = t5(&host);
    let shape = Host::shape(model.parameters().tensor(0));
    let values = vec![f32::NAN; shape.0 * shape.1];
    model.parameters_mut().set(0, host.tensor(values, shape));
    let error = weight_gradient(&model, &[], &batch(REAL), &options()).err();
    assert!(matches!(error, Some(AlignmentError::NonFinite { .. })));
}

//! Changes of weights: what they do to a model, their gradients, and what cannot be changed.

use promot_core::{Ragged, TokenBatch};

use super::*;
use crate::arch::{Llama, LlamaConfig, LossOptions, T5, T5Config};
use crate::backend::Host;
use crate::ops::cross_entropy::LabelSmoothing;
use crate::ops::dropout::DropoutKey;

fn t5() -> Model<Host> {
    let json = br#"{"vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2,
        "num_heads": 2, "feed_forward_proj": "gated-gelu"}"#;
    let config = T5Config::from_json(json).unwrap();
    T5::new(&Host::new(), config, false, Seed::new(3)).into()
}

fn llama() -> Model<Host> {
    let json = br#"{"model_type": "llama", "vocab_size": 20, "hidden_size": 8,
        "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1}"#;
    let config = LlamaConfig::from_json(json).unwrap();
    Llama::new(&Host::new(), config, true, Seed::new(3)).into()
}

/// Each model with the names of what is changed: in attention, and everywhere.
fn cases() -> Vec<(Model<Host>, Vec<String>)> {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    vec![
        (t5(), names(&["q", "v"])),
        (t5(), names(&["o", "wi_0", "wo", "k"])),
        (llama(), names(&["q_proj", "v_proj"])),
        (llama(), names(&["down_proj"])),
    ]
}

fn batch() -> TokenBatch {
    TokenBatch::new(
        Ragged::from_rows([[3u32, 4, 5].as_slice(), &[6, 7]]),
        Ragged::from_rows([[10u32, 1].as_slice(), &[11, 12, 1]]),
    )
}

fn options(tune_model: bool, recompute: bool) -> LossOptions {
    LossOptions {
        tune_model,
        smoothing: LabelSmoothing::NONE,
        dropout: None,
        lora_dropout: None,
        recompute,
    }
}

/// Changes that do something.
fn lora(model: &Model<Host>, targets: &[String]) -> Lora {
    let mut lora = Lora::init(model, targets, 3, 6.0, Seed::new(5)).unwrap();
    for (i, pair) in lora.pairs.iter_mut().enumerate() {
        let value = |j| ((i * 31 + j) as f32 * 0.7).sin() * 0.2;
        pair.b = (0..pair.b.len()).map(value).collect();
    }
    lora
}

fn loss(model: &Model<Host>, lora: Option<&Lora>) -> f32 {
    dropped_loss(model, lora, None)
}

fn dropped_loss(model: &Model<Host>, lora: Option<&Lora>, dropout: Option<DropoutKey>) -> f32 {
    let attached = lora.map(|lora| lora.attach(model, false).unwrap());
    let mut graph = Graph::inference(model.device());
    let options = LossOptions {
        lora_dropout: dropout,
        ..options(false, false)
    };
    model
        .loss_with(&mut graph, &batch(), &[], attached.as_ref(), &options)
        .slice()[0]
}

#[test]
fn fresh_changes_change_nothing_and_others_are_the_same_merged() {
    for (model, targets) in cases() {
        let fresh = Lora::init(&model, &targets, 3, 6.0, Seed::new(5)).unwrap();
        assert_eq!(loss(&model, Some(&fresh)), loss(&model, None));
        let lora = lora(&model, &targets);
        let changed = loss(&model, Some(&lora));
        assert_ne!(changed, loss(&model, None));
        assert_eq!(loss(&lora.merged(&model).unwrap(), None), changed);
    }
}

/// With a key, some columns of every `A` are zero and the others larger: the same as a pass without
/// dropout through changes that are so.
#[test]
fn dropout_zeroes_features_that_changes_read() {
    let key = DropoutKey { rate: 0.4, key: 7 };
    for (model, targets) in cases() {
        let lora = lora(&model, &targets);
        let mut dropped = lora.clone();
        for pair in &mut dropped.pairs {
            let parameter = model.parameters().index_of(&pair.weight).unwrap();
            let mask = key.at(parameter as u64).mask();
            for (feature, row) in pair.a_transposed.chunks_mut(lora.rank).enumerate() {
                row.iter_mut()
                    .for_each(|a| *a *= mask.factor(feature as u32));
            }
        }
        let expected = loss(&model, Some(&dropped));
        assert_ne!(expected, loss(&model, Some(&lora)));
        assert_eq!(dropped_loss(&model, Some(&lora), Some(key)), expected);
    }
}

#[test]
fn a_merged_weight_is_the_weight_and_the_scaled_product() {
    let model = t5();
    let lora = lora(&model, &["q".to_owned()]);
    let merged = lora.merged(&model).unwrap();
    let pair = &lora.pairs[0];
    let index = model.parameters().index_of(&pair.weight).unwrap();
    let [before, after] = [&model, &merged].map(|m| Host::slice(m.parameters().tensor(index)));
    for row in 0..8 {
        for column in 0..8 {
            let product: f32 = (0..3)
                .map(|r| pair.b[row * 3 + r] * pair.a_transposed[column * 3 + r])
                .sum();
            let expected = before[row * 8 + column] + 2.0 * product;
            assert!((after[row * 8 + column] - expected).abs() < 1e-5);
        }
    }
}

#[test]
fn gradients_equal_finite_differences_and_do_not_depend_on_recomputation() {
    for (model, targets) in cases() {
        let lora = lora(&model, &targets);
        let gradients = |recompute| {
            let attached = lora.attach(&model, true).unwrap();
            let mut graph = Graph::training(model.device(), Default::default());
            let options = options(false, recompute);
            let loss = model.loss_with(&mut graph, &batch(), &[], Some(&attached), &options);
            let mut gradients = graph.backward(&loss, 1.0);
            let slot = |i| Host::slot(attached.tensor(i));
            (0..attached.num_tensors())
                .map(|i| Host::take_gradient(&mut gradients, &slot(i)))
                .collect::<Vec<_>>()
        };
        let computed = gradients(false);
        assert_eq!(computed, gradients(true));
        for (pair, gradients) in computed.chunks(2).enumerate() {
            for (matrix, gradient) in gradients.iter().enumerate() {
                let at = (pair * 5 + matrix) % gradient.len();
                let moved = |by: f32| {
                    let mut lora = lora.clone();
                    let pair = &mut lora.pairs[pair];
                    let values = if matrix == 0 {
                        &mut pair.a_transposed
                    } else {
                        &mut pair.b
                    };
                    values[at] += by;
                    f64::from(loss(&model, Some(&lora)))
                };
                let difference = (moved(5e-3) - moved(-5e-3)) / 1e-2;
                let found = f64::from(gradient[at]);
                assert!(
                    (found - difference).abs() < 2e-3 + 0.02 * difference.abs(),
                    "{targets:?}, pair {pair}: {found} instead of {difference}"
                );
            }
        }
    }
}

#[test]
fn gradients_of_the_model_under_frozen_changes_are_those_of_the_merged_model() {
    for (model, targets) in cases() {
        let lora = lora(&model, &targets);
        let gradients = |model: &Model<Host>, lora: Option<&AttachedLora<Host>>| {
            let mut graph = Graph::training(model.device(), Default::default());
            let options = options(true, false);
            let loss = model.loss_with(&mut graph, &batch(), &[], lora, &options);
            let mut gradients = graph.backward(&loss, 1.0);
            let slots = model.parameters().iter().map(|p| Host::slot(&p.tensor));
            slots
                .map(|slot| Host::take_gradient(&mut gradients, &slot))
                .collect::<Vec<_>>()
        };
        let attached = lora.attach(&model, false).unwrap();
        let merged = lora.merged(&model).unwrap();
        assert_eq!(gradients(&model, Some(&attached)), gradients(&merged, None));
    }
}

#[test]
fn what_cannot_be_changed_is_named() {
    let targets = ["query".to_owned()];
    let error = Lora::init(&t5(), &targets, 2, 2.0, Seed::new(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no linear layer of the model is called \"query\"; there are q, k, v, o, wi_0, wi_1, wo"
    );
    let of_t5 = lora(&t5(), &["q".to_owned()]);
    let error = of_t5.merged(&llama()).err().unwrap().to_string();
    assert_eq!(
        error,
        "the model has no weight encoder.block.0.layer.0.SelfAttention.q.weight"
    );
    let mut narrow = of_t5;
    narrow.pairs[0].b.truncate(3 * 5);
    let error = narrow.merged(&t5()).err().unwrap().to_string();
    assert!(error.ends_with("is (5, 8) in the adapter, (8, 8) in the model"));
}

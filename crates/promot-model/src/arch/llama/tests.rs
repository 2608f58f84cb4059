//! What fixtures cannot show: prompts, batches, recomputation, and what a checkpoint may lack.

use super::*;
use crate::backend::Host;
use crate::gemm::{Precision, packs_bf16};
use crate::generate::{Decoder as _, GenerateOptions};
use crate::ops::cross_entropy::LabelSmoothing;
use crate::ops::dropout::DropoutKey;

fn config() -> LlamaConfig {
    let json = br#"{"model_type": "llama", "vocab_size": 20, "hidden_size": 16,
        "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2}"#;
    LlamaConfig::from_json(json).unwrap()
}

fn model() -> Llama<Host> {
    let mut model = Llama::new(&Host::new(), config(), true, Seed::new(4));
    // As initialised, every layer is nearly the identity.
    let parameters = model.parameters_mut();
    for index in 0..parameters.len() {
        let tensor = parameters.tensor(index).clone();
        let shape = Host::shape(&tensor);
        if shape.0 > 1 {
            let values = Host::slice(&tensor).iter().map(|w| 15.0 * w).collect();
            parameters.set(index, Host::new().tensor(values, shape));
        }
    }
    model
}

fn prompt(rows: usize) -> Var<Host> {
    let values = (0..rows * 16).map(|i| (i as f32 * 0.7).sin()).collect();
    Var::leaf(Host::new().tensor(values, (rows, 16)))
}

fn batch() -> TokenBatch {
    let inputs = Ragged::from_rows([[3u32, 4, 5].as_slice(), &[], &[6, 7, 8, 9], &[13, 4]]);
    let targets = Ragged::from_rows([[10u32, 2].as_slice(), &[11, 12, 2], &[2], &[14, 10, 2]]);
    TokenBatch {
        inputs,
        targets,
        prompts: vec![Some(0), Some(1), None, Some(0)],
    }
}

fn options(recompute: bool) -> LossOptions {
    LossOptions {
        tune_model: true,
        smoothing: LabelSmoothing::t5x(0.1),
        dropout: Some(DropoutKey { rate: 0.2, key: 3 }),
        lora_dropout: None,
        recompute,
    }
}

/// The loss, and the gradients of all parameters and both prompts.
fn loss(options: &LossOptions) -> (f32, Vec<Vec<f32>>) {
    let model = model();
    let prompts = [prompt(2), prompt(1)];
    let mut graph = Graph::training(model.device(), Default::default());
    let loss = model.loss(&mut graph, &batch(), &prompts, Changed::new(), options);
    let value = loss.slice()[0];
    let mut gradients = graph.backward(&loss, 1.0);
    let parameters = model.parameters().iter().map(|p| p.tensor.clone());
    let tensors = parameters.chain(prompts.iter().map(|p| p.tensor().clone()));
    let taken = tensors.map(|t| Host::take_gradient(&mut gradients, &Host::slot(&t)));
    (value, taken.collect())
}

#[test]
fn recomputed_blocks_give_the_same_bits() {
    assert_eq!(loss(&options(false)), loss(&options(true)));
    let [once, again] = [false, true].map(|recompute| LossOptions {
        dropout: None,
        ..options(recompute)
    });
    assert_eq!(loss(&once), loss(&again));
}

/// The mean cross-entropy of the targets of [`batch`], with label smoothing, from the logits of
/// whole texts.
fn loss_from_logits(smoothing: f64) -> f64 {
    let (model, batch, prompts) = (model(), batch(), [prompt(2), prompt(1)]);
    let (mut sum, mut count) = (0.0, 0);
    for (i, target) in batch.targets.rows().enumerate() {
        let text = Ragged::from_rows([[batch.inputs.row(i), target].concat().as_slice()]);
        let (logits, _) = model.logits(&text, &prompts, &batch.prompts[i..=i]);
        let logits: Vec<f64> = logits.slice().iter().map(|&x| f64::from(x)).collect();
        let rows: Vec<&[f64]> = logits.chunks(20).collect();
        for (row, &token) in rows[rows.len() - 1 - target.len()..].iter().zip(target) {
            let log_sum_exp = row.iter().map(|x| x.exp()).sum::<f64>().ln();
            let others = smoothing / 19.0;
            for (class, x) in row.iter().enumerate() {
                let share = if class == token as usize {
                    1.0 - smoothing
                } else {
                    others
                };
                // As T5X, without the entropy of the smoothed target.
                sum += share * (log_sum_exp - x + share.ln());
            }
            count += 1;
        }
    }
    sum / f64::from(count)
}

#[test]
fn prompts_that_are_computed_once_change_neither_the_loss_nor_gradients() {
    let [once, apart] = [None, Some(DropoutKey { rate: 0.0, key: 0 })].map(|dropout| {
        loss(&LossOptions {
            dropout,
            ..options(false)
        })
    });
    let expected = loss_from_logits(0.1);
    for (value, _) in [&once, &apart] {
        assert!(
            (f64::from(*value) - expected).abs() < 1e-5,
            "{value} for {expected}"
        );
    }
    // A number on matrix units is the sum of two bf16, right to some 2^-16, and these weights are large.
    let tolerance = if packs_bf16(Precision::F32) {
        5e-4
    } else {
        1e-5
    };
    for (a, b) in once.1.iter().zip(&apart.1) {
        let largest = b.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        assert!(largest > 0.0, "everything has a gradient");
        let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs() / largest);
        let most = differences.fold(0.0, f32::max);
        assert!(most <= tolerance, "{most} of {largest}");
    }
}

/// Large enough for several tasks in every op.
#[test]
fn one_thread_or_two_give_the_same_bits() {
    let json = br#"{"model_type": "llama", "vocab_size": 200, "hidden_size": 64,
        "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2}"#;
    let config = LlamaConfig::from_json(json).unwrap();
    let row = |i: u32| -> Vec<u32> { (0..30 + 3 * i).map(|t| 3 + (t * t + i) % 190).collect() };
    let rows: Vec<Vec<u32>> = (0..24).map(row).collect();
    let batch = TokenBatch::new(
        Ragged::from_rows(rows.iter().map(Vec::as_slice)),
        Ragged::from_rows(rows.iter().map(|row| &row[..3])),
    );
    let batch = batch.with_prompt(0);
    let step = || {
        let model = Llama::new(&Host::new(), config.clone(), true, Seed::new(4));
        let values = (0..20 * 64).map(|i| (i as f32 * 0.7).sin()).collect();
        let prompt = Var::leaf(Host::new().tensor(values, (20, 64)));
        let options = LossOptions {
            dropout: None,
            ..options(false)
        };
        let mut graph = Graph::training(model.device(), Default::default());
        let prompts = std::slice::from_ref(&prompt);
        let loss = model.loss(&mut graph, &batch, prompts, Changed::new(), &options);
        let value = loss.slice()[0];
        let mut gradients = graph.backward(&loss, 1.0);
        let tensors = model.parameters().iter().map(|p| &p.tensor);
        let mut take = |t| Host::take_gradient(&mut gradients, &Host::slot(t));
        let gradients: Vec<_> = tensors.chain([prompt.tensor()]).map(&mut take).collect();
        (value, gradients)
    };
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(step)
    };
    assert!(on(1) == on(2));
}

#[test]
fn a_frozen_model_leaves_the_gradients_of_prompts_as_they_are() {
    for dropout in [options(false).dropout, None] {
        let [tuned, frozen] = [true, false].map(|tune_model| LossOptions {
            tune_model,
            dropout,
            ..options(false)
        });
        let (value, tuned) = loss(&tuned);
        let (same, gradients) = loss(&frozen);
        assert_eq!(value, same);
        let prompts = tuned.len() - 2;
        assert_eq!(tuned[prompts..], gradients[prompts..]);
        assert!(gradients[..prompts].iter().flatten().all(|&g| g == 0.0));
        assert!(gradients[prompts..].iter().flatten().any(|&g| g != 0.0));
    }
}

#[test]
fn a_prompt_that_repeats_embedded_tokens_acts_as_these_tokens() {
    let model = model();
    let table = model.parameters().get(EMBEDDING).unwrap().tensor.clone();
    let rows = |ids: &[usize]| -> Vec<f32> {
        let row = |&id: &usize| Host::slice(&table)[id * 16..][..16].to_vec();
        ids.iter().flat_map(row).collect()
    };
    let prompt = Var::constant(Host::new().tensor(rows(&[5, 9, 3]), (3, 16)));
    let after = Ragged::from_rows([[7u32, 8].as_slice(), &[4]]);
    let whole = Ragged::from_rows([[5u32, 9, 3, 7, 8].as_slice(), &[4]]);
    let (prompts, prompt_of) = ([prompt], [Some(0), None]);
    let (logits, offsets) = model.logits(&after, &prompts, &prompt_of);
    let (expected, same) = model.logits(&whole, &[], &[None, None]);
    assert_eq!(offsets, same);
    assert_eq!(logits.slice(), expected.slice());

    let options = GenerateOptions {
        max_new_tokens: 6,
        ..GenerateOptions::default()
    };
    let model = crate::arch::Model::from(model);
    assert_eq!(
        model.generate(&after, &prompts, &prompt_of, &options),
        model.generate(&whole, &[], &[None, None], &options)
    );
}

#[test]
fn rows_of_a_decoder_go_on_as_they_would_alone() {
    let model = model();
    let inputs = Ragged::from_rows([[3u32].as_slice(), &[4, 5, 6], &[7, 8]]);
    let mut together = model.decoder_for(&inputs, &[], &[None; 3]);
    together.step(&[3, 6, 8]);
    // The first row is finished; the second has two beams, the first of which the third repeats.
    together.select(&[1, 1, 2]);
    let logits = together.step(&[10, 11, 12]).logits();
    for (row, (source, token)) in [(1, 10), (1, 11), (2, 12)].into_iter().enumerate() {
        let input = inputs.row(source);
        let mut alone = model.decoder_for(&Ragged::from_rows([input]), &[], &[None]);
        alone.step(&input[input.len() - 1..]);
        for (a, b) in logits[row * 20..][..20]
            .iter()
            .zip(alone.step(&[token]).logits())
        {
            assert!((a - b).abs() < 1e-4, "row {row}: {a} instead of {b}");
        }
    }
}

#[test]
fn frequencies_in_a_checkpoint_are_passed_over_and_other_tensors_refused() {
    let tensors = || -> NamedTensors {
        let named = layout(&config(), true).into_iter();
        named
            .map(|(name, (r, c))| (name, (vec![0.0; r * c], vec![r, c])))
            .collect()
    };
    let load = |tensors| Llama::from_tensors(&Host::new(), config(), tensors);
    let mut old = tensors();
    let name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    old.insert(name.to_owned(), (vec![0.0; 2], vec![2]));
    assert!(load(old).unwrap().is_tied());

    let mut missing = tensors();
    missing.remove("model.layers.1.mlp.up_proj.weight");
    let error = load(missing).err().unwrap().to_string();
    assert_eq!(error, "tensor model.layers.1.mlp.up_proj.weight is missing");
    let mut biased = tensors();
    let name = "model.layers.0.self_attn.q_proj.bias";
    biased.insert(name.to_owned(), (vec![0.0; 16], vec![16]));
    let error = load(biased).err().unwrap().to_string();
    assert!(error.starts_with("tensor model.layers.0.self_attn.q_proj.bias belongs"));
}

#[test]
fn inputs_with_a_common_beginning_are_answered_as_each_alone() {
    let model = crate::arch::Model::from(model());
    let ends = [[3u32, 4].as_slice(), &[5], &[6, 7, 8, 3]];
    let prompts = [prompt(3), prompt(40)];
    let cases = [
        (50, vec![Some(0); 3]),
        (50, vec![None; 3]),
        (50, vec![Some(0), None, None]),
        (0, vec![Some(1); 3]),
        (2, vec![Some(1); 3]),
    ];
    for beams in [1, 3] {
        let options = GenerateOptions {
            max_new_tokens: 6,
            beams,
            ..GenerateOptions::default()
        };
        for (common, prompt_of) in cases.clone() {
            let beginning: Vec<u32> = (0..common).map(|i| 3 + i % 11).collect();
            let rows = ends.iter().map(|end| [&beginning, *end].concat());
            let rows: Vec<Vec<u32>> = rows.collect();
            let inputs = Ragged::from_rows(rows.iter().map(Vec::as_slice));
            let together = model.generate(&inputs, &prompts, &prompt_of, &options);
            for (i, (row, answer)) in rows.iter().zip(&together).enumerate() {
                let input = Ragged::from_rows([row.as_slice()]);
                let alone = model.generate(&input, &prompts, &prompt_of[i..=i], &options);
                assert_eq!(&alone[0], answer, "{beams} beams, row {i}");
            }
        }
    }
}

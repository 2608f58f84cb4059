//! The whole model against Hugging Face transformers: T5 v1.0, v1.1 and mT5 in small.
//!
//! The fixtures are made by `fixtures/t5/make_fixtures.py`.

use std::fs;
use std::path::{Path, PathBuf};

use promot_core::{Ragged, TokenBatch};
use promot_model::arch::T5;
use promot_model::arch::t5::LossOptions;
use promot_model::backend::{Device, Host};
use promot_model::checkpoint::{NamedTensors, load_model, parse_tensors};
use promot_model::generate::{Decoder as _, GenerateOptions, LengthPenalty, generate};
use promot_model::graph::{Graph, Var};
use promot_model::ops::cross_entropy::{LabelSmoothing, SmoothingConvention};

const MODELS: [&str; 3] = ["v1_0", "v1_1", "mt5"];
const INPUT_LENGTHS: [usize; 4] = [1, 5, 12, 40];
const TARGET_LENGTHS: [usize; 4] = [3, 1, 20, 7];
/// Largest difference relative to the largest value of a tensor.
const TOLERANCE: f64 = 1e-4;

struct Fixture {
    name: &'static str,
    model: T5<Host>,
    expected: NamedTensors,
}

impl Fixture {
    fn load(name: &'static str) -> Self {
        let directory: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/t5")
            .join(name);
        let bytes = fs::read(directory.join("expected.safetensors")).unwrap();
        Self {
            name,
            model: load_model(&Host::new(), &directory).unwrap(),
            expected: parse_tensors(&bytes).unwrap(),
        }
    }

    fn values(&self, tensor: &str) -> &[f32] {
        &self.expected[tensor].0
    }

    fn ids(&self, tensor: &str) -> Vec<u32> {
        self.values(tensor).iter().map(|&id| id as u32).collect()
    }

    fn ragged(&self, tensor: &str, lengths: &[usize]) -> Ragged {
        let ids = self.ids(tensor);
        let mut start = 0;
        Ragged::from_rows(lengths.iter().map(|&length| {
            start += length;
            &ids[start - length..start]
        }))
    }

    fn inputs(&self) -> Ragged {
        self.ragged("input_ids", &INPUT_LENGTHS)
    }

    fn targets(&self) -> Ragged {
        self.ragged("target_ids", &TARGET_LENGTHS)
    }

    fn assert_close(&self, what: &str, found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len(), "{}: {what}", self.name);
        let largest = expected
            .iter()
            .fold(0.0f64, |a, &b| a.max(f64::from(b).abs()));
        let difference = found
            .iter()
            .zip(expected)
            .map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs())
            .fold(0.0, f64::max);
        assert!(
            difference <= TOLERANCE * largest,
            "{}: {what}: {difference:.3e} off, largest value {largest:.3e}",
            self.name
        );
    }

    fn loss(&self, smoothing: LabelSmoothing) -> (f32, Vec<(String, Vec<f32>)>) {
        let device = self.model.device();
        let mut graph = Graph::training(device, Default::default());
        let batch = TokenBatch::new(self.inputs(), self.targets());
        let options = LossOptions {
            tune_model: true,
            smoothing,
            dropout: None,
            recompute: false,
        };
        let loss = self.model.loss(&mut graph, &batch, &[], &options);
        let value = loss.slice()[0];
        let mut gradients = graph.backward(&loss, 1.0);
        let taken = self.model.parameters().iter().map(|parameter| {
            let slot = Var::<Host>::leaf(parameter.tensor.clone()).slot().unwrap();
            (
                parameter.name.clone(),
                Host::take_gradient(&mut gradients, &slot),
            )
        });
        (value, taken.collect())
    }
}

#[test]
fn encoder_states_and_logits_agree() {
    for name in MODELS {
        let fixture = Fixture::load(name);
        let inputs = fixture.inputs();
        let encoded = fixture
            .model
            .encode(&inputs, &[], &vec![None; inputs.len()]);
        let states = fixture.values("encoder_states");
        fixture.assert_close("encoder states", encoded.states().slice(), states);

        // Logits through the cached decoder, fed with the targets.
        let vocab_size = fixture.model.config().vocab_size;
        let expected = fixture.values("logits");
        let mut start = 0;
        for (row, target) in fixture.targets().rows().enumerate() {
            let mut decoder = fixture.model.decoder_for(&encoded);
            decoder.select(&[row]);
            let shifted = [fixture.model.config().decoder_start_token_id]
                .into_iter()
                .chain(target.iter().copied());
            for (position, token) in shifted.take(target.len()).enumerate() {
                let at = (start + position) * vocab_size;
                fixture.assert_close(
                    &format!("logits of row {row}, position {position}"),
                    &decoder.step(&[token]),
                    &expected[at..at + vocab_size],
                );
            }
            start += target.len();
        }
    }
}

#[test]
fn loss_and_all_gradients_agree() {
    for name in MODELS {
        let fixture = Fixture::load(name);
        let (loss, gradients) = fixture.loss(LabelSmoothing::NONE);
        fixture.assert_close("loss", &[loss], fixture.values("loss"));
        let expected = fixture
            .expected
            .keys()
            .filter(|key| key.starts_with("gradient "))
            .count();
        assert_eq!(gradients.len(), expected, "{name}: parameters");
        for (parameter, gradient) in gradients {
            let expected = fixture.values(&format!("gradient {parameter}"));
            fixture.assert_close(&parameter, &gradient, expected);
        }
        let smoothing = LabelSmoothing {
            epsilon: 0.1,
            convention: SmoothingConvention::AllClasses,
        };
        let (loss, _) = fixture.loss(smoothing);
        fixture.assert_close("smoothed loss", &[loss], fixture.values("smoothed_loss"));
    }
}

#[test]
fn greedy_and_beam_search_generate_the_same_tokens() {
    for name in MODELS {
        let fixture = Fixture::load(name);
        let inputs = fixture.inputs();
        for beams in [1, 4] {
            let options = GenerateOptions {
                max_new_tokens: 14,
                beams,
                length_penalty: LengthPenalty::HuggingFace { alpha: 1.0 },
            };
            let outputs = generate(
                &fixture.model,
                &inputs,
                &[],
                &vec![None; inputs.len()],
                &options,
            );
            for (row, output) in outputs.iter().enumerate() {
                let expected = fixture.ids(&format!("beams {beams} row {row}"));
                assert_eq!(output, &expected[1..], "{name}: {beams} beams, row {row}");
            }
        }
    }
}

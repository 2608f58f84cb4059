//! The whole model against Hugging Face transformers: Llamas in small, with grouped heads and a tied
//! head, and with one head of keys and a head of its own.
//!
//! The fixtures are made by `fixtures/llama/make_fixtures.py`.

mod fixture;

use fixture::Fixture;
use promot_core::Ragged;
use promot_model::arch::Model;
use promot_model::generate::Decoder as _;

const MODELS: [&str; 2] = ["grouped_tied", "shared_untied"];

#[test]
fn logits_agree_at_once_and_token_by_token() {
    for name in MODELS {
        let fixture = Fixture::load("llama", name);
        let Model::Llama(model) = &fixture.model else {
            panic!("a Llama");
        };
        let vocab_size = model.config().vocab_size;
        let expected = fixture.values("logits");
        let mut first = 0;
        for (input, target) in fixture.inputs().rows().zip(fixture.targets().rows()) {
            let expected = &expected[first * vocab_size..][..target.len() * vocab_size];
            first += target.len();

            let fed = &target[..target.len() - 1];
            let sequence = Ragged::from_rows([[input, fed].concat().as_slice()]);
            let (logits, _) = model.logits(&sequence, &[], &[None]);
            let of_target = (input.len() - 1) * vocab_size;
            fixture.assert_close("logits at once", &logits.slice()[of_target..], expected);

            let mut decoder = model.decoder_for(&Ragged::from_rows([input]), &[], &[None]);
            let tokens = input.last().into_iter().chain(fed);
            for (token, expected) in tokens.zip(expected.chunks(vocab_size)) {
                fixture.assert_close(
                    "logits of a step",
                    &decoder.step(&[*token]).logits(),
                    expected,
                );
            }
        }
    }
}

#[test]
fn loss_and_all_gradients_agree() {
    for name in MODELS {
        Fixture::load("llama", name).assert_loss_and_gradients_agree();
    }
}

#[test]
fn greedy_and_beam_search_generate_the_same_tokens() {
    for name in MODELS {
        Fixture::load("llama", name).assert_same_tokens_are_generated();
    }
}

//! The whole model against Hugging Face transformers: T5 v1.0, v1.1 and mT5 in small.
//!
//! The fixtures are made by `fixtures/t5/make_fixtures.py`.

mod fixture;

use fixture::Fixture;
use promot_model::arch::Model;
use promot_model::generate::Decoder as _;

const MODELS: [&str; 3] = ["v1_0", "v1_1", "mt5"];

#[test]
fn encoder_states_and_logits_agree() {
    for name in MODELS {
        let fixture = Fixture::load("t5", name);
        let Model::T5(model) = &fixture.model else {
            panic!("a T5");
        };
        let inputs = fixture.inputs();
        let encoded = model.encode(&inputs, &[], &vec![None; inputs.len()]);
        let states = fixture.values("encoder_states");
        fixture.assert_close("encoder states", encoded.states().slice(), states);

        // Logits through the cached decoder, fed with the targets.
        let vocab_size = model.config().vocab_size;
        let expected = fixture.values("logits");
        let mut start = 0;
        for (row, target) in fixture.targets().rows().enumerate() {
            let mut decoder = model.decoder_for(&encoded);
            decoder.select(&[row]);
            let shifted = [model.config().decoder_start_token_id]
                .into_iter()
                .chain(target.iter().copied());
            for (position, token) in shifted.take(target.len()).enumerate() {
                let at = (start + position) * vocab_size;
                fixture.assert_close(
                    &format!("logits of row {row}, position {position}"),
                    &decoder.step(&[token]).logits(),
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
        Fixture::load("t5", name).assert_loss_and_gradients_agree();
    }
}

#[test]
fn greedy_and_beam_search_generate_the_same_tokens() {
    for name in MODELS {
        Fixture::load("t5", name).assert_same_tokens_are_generated();
    }
}

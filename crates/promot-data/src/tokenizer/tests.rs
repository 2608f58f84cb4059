//! The two layouts: of T5, whose tokenizer the mini world has, and of decoder-only models.

use super::*;

/// A byte-level BPE in small, as decoder-only models have it.
fn byte_level() -> Vec<u8> {
    let mut vocab = serde_json::Map::new();
    for token in [
        "<|end|>",
        "a",
        "b",
        "\u{120}",
        "\u{10a}",
        "\u{10a}\u{10a}",
        "\u{120}a",
    ] {
        vocab.insert(token.to_owned(), vocab.len().into());
    }
    let json = serde_json::json!({
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": "<|end|>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
            "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab,
            "merges": [["\u{10a}", "\u{10a}"], ["\u{120}", "a"]]},
    });
    serde_json::to_vec(&json).unwrap()
}

fn decoder_only() -> Tokenizer {
    Tokenizer::from_bytes(&byte_level(), TextLayout::DecoderOnly { eos: 0 }).unwrap()
}

#[test]
fn an_encoder_decoder_has_its_end_after_input_and_target() {
    let tokenizer = train_mini().unwrap();
    let ids = tokenizer.encode_input("True");
    assert_eq!(ids, tokenizer.encode_target("True"));
    assert_eq!(ids.last(), Some(&tokenizer.eos()));
    assert!(tokenizer.answer_ends().is_empty());
}

#[test]
fn a_target_follows_its_input_after_a_space_as_in_a_worked_example() {
    let tokenizer = decoder_only();
    let (input, target) = (tokenizer.encode_input("b"), tokenizer.encode_target("a"));
    assert_eq!(
        (input.as_slice(), target.as_slice()),
        ([2].as_slice(), [6, 0].as_slice())
    );
    assert_eq!(
        [input, target].concat(),
        [tokenizer.encode_input("b a"), vec![0]].concat()
    );
    assert_eq!(tokenizer.decode(&[6, 0]), "a");
    assert_eq!(tokenizer.encode_input(""), [0]);
}

#[test]
fn line_breaks_end_the_answers_of_a_decoder_only_model() {
    assert_eq!(decoder_only().answer_ends(), [4, 5]);
}

#[test]
fn a_tokenizer_without_sentinels_is_not_t5s() {
    let error = Tokenizer::from_bytes(&byte_level(), TextLayout::EncoderDecoder);
    assert_eq!(
        error.err().unwrap().to_string(),
        "the vocabulary has no token <pad>"
    );
}

#[test]
fn a_damaged_file_is_an_error_and_no_panic_wherever_it_ends() {
    let whole = byte_level();
    for len in 0..whole.len() {
        let error = Tokenizer::from_bytes(&whole[..len], TextLayout::DecoderOnly { eos: 0 });
        let error = error.err().unwrap().to_string();
        assert!(error.starts_with("not a tokenizer.json: "), "{error}");
        assert!(error.contains("EOF while parsing"), "{len}: {error}");
    }
    // JSON, but none that the library's readers expect, some of which panic.
    let whole: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    for (key, value) in [
        ("decoder", serde_json::json!(7)),
        ("normalizer", serde_json::json!({"type": "Precompiled"})),
        ("model", serde_json::json!(null)),
    ] {
        let mut damaged = whole.clone();
        damaged[key] = value;
        let bytes = serde_json::to_vec(&damaged).unwrap();
        let error = Tokenizer::from_bytes(&bytes, TextLayout::DecoderOnly { eos: 0 }).err();
        let error = error.expect(key).to_string();
        assert!(error.starts_with("not a tokenizer.json: "), "{error}");
    }
    let error = Tokenizer::from_bytes(b"[]", TextLayout::EncoderDecoder).err();
    assert!(error.unwrap().to_string().contains("expected a map"));
}

#[test]
fn ids_that_are_left_out_want_embeddings_too() {
    let mut json: serde_json::Value = serde_json::from_slice(&byte_level()).unwrap();
    json["model"]["vocab"]["\u{10a}\u{10a}"] = 40.into();
    let bytes = serde_json::to_vec(&json).unwrap();
    let tokenizer = Tokenizer::from_bytes(&bytes, TextLayout::DecoderOnly { eos: 0 }).unwrap();
    assert_eq!(tokenizer.vocab_size(), 41);
    assert_eq!(tokenizer.answer_ends(), [4, 40]);
    assert_eq!(decoder_only().vocab_size(), 7);
}

//! The files beside weights that tell transformers' `AutoTokenizer` and `generate` what to do.

use promot_data::tokenizer::Tokenizer;
use promot_model::arch::ModelConfig;
use serde_json::{Map, Value, json};

/// `generation_config.json`: the tokens that start and end an answer.
pub(super) fn generation(config: &ModelConfig) -> Value {
    let mut object = Map::new();
    match config {
        ModelConfig::T5(config) => {
            object.insert(
                "decoder_start_token_id".to_owned(),
                config.decoder_start_token_id.into(),
            );
            object.insert("eos_token_id".to_owned(), config.eos_token_id.into());
            object.insert("pad_token_id".to_owned(), config.pad_token_id.into());
        }
        ModelConfig::Llama(config) => {
            if let Some(id) = config.bos_token_id {
                object.insert("bos_token_id".to_owned(), id.into());
            }
            object.insert("eos_token_id".to_owned(), json!(config.eos_token_id));
            object.insert("pad_token_id".to_owned(), padding(config).into());
        }
    }
    object.into()
}

/// Padding is masked out, so the token that ends a sequence serves where a model has none for it.
fn padding(config: &promot_model::arch::LlamaConfig) -> u32 {
    config.pad_token_id.unwrap_or(config.eos_token_id.first())
}

/// `tokenizer.json`: an encoder's input ends with the end-of-sequence token. Here whoever encodes
/// appends it, elsewhere the tokenizer itself is asked to.
pub(super) fn tokenizer(tokenizer: &Tokenizer, config: &ModelConfig) -> Value {
    let mut json: Value = serde_json::from_str(&tokenizer.to_json()).expect("just serialised");
    let eos = config.eos_token_id();
    if let (true, Some(token)) = (config.is_encoder_decoder(), tokenizer.token(eos))
        && json["post_processor"].is_null()
    {
        let text = |name: &str| json!({ "Sequence": { "id": name, "type_id": 0 } });
        let end = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
        let mut special = Map::new();
        special.insert(
            token.clone(),
            json!({ "id": token, "ids": [eos], "tokens": [token] }),
        );
        json["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [text("A"), end],
            "pair": [text("A"), end, text("B"), end],
            "special_tokens": special,
        });
    }
    json
}

/// `tokenizer_config.json`: a fast tokenizer, read from `tokenizer.json` alone, with the names of
/// its special tokens.
pub(super) fn tokenizer_config(tokenizer: &Tokenizer, config: &ModelConfig) -> Value {
    let (bos, pad) = match config {
        ModelConfig::T5(config) => (None, config.pad_token_id),
        ModelConfig::Llama(config) => (config.bos_token_id, padding(config)),
    };
    let mut object = Map::new();
    // The name that releases 4 and 5 of transformers both know.
    object.insert(
        "tokenizer_class".to_owned(),
        "PreTrainedTokenizerFast".into(),
    );
    for (name, id) in [
        ("bos_token", bos),
        ("eos_token", Some(config.eos_token_id())),
        ("pad_token", Some(pad)),
    ] {
        if let Some(token) = id.and_then(|id| tokenizer.token(id)) {
            object.insert(name.to_owned(), token.into());
        }
    }
    // Decoded text is what the tokens say, with every space.
    object.insert("clean_up_tokenization_spaces".to_owned(), false.into());
    object.into()
}

#[cfg(test)]
mod tests {
    use promot_data::tokenizer::TextLayout;

    use super::*;
    use crate::builtin;

    fn t5() -> ModelConfig {
        ModelConfig::from_json(builtin::find("mini-t5").unwrap().config).unwrap()
    }

    fn llama(more: &str) -> ModelConfig {
        let json = format!(
            r#"{{"model_type": "llama", "vocab_size": 1849, "hidden_size": 8, "num_hidden_layers": 1,
            "intermediate_size": 16, "num_attention_heads": 2 {more}}}"#
        );
        ModelConfig::from_json(json.as_bytes()).unwrap()
    }

    fn mini(layout: TextLayout) -> Tokenizer {
        Tokenizer::from_bytes(builtin::find("mini-t5").unwrap().tokenizer, layout).unwrap()
    }

    #[test]
    fn an_encoder_decoders_tokenizer_ends_inputs_and_is_read_back_as_it_was() {
        let before = mini(TextLayout::EncoderDecoder);
        let json = tokenizer(&before, &t5());
        assert_eq!(
            json["post_processor"]["special_tokens"]["</s>"]["ids"],
            json!([1])
        );
        let bytes = json.to_string();
        let after = Tokenizer::from_bytes(bytes.as_bytes(), TextLayout::EncoderDecoder).unwrap();
        let text = "Anna is tall.";
        assert_eq!(after.encode_input(text), before.encode_input(text));
        // Exported again, nothing is added.
        assert_eq!(tokenizer(&after, &t5()), json);
        assert_eq!(
            tokenizer_config(&before, &t5()),
            json!({ "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>",
                "pad_token": "<pad>", "clean_up_tokenization_spaces": false })
        );
        assert_eq!(
            generation(&t5()),
            json!({ "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0 })
        );
    }

    #[test]
    fn a_decoder_only_model_pads_with_what_ends_a_sequence_if_it_has_nothing_else() {
        let several = llama(r#", "eos_token_id": [1, 5], "bos_token_id": 3"#);
        assert_eq!(
            generation(&several),
            json!({ "bos_token_id": 3, "eos_token_id": [1, 5], "pad_token_id": 1 })
        );
        let layout = TextLayout::DecoderOnly { eos: 1 };
        assert!(tokenizer(&mini(layout), &several)["post_processor"].is_null());
        let config = tokenizer_config(&mini(layout), &llama(r#", "eos_token_id": 1"#));
        assert_eq!(
            (&config["eos_token"], &config["pad_token"]),
            (&"</s>".into(), &"</s>".into())
        );
        assert_eq!(config.get("bos_token"), None);
    }
}

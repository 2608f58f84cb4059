//! Llama's `config.json` with the keys Hugging Face transformers writes.

use serde::{Deserialize, Serialize};

use super::config::{ConfigError, check_epsilon, check_id, check_sizes, parse};

/// One id, or several that all end a sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EndTokens {
    /// One.
    One(u32),
    /// Several; the first is the one that training teaches.
    Several(Vec<u32>),
}

impl EndTokens {
    /// All of them.
    pub fn all(&self) -> &[u32] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Several(ids) => ids,
        }
    }

    /// The one that training teaches.
    pub fn first(&self) -> u32 {
        self.all()[0]
    }
}

/// How rotary frequencies are made, as transformers 5 writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RopeParameters {
    /// The base of the frequencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    /// Only `default` is computed here.
    #[serde(default, alias = "type")]
    pub rope_type: Option<String>,
}

/// Sizes and variants of a Llama (`transformers.LlamaConfig`).
///
/// Keys that do not change the computation are ignored when reading and not written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    /// Always `llama`.
    pub model_type: String,
    /// Rows of the embedding table and of the head (V).
    pub vocab_size: usize,
    /// Width of the residual stream (D).
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of queries (H).
    pub num_attention_heads: usize,
    /// Heads of keys and values (G), which groups of `H / G` query heads share; H if absent.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Width of one head; D / H if absent.
    #[serde(default)]
    pub head_dim: Option<usize>,
    /// Only `silu` is computed here.
    #[serde(default = "silu")]
    pub hidden_act: String,
    /// Added to the mean square in RMS normalisation.
    #[serde(default = "default_epsilon")]
    pub rms_norm_eps: f32,
    /// The base of the rotary frequencies; transformers 5 writes it into `rope_parameters`.
    #[serde(default)]
    pub rope_theta: Option<f64>,
    /// How frequencies are scaled for long inputs; only `default` is computed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeParameters>,
    /// `rope_theta` and `rope_scaling` in one, as transformers 5 writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_parameters: Option<RopeParameters>,
    /// Tokens that the model was trained on at a time.
    #[serde(default = "default_positions")]
    pub max_position_embeddings: usize,
    /// Whether projections of attention have biases; not supported.
    #[serde(default)]
    pub attention_bias: bool,
    /// Whether projections of the feed-forward layer have biases; not supported.
    #[serde(default)]
    pub mlp_bias: bool,
    /// Whether input embeddings serve as output head. Written for other tools; when reading, the
    /// presence of `lm_head.weight` decides.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// The token that begins a sequence, where the tokenizer puts one.
    #[serde(default)]
    pub bos_token_id: Option<u32>,
    /// The token or tokens that end a sequence.
    #[serde(default = "default_eos")]
    pub eos_token_id: EndTokens,
    /// Padding; never fed to the model here.
    #[serde(default)]
    pub pad_token_id: Option<u32>,
    /// Written so that `transformers.AutoModel` finds the class.
    #[serde(default = "default_architectures")]
    pub architectures: Vec<String>,
}

fn silu() -> String {
    "silu".to_owned()
}
fn default_epsilon() -> f32 {
    1e-6
}
fn default_positions() -> usize {
    2048
}
fn default_eos() -> EndTokens {
    EndTokens::One(2)
}
fn default_architectures() -> Vec<String> {
    vec!["LlamaForCausalLM".to_owned()]
}

impl LlamaConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// If it is not one, or describes a model that cannot be or is not supported.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        let config: Self = parse(json)?;
        config.check()?;
        Ok(config)
    }

    /// As `config.json`, with a final newline.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("plain data serialises");
        json.push('\n');
        json
    }

    /// Heads of keys and values (G).
    pub fn num_kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of one head.
    pub fn d_head(&self) -> usize {
        self.head_dim
            .unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// The base of the rotary frequencies; 10,000 if nothing says otherwise.
    pub fn theta(&self) -> f64 {
        let in_parameters = self.rope_parameters.as_ref().and_then(|p| p.rope_theta);
        in_parameters.or(self.rope_theta).unwrap_or(10_000.0)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let unsupported = |key, value: &str, expected| {
            Err(ConfigError::Value {
                key,
                value: value.to_owned(),
                expected,
            })
        };
        if self.model_type != "llama" {
            return unsupported("model_type", &self.model_type, "expected llama");
        }
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_kv_heads()),
            ("head_dim", self.d_head()),
        ])?;
        if !self.num_attention_heads.is_multiple_of(self.num_kv_heads()) {
            let value = self.num_kv_heads().to_string();
            return unsupported(
                "num_key_value_heads",
                &value,
                "expected a divisor of num_attention_heads",
            );
        }
        if !self.d_head().is_multiple_of(2) {
            let value = self.d_head().to_string();
            return unsupported("head_dim", &value, "expected an even number");
        }
        if self.hidden_act != "silu" {
            return unsupported("hidden_act", &self.hidden_act, "only silu is supported");
        }
        for (key, biased) in [
            ("attention_bias", self.attention_bias),
            ("mlp_bias", self.mlp_bias),
        ] {
            if biased {
                return unsupported(key, "true", "models with biases are not supported");
            }
        }
        for (key, parameters) in [
            ("rope_scaling", &self.rope_scaling),
            ("rope_parameters", &self.rope_parameters),
        ] {
            let kind = parameters.as_ref().and_then(|p| p.rope_type.as_deref());
            if let Some(kind) = kind.filter(|&kind| kind != "default") {
                let expected = "only the default frequencies are supported, without scaling";
                return unsupported(key, kind, expected);
            }
        }
        if !(self.theta().is_finite() && self.theta() > 1.0) {
            let value = self.theta().to_string();
            return unsupported("rope_theta", &value, "expected a number above 1");
        }
        check_epsilon("rms_norm_eps", self.rms_norm_eps)?;
        if self.eos_token_id.all().is_empty() {
            return unsupported("eos_token_id", "[]", "expected at least one id");
        }
        for &id in self.eos_token_id.all() {
            check_id("eos_token_id", id, self.vocab_size)?;
        }
        match self.bos_token_id {
            Some(id) => check_id("bos_token_id", id, self.vocab_size),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = r#"{"model_type": "llama", "vocab_size": 10, "hidden_size": 8,
        "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4,
        "num_key_value_heads": 2, "some_other_key": [1]}"#;

    #[test]
    fn reads_what_hugging_face_writes_and_writes_it_back() {
        let config = LlamaConfig::from_json(TINY.as_bytes()).unwrap();
        assert_eq!((config.num_kv_heads(), config.d_head()), (2, 2));
        assert_eq!(
            LlamaConfig::from_json(config.to_json().as_bytes()),
            Ok(config)
        );
    }

    #[test]
    fn frequencies_are_read_where_either_version_of_transformers_writes_them() {
        let with = |more: &str| {
            let json = TINY.replace("\"some_other_key\": [1]", more);
            LlamaConfig::from_json(json.as_bytes()).unwrap().theta()
        };
        assert_eq!(with("\"rope_scaling\": null"), 10_000.0);
        assert_eq!(with("\"rope_theta\": 100000.0"), 100_000.0);
        let parameters = r#""rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}"#;
        assert_eq!(with(parameters), 500_000.0);
    }

    #[test]
    fn names_the_key_that_is_wrong() {
        for (from, to, expected) in [
            ("\"hidden_size\": 8,", "", "hidden_size"),
            (
                "\"num_key_value_heads\": 2",
                "\"num_key_value_heads\": 3",
                "num_key_value_heads is 3, expected a divisor",
            ),
            (
                "\"some_other_key\": [1]",
                "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}",
                "rope_scaling is llama3, only the default",
            ),
            (
                "\"some_other_key\": [1]",
                "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 8.0}",
                "rope_scaling is linear, only the default",
            ),
            (
                "\"some_other_key\": [1]",
                "\"attention_bias\": true",
                "attention_bias is true",
            ),
            (
                "\"some_other_key\": [1]",
                "\"hidden_act\": \"gelu\"",
                "hidden_act is gelu",
            ),
            (
                "\"some_other_key\": [1]",
                "\"eos_token_id\": [1, 99]",
                "eos_token_id is 99",
            ),
            (
                "\"some_other_key\": [1]",
                "\"eos_token_id\": []",
                "eos_token_id is []",
            ),
            (
                "\"some_other_key\": [1]",
                "\"head_dim\": 3",
                "head_dim is 3, expected an even number",
            ),
        ] {
            let json = TINY.replace(from, to);
            let error = LlamaConfig::from_json(json.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

//! T5's `config.json` with the keys Hugging Face transformers writes.

use serde::{Deserialize, Serialize};

use super::config::{ConfigError, check_epsilon, check_id, check_sizes, parse};

/// The feed-forward variant (`feed_forward_proj`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeedForward {
    /// One input projection and ReLU: T5 v1.0.
    #[serde(rename = "relu")]
    Relu,
    /// Two input projections and GELU's tanh approximation: T5 v1.1 and mT5.
    #[serde(rename = "gated-gelu")]
    GatedGelu,
}

/// Sizes and variants of a T5 (`transformers.T5Config`, `transformers.MT5Config`).
///
/// Keys that do not change the computation are ignored when reading and not written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct T5Config {
    /// `t5` or `mt5`.
    #[serde(default = "default_model_type")]
    pub model_type: String,
    /// Rows of the embedding table and of the head (V).
    pub vocab_size: usize,
    /// Width of the residual stream (D).
    pub d_model: usize,
    /// Width of one head's queries, keys and values.
    pub d_kv: usize,
    /// Width of the feed-forward layer.
    pub d_ff: usize,
    /// Encoder layers.
    pub num_layers: usize,
    /// Decoder layers; as many as encoder layers if absent.
    #[serde(default)]
    pub num_decoder_layers: Option<usize>,
    /// Attention heads (H).
    pub num_heads: usize,
    /// Rows of the relative position tables.
    #[serde(default = "default_buckets")]
    pub relative_attention_num_buckets: usize,
    /// Distance from which all positions share a bucket.
    #[serde(default = "default_max_distance")]
    pub relative_attention_max_distance: usize,
    /// Added to the mean square in RMS normalisation.
    #[serde(default = "default_epsilon")]
    pub layer_norm_epsilon: f32,
    /// The feed-forward variant.
    #[serde(default = "default_feed_forward")]
    pub feed_forward_proj: FeedForward,
    /// Whether input embeddings serve as output head. Written for other tools; when reading, the
    /// presence of `lm_head.weight` decides, since some tools save a wrong value here.
    #[serde(default = "default_true")]
    pub tie_word_embeddings: bool,
    /// Whether logits are multiplied with `d_model^-0.5`, where transformers 5 says so: it saves
    /// `tie_word_embeddings` as true for every T5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_decoder_outputs: Option<bool>,
    /// Dropout the model was trained with.
    #[serde(default = "default_dropout")]
    pub dropout_rate: f32,
    /// The decoder's first input.
    #[serde(default)]
    pub decoder_start_token_id: u32,
    /// Padding; never fed to the model here.
    #[serde(default)]
    pub pad_token_id: u32,
    /// End of sequence.
    #[serde(default = "default_eos")]
    pub eos_token_id: u32,
    /// Written so that `transformers.AutoModel` finds the class.
    #[serde(default = "default_architectures")]
    pub architectures: Vec<String>,
    /// Always true; written for other tools.
    #[serde(default = "default_true")]
    pub is_encoder_decoder: bool,
}

fn default_model_type() -> String {
    "t5".to_owned()
}
fn default_buckets() -> usize {
    32
}
fn default_max_distance() -> usize {
    128
}
fn default_epsilon() -> f32 {
    1e-6
}
fn default_feed_forward() -> FeedForward {
    FeedForward::Relu
}
fn default_true() -> bool {
    true
}
fn default_dropout() -> f32 {
    0.1
}
fn default_eos() -> u32 {
    1
}
fn default_architectures() -> Vec<String> {
    vec!["T5ForConditionalGeneration".to_owned()]
}

impl T5Config {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// If it is not one, or describes a model that cannot be.
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

    /// Decoder layers.
    pub fn decoder_layers(&self) -> usize {
        self.num_decoder_layers.unwrap_or(self.num_layers)
    }

    /// Columns of all heads together.
    pub fn inner_dim(&self) -> usize {
        self.num_heads * self.d_kv
    }

    /// What logits are multiplied with: `d_model^-0.5` if the configuration says so, and for T5
    /// v1.0, whose head is its embedding table, if it says nothing; else 1. mT5 never scales.
    pub fn logit_scale(&self, tied: bool) -> f32 {
        let is_scaled = self.model_type == "t5" && self.scale_decoder_outputs.unwrap_or(tied);
        if is_scaled {
            (self.d_model as f32).powf(-0.5)
        } else {
            1.0
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !matches!(self.model_type.as_str(), "t5" | "mt5") {
            return Err(ConfigError::Value {
                key: "model_type",
                value: self.model_type.clone(),
                expected: "expected t5 or mt5",
            });
        }
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("d_model", self.d_model),
            ("d_kv", self.d_kv),
            ("d_ff", self.d_ff),
            ("num_layers", self.num_layers),
            ("num_decoder_layers", self.decoder_layers()),
            ("num_heads", self.num_heads),
            (
                "relative_attention_num_buckets",
                self.relative_attention_num_buckets,
            ),
            (
                "relative_attention_max_distance",
                self.relative_attention_max_distance,
            ),
        ])?;
        // Half of the buckets are for either direction, half of those for exact distances.
        let buckets = self.relative_attention_num_buckets;
        if buckets < 4
            || !buckets.is_multiple_of(4)
            || self.relative_attention_max_distance <= buckets / 2
        {
            return Err(ConfigError::Value {
                key: "relative_attention_num_buckets",
                value: buckets.to_string(),
                expected: "expected a multiple of 4 below twice relative_attention_max_distance",
            });
        }
        if !(0.0..1.0).contains(&self.dropout_rate) {
            return Err(ConfigError::Value {
                key: "dropout_rate",
                value: self.dropout_rate.to_string(),
                expected: "expected a number from 0 up to 1",
            });
        }
        check_epsilon("layer_norm_epsilon", self.layer_norm_epsilon)?;
        check_id(
            "decoder_start_token_id",
            self.decoder_start_token_id,
            self.vocab_size,
        )?;
        check_id("eos_token_id", self.eos_token_id, self.vocab_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = r#"{"vocab_size": 10, "d_model": 4, "d_kv": 2, "d_ff": 8, "num_layers": 1,
        "num_heads": 2, "feed_forward_proj": "gated-gelu", "some_other_key": [1]}"#;

    #[test]
    fn reads_what_hugging_face_writes_and_writes_it_back() {
        let config = T5Config::from_json(TINY.as_bytes()).unwrap();
        assert_eq!((config.decoder_layers(), config.inner_dim()), (1, 4));
        assert_eq!(T5Config::from_json(config.to_json().as_bytes()), Ok(config));
    }

    #[test]
    fn logits_are_scaled_where_transformers_scales_them() {
        let scale = |from: &str, to: &str, tied| {
            let json = TINY.replace(from, to);
            T5Config::from_json(json.as_bytes())
                .unwrap()
                .logit_scale(tied)
        };
        let with = |more: &str, tied| scale("\"some_other_key\": [1]", more, tied);
        assert_eq!(
            (with("\"a\": 1", true), with("\"a\": 1", false)),
            (0.5, 1.0)
        );
        assert_eq!(with("\"scale_decoder_outputs\": false", true), 1.0);
        assert_eq!(with("\"scale_decoder_outputs\": true", false), 0.5);
        assert_eq!(with("\"model_type\": \"mt5\"", true), 1.0);
    }

    #[test]
    fn names_the_key_that_is_wrong() {
        for (from, to, key) in [
            ("\"d_model\": 4", "\"d_model\": 0", "d_model"),
            ("\"d_model\": 4, ", "", "d_model"),
            ("\"d_ff\": 8", "\"d_ff\": 99999999999", "d_ff"),
            ("gated-gelu", "swish", "swish"),
            (
                "\"num_heads\": 2",
                "\"num_heads\": 2, \"dropout_rate\": 1.5",
                "dropout_rate",
            ),
            (
                "\"num_heads\": 2",
                "\"num_heads\": 2, \"model_type\": \"bert\"",
                "model_type",
            ),
            (
                "\"num_heads\": 2",
                "\"num_heads\": 2, \"eos_token_id\": 10",
                "eos_token_id",
            ),
        ] {
            let json = TINY.replace(from, to);
            let error = T5Config::from_json(json.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}

//! LoRA in PEFT's layout.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{CheckpointError, NamedTensors};
use super::files::{self, Base, PEFT_VERSION, config_error, read_config, read_tensors};
use crate::arch::ModelConfig;
use crate::lora::{Lora, LoraPair};

/// What PEFT puts before the names of a model's modules.
const PREFIX: &str = "base_model.model.";

/// The keys that PEFT's `LoraConfig` writes; those of variants that are not used have the values that
/// they have there when they are not used.
fn config(lora: &Lora, base: &Base) -> Value {
    json!({
        "alora_invocation_tokens": null,
        "alpha_pattern": {},
        "arrow_config": null,
        "auto_mapping": null,
        "base_model_name_or_path": base.base_model_name_or_path,
        "bias": "none",
        "corda_config": null,
        "ensure_weight_tying": false,
        "eva_config": null,
        "exclude_modules": null,
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "kasa_config": null,
        "layer_replication": null,
        "layers_pattern": null,
        "layers_to_transform": null,
        "loftq_config": {},
        "lora_alpha": as_given(lora.alpha),
        "lora_bias": false,
        "lora_dropout": as_given(lora.dropout),
        "lora_ga_config": null,
        "megatron_config": null,
        "megatron_core": "megatron.core",
        "modules_to_save": null,
        "monteclora_config": null,
        "peft_type": "LORA",
        "peft_version": PEFT_VERSION,
        "qalora_group_size": 16,
        "r": lora.rank,
        "rank_pattern": {},
        "revision": null,
        "target_modules": lora.targets,
        "target_parameters": null,
        "task_type": base.task_type,
        "trainable_token_indices": null,
        "use_bdlora": null,
        "use_dora": false,
        "use_qalora": false,
        "use_rslora": false,
        "velora_config": null,
    })
}

/// The number with the fewest digits that is this f32: 0.1 stays 0.1 in JSON.
fn as_given(value: f32) -> f64 {
    value.to_string().parse().expect("digits of a number")
}

#[derive(Deserialize)]
struct AdapterConfigIn {
    peft_type: String,
    #[serde(default)]
    r: usize,
    #[serde(default)]
    lora_alpha: f32,
    #[serde(default)]
    lora_dropout: f32,
    #[serde(default)]
    target_modules: serde_json::Value,
    #[serde(default = "none")]
    bias: String,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    modules_to_save: Option<Vec<String>>,
    #[serde(default)]
    rank_pattern: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    alpha_pattern: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    init_lora_weights: serde_json::Value,
    /// Keys of [`VARIANTS`] among others.
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

/// Keys that, unless they are null, false or empty, say that weights change otherwise than by `B A`, or
/// that something else changes.
const VARIANTS: [&str; 11] = [
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "megatron_config",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_qalora",
];

/// Beginnings that leave the base model's weights as they are. Others, such as PiSSA, take from them what
/// `B A` begins with, so that the adapter fits no model that is here; PEFT can convert those to plain LoRA.
const PLAIN_BEGINNINGS: [&str; 4] = ["eva", "gaussian", "mica", "orthogonal"];

fn none() -> String {
    "none".to_owned()
}

/// Writes changes of weights as `adapter_config.json` and `adapter_model.safetensors`.
///
/// # Errors
/// If the file system refuses; files that were there stay whole.
pub fn save_lora(
    lora: &Lora,
    base: &ModelConfig,
    base_name: &str,
    directory: &Path,
) -> Result<(), CheckpointError> {
    write(lora, &Base::new(base, base_name), directory)
}

/// Writes the changes in one PEFT adapter directory to another, with every key of PEFT's; `base_name`
/// is what the base model is called from now on.
///
/// # Errors
/// As [`load_lora`] and [`save_lora`].
pub fn copy_lora(from: &Path, base_name: Option<&str>, to: &Path) -> Result<(), CheckpointError> {
    let lora = load_lora(from)?;
    write(&lora, &Base::of_adapter(from, base_name)?, to)
}

fn write(lora: &Lora, base: &Base, directory: &Path) -> Result<(), CheckpointError> {
    let mut tensors = NamedTensors::new();
    for pair in &lora.pairs {
        let module = pair.weight.strip_suffix(".weight").unwrap_or(&pair.weight);
        let rank = lora.rank;
        let columns = pair.a_transposed.len() / rank;
        let a = transposed(&pair.a_transposed, rank);
        tensors.insert(
            format!("{PREFIX}{module}.lora_A.weight"),
            (a, vec![rank, columns]),
        );
        let rows = pair.b.len() / rank;
        tensors.insert(
            format!("{PREFIX}{module}.lora_B.weight"),
            (pair.b.clone(), vec![rows, rank]),
        );
    }
    files::write(directory, &config(lora, base), &tensors)
}

/// Reads changes of weights from a PEFT adapter directory.
///
/// # Errors
/// If a file is missing, damaged or has a value that is not finite, the adapter is no LoRA, or of a variant that is not supported.
pub fn load_lora(directory: &Path) -> Result<Lora, CheckpointError> {
    let config: AdapterConfigIn = read_config(directory)?;
    let targets = config
        .check()
        .map_err(|message| config_error(directory, message))?;
    Ok(Lora {
        rank: config.r,
        alpha: config.lora_alpha,
        dropout: config.lora_dropout,
        targets,
        pairs: read_tensors(directory, |tensors| pairs(tensors, config.r))?,
    })
}

impl AdapterConfigIn {
    /// The target modules, if all the rest is supported.
    fn check(&self) -> Result<Vec<String>, String> {
        if self.peft_type != "LORA" {
            return Err(format!("peft_type is {}, expected LORA", self.peft_type));
        }
        if self.r == 0 {
            return Err("r is 0, expected at least 1".to_owned());
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            let dropout = self.lora_dropout;
            return Err(format!(
                "lora_dropout is {dropout}, expected 0 to less than 1"
            ));
        }
        let unsupported = [
            ("bias", self.bias != "none"),
            ("use_dora", self.use_dora),
            ("use_rslora", self.use_rslora),
            ("fan_in_fan_out", self.fan_in_fan_out),
            (
                "modules_to_save",
                self.modules_to_save.as_ref().is_some_and(|m| !m.is_empty()),
            ),
            ("rank_pattern", !self.rank_pattern.is_empty()),
            ("alpha_pattern", !self.alpha_pattern.is_empty()),
        ];
        let others = VARIANTS.map(|key| (key, self.others.get(key).is_some_and(is_used)));
        let mut all = unsupported.iter().chain(&others);
        if let Some((key, _)) = all.find(|(_, used)| *used) {
            return Err(format!("LoRA with {key} is not supported"));
        }
        self.check_beginning()?;
        let names = self.target_modules.as_array().map(|names| {
            let name = |name: &serde_json::Value| name.as_str().map(str::to_owned);
            names.iter().map(name).collect::<Option<Vec<_>>>()
        });
        let names = names.flatten();
        names.ok_or_else(|| "target_modules is no list of names".to_owned())
    }

    fn check_beginning(&self) -> Result<(), String> {
        let is_plain = match &self.init_lora_weights {
            Value::Null | Value::Bool(_) => true,
            Value::String(name) => PLAIN_BEGINNINGS.contains(&name.to_lowercase().as_str()),
            _ => false,
        };
        if is_plain {
            return Ok(());
        }
        let value = &self.init_lora_weights;
        Err(format!(
            "LoRA with init_lora_weights {value} is not supported"
        ))
    }
}

/// Whether a key's value is other than what PEFT writes where it is not used.
fn is_used(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        _ => true,
    }
}

/// The changes in `tensors`, each an `A` and a `B` of this rank.
fn pairs(mut tensors: NamedTensors, rank: usize) -> Result<Vec<LoraPair>, CheckpointError> {
    let suffix = ".lora_A.weight";
    let names: Vec<String> = tensors
        .keys()
        .filter(|name| name.ends_with(suffix))
        .cloned()
        .collect();
    let mut pairs = Vec::with_capacity(names.len());
    for a_name in names {
        let module = a_name.strip_suffix(suffix).expect("filtered");
        let b_name = format!("{module}.lora_B.weight");
        let weight = module.strip_prefix(PREFIX).unwrap_or(module);
        let weight = format!("{weight}.weight");
        let mut take = |name: &str| {
            let missing = || CheckpointError::MissingTensor {
                name: name.to_owned(),
            };
            tensors.remove(name).ok_or_else(missing)
        };
        let (a, a_dims) = take(&a_name)?;
        let (b, b_dims) = take(&b_name)?;
        let shape = |name: &str, found: &[usize], expected| CheckpointError::Shape {
            name: name.to_owned(),
            found: found.to_vec(),
            expected,
        };
        if a_dims.len() != 2 || a_dims[0] != rank {
            return Err(shape(&a_name, &a_dims, vec![rank, 0]));
        }
        if b_dims.len() != 2 || b_dims[1] != rank {
            return Err(shape(&b_name, &b_dims, vec![0, rank]));
        }
        pairs.push(LoraPair {
            weight,
            a_transposed: transposed(&a, a_dims[1]),
            b,
        });
    }
    match tensors.into_keys().next() {
        Some(name) => Err(CheckpointError::UnexpectedTensor { name }),
        None => Ok(pairs),
    }
}

/// A matrix of rows with `columns` values, by columns.
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns.max(1);
    let at = |i: usize| values[i % rows * columns + i / rows];
    (0..rows * columns).map(at).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::checkpoint::parse_tensors;

    fn config() -> ModelConfig {
        let json = br#"{"vocab_size": 12, "d_model": 4, "d_kv": 2, "d_ff": 8, "num_layers": 1,
            "num_heads": 2}"#;
        ModelConfig::from_json(json).unwrap()
    }

    fn lora() -> Lora {
        let pair = |weight: &str| LoraPair {
            weight: weight.to_owned(),
            a_transposed: (0..12).map(|i| i as f32).collect(),
            b: (0..6).map(|i| i as f32 * 0.5).collect(),
        };
        Lora {
            rank: 3,
            alpha: 6.0,
            dropout: 0.1,
            targets: vec!["q".to_owned(), "wi".to_owned()],
            pairs: vec![pair("encoder.x.q.weight"), pair("encoder.x.wi.weight")],
        }
    }

    #[test]
    fn changes_come_back_with_the_same_bits() {
        let directory = tempfile::tempdir().unwrap();
        save_lora(&lora(), &config(), "base", directory.path()).unwrap();
        assert_eq!(load_lora(directory.path()).unwrap(), lora());
        let bytes = fs::read(directory.path().join("adapter_model.safetensors")).unwrap();
        let (a, dims) =
            &parse_tensors(&bytes).unwrap()["base_model.model.encoder.x.q.lora_A.weight"];
        assert_eq!(dims, &[3, 4]);
        assert_eq!(a[..5], [0.0, 3.0, 6.0, 9.0, 1.0]);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let directory = tempfile::tempdir().unwrap();
        save_lora(&lora(), &config(), "base", directory.path()).unwrap();
        let path = directory.path().join("adapter_config.json");
        let text = fs::read_to_string(&path).unwrap();
        for (from, to, expected) in [
            ("\"LORA\"", "\"LOHA\"", "peft_type is LOHA, expected LORA"),
            (
                "\"use_dora\": false",
                "\"use_dora\": true",
                "LoRA with use_dora",
            ),
            ("\"bias\": \"none\"", "\"bias\": \"all\"", "LoRA with bias"),
            (
                "\"init_lora_weights\": true",
                "\"init_lora_weights\": \"pissa_niter_4\"",
                "LoRA with init_lora_weights \"pissa_niter_4\" is not supported",
            ),
            ("\"r\": 3", "\"r\": 0", "r is 0"),
            (
                "\"lora_dropout\": 0.1",
                "\"lora_dropout\": 1.0",
                "lora_dropout is 1, expected 0 to less than 1",
            ),
            ("\"r\": 3", "\"r\": 4", "has shape [3, 4], expected [4, 0]"),
        ] {
            assert!(text.contains(from), "{from}");
            fs::write(&path, text.replace(from, to)).unwrap();
            let error = load_lora(directory.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn variants_are_refused_by_name_and_their_unused_keys_are_not() {
        let directory = tempfile::tempdir().unwrap();
        save_lora(&lora(), &config(), "base", directory.path()).unwrap();
        let path = directory.path().join("adapter_config.json");
        let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let load = |key: &str, value: &Value| {
            let mut config = written.clone();
            config[key] = value.clone();
            fs::write(&path, config.to_string()).unwrap();
            load_lora(directory.path()).map_err(|error| error.to_string())
        };
        for key in VARIANTS {
            for unused in [json!(null), json!(false), json!([]), json!({})] {
                assert_eq!(load(key, &unused), Ok(lora()), "{key}: {unused}");
            }
            for used in [json!(true), json!([1]), json!({"r": 1})] {
                let error = load(key, &used).unwrap_err();
                let expected = format!("LoRA with {key} is not supported");
                assert!(error.ends_with(&expected), "{error}");
            }
        }
        let key = "init_lora_weights";
        let plain = PLAIN_BEGINNINGS.map(Value::from).into_iter();
        for plain in plain.chain([json!(true), json!(false), json!(null)]) {
            assert_eq!(load(key, &plain), Ok(lora()), "{plain}");
        }
        for other in ["pissa", "olora", "OLoRA", "corda", "loftq", "lora_ga"] {
            let error = load(key, &json!(other)).unwrap_err();
            assert!(error.contains(&format!("{key} \"{other}\"")), "{error}");
        }
    }

    #[test]
    fn changes_that_are_not_finite_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut lora = lora();
        lora.pairs[1].b[2] = f32::NAN;
        save_lora(&lora, &config(), "base", directory.path()).unwrap();
        let error = load_lora(directory.path()).unwrap_err().to_string();
        let expected = "adapter_model.safetensors: tensor base_model.model.encoder.x.wi.lora_B.weight \
            has values that are NaN or infinite, 1 of 6";
        assert!(error.ends_with(expected), "{error}");
    }
}

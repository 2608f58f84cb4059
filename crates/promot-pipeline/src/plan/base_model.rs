//! The pretrained model that a file names, with the digest of what it consists of.

use std::fs::File;
use std::path::Path;

use promot_core::Digester;
use promot_model::arch::ModelConfig;

use super::hub_model::hub_model;
use super::params::BaseModel;
use crate::builtin;
use crate::diagnostic::Diagnostics;
use crate::spec::Node;

/// Reads `model`; a relative path starts from `directory`.
pub(super) fn base_model(
    node: &Node,
    directory: &Path,
    diagnostics: &mut Diagnostics,
) -> Option<BaseModel> {
    let Some(text) = node.as_text() else {
        let message = format!(
            "`model`: expected a name or directory, found {}",
            node.describe()
        );
        diagnostics.push(node.place, message, None);
        return None;
    };
    if let Some(name) = text.strip_prefix("builtin:") {
        let Some(model) = builtin::find(name) else {
            diagnostics.unknown(node.place, "built-in model", name, &builtin::names());
            return None;
        };
        let config = ModelConfig::from_json(model.config).expect("a model of our own");
        return Some(BaseModel::Builtin {
            name: name.to_owned(),
            d_model: config.d_model(),
            digest: model.digest(),
        });
    }
    if let Some(name) = text.strip_prefix("hf:") {
        return hub_model(name, node.place, diagnostics);
    }
    let path = directory.join(text);
    let mut digester = Digester::new();
    let mut d_model = None;
    for file in ["config.json", "tokenizer.json"] {
        match std::fs::read(path.join(file)) {
            Ok(bytes) => {
                if file == "config.json" {
                    match ModelConfig::from_json(&bytes) {
                        Ok(config) => d_model = Some(config.d_model()),
                        Err(error) => {
                            let message = format!("`model`: {}: {error}", path.display());
                            diagnostics.push(node.place, message, None);
                        }
                    }
                }
                digester = digester.field(file, bytes);
            }
            Err(error) => {
                let message = format!("`model`: {}: {error}", path.join(file).display());
                let hint = "expected a directory with config.json, model.safetensors and tokenizer.json, hf:owner/name, or builtin:mini-t5";
                diagnostics.push(node.place, message, Some(hint.to_owned()));
                return None;
            }
        }
    }
    let mut weights: Vec<_> = std::fs::read_dir(&path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .collect();
    weights.sort();
    if weights.is_empty() {
        let message = format!("`model`: {} holds no .safetensors file", path.display());
        diagnostics.push(
            node.place,
            message,
            Some("pickled weights are not read: convert them first".to_owned()),
        );
        return None;
    }
    for path in &weights {
        // Weights can be larger than memory.
        let added = File::open(path).and_then(|file| {
            let len = file.metadata()?.len();
            digester.clone().field_of_reader("weights", len, file)
        });
        match added {
            Ok(added) => digester = added,
            Err(error) => {
                let message = format!("`model`: {}: {error}", path.display());
                diagnostics.push(node.place, message, None);
                return None;
            }
        }
    }
    Some(BaseModel::Directory {
        path,
        d_model: d_model?,
        digest: digester.finish(),
    })
}

//! Groups of parameters whose gradients are compared.

use crate::arch::{Model, Module, Role};
use crate::backend::Backend;

/// Parameters that are looked at together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterGroup {
    /// What they are, in words.
    pub name: String,
    /// Their places among the model's parameters, in order.
    pub members: Vec<usize>,
}

/// What the paper's figures show of the last decoder layer.
const SHOWN: [(Module, &str); 4] = [
    (Module::FeedForward, "feed-forward"),
    (Module::Query, "query"),
    (Module::Key, "key"),
    (Module::Value, "value"),
];

/// The groups of a model: what the paper's figures 3 and 7 show of the last decoder layer, all
/// parameters, and each kind of module over all layers. Groups without parameters are left out.
pub fn parameter_groups<B: Backend>(model: &Model<B>) -> Vec<ParameterGroup> {
    let names = model.parameters().iter();
    let roles =
        names.map(|parameter| Role::of(&parameter.name).expect("named by its architecture"));
    let roles: Vec<Role> = roles.collect();
    let last = roles.iter().filter_map(|role| role.decoder_layer).max();
    let mut groups = Vec::new();
    let mut add = |name: String, belongs: &dyn Fn(&Role) -> bool| {
        let members = (0..roles.len()).filter(|&i| belongs(&roles[i]));
        let members: Vec<usize> = members.collect();
        if !members.is_empty() {
            groups.push(ParameterGroup { name, members });
        }
    };
    let is_last = |role: &Role| role.decoder_layer == last;
    for (module, word) in SHOWN {
        add(format!("last decoder layer: {word}"), &|role| {
            is_last(role) && role.module == module && !role.is_cross
        });
    }
    for (module, word) in SHOWN {
        add(
            format!("last decoder layer: cross-attention {word}"),
            &|role| is_last(role) && role.module == module && role.is_cross,
        );
    }
    add("all parameters".to_owned(), &|_| true);
    for module in Module::ALL {
        add(format!("all layers: {}", words(module)), &|role| {
            role.module == module
        });
    }
    groups
}

fn words(module: Module) -> &'static str {
    match module {
        Module::Query => "attention query",
        Module::Key => "attention key",
        Module::Value => "attention value",
        Module::AttentionOutput => "attention output",
        Module::FeedForward => "feed-forward",
        Module::Embedding => "embeddings",
        Module::Norm => "norms",
        Module::PositionBias => "position biases",
        Module::Head => "output head",
    }
}

//! Stages as they were read, before names are resolved, and what is asked of all of them together.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::params::StageKind;
use super::read::{CurveText, Reference};
use crate::diagnostic::{Diagnostics, Place};

/// A stage as it was read; without a kind if that had problems.
pub(super) struct Parsed {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) kind: Option<StageKind>,
    pub(super) references: Vec<Reference>,
    /// What a curve says, with places.
    pub(super) curve: CurveText,
}

/// Removes the stages of included files that nothing needs.
pub(super) fn leave_out_unused(
    parsed: &mut Vec<Parsed>,
    parents: &BTreeMap<String, String>,
    optional: &BTreeSet<String>,
) {
    let is_optional =
        |name: &str| optional.contains(parents.get(name).map_or(name, String::as_str));
    let names = parsed.iter().map(|stage| stage.name.clone());
    let mut needed: Vec<String> = names.filter(|name| !is_optional(name)).collect();
    let mut next = 0;
    while next < needed.len() {
        let stage = parsed.iter().find(|stage| stage.name == needed[next]);
        for reference in stage.into_iter().flat_map(|stage| &stage.references) {
            if !needed.contains(&reference.name) {
                needed.push(reference.name.clone());
            }
        }
        next += 1;
    }
    parsed.retain(|stage| needed.contains(&stage.name));
}

/// Edges from every stage to those that read it.
pub(super) fn link(parsed: &[Parsed]) -> DiGraph<usize, ()> {
    let mut graph = DiGraph::new();
    let nodes: Vec<NodeIndex> = (0..parsed.len()).map(|i| graph.add_node(i)).collect();
    for (i, stage) in parsed.iter().enumerate() {
        for reference in &stage.references {
            if let Some(input) = parsed.iter().position(|other| other.name == reference.name) {
                graph.update_edge(nodes[input], nodes[i], ());
            }
        }
    }
    graph
}

/// Finds stages that need each other.
pub(super) fn check_cycles(
    graph: &DiGraph<usize, ()>,
    parsed: &[Parsed],
    diagnostics: &mut Diagnostics,
) {
    for mut component in tarjan_scc(graph) {
        component.sort();
        let is_cycle = component.len() > 1 || graph.contains_edge(component[0], component[0]);
        if is_cycle {
            let names: Vec<&str> = component
                .iter()
                .map(|i| parsed[i.index()].name.as_str())
                .collect();
            let first = &parsed[component[0].index()];
            let message = format!("stages need each other in a circle: {}", names.join(", "));
            diagnostics.push(first.place, message, None);
        }
    }
}

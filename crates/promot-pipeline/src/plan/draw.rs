//! Drawings of a plan.

use std::fmt::Write as _;

use petgraph::dot::{Config, Dot};

use super::Plan;

impl Plan {
    /// The stages and what they read, in Graphviz' DOT language.
    pub fn to_dot(&self) -> String {
        let label = |_, (_, stage): (_, &super::Stage)| {
            format!("label=\"{}\\n{}\" shape=box", stage.name, stage.kind.name())
        };
        let config = [Config::NodeNoLabel, Config::EdgeNoLabel];
        let nothing = |_, _| String::new();
        format!(
            "{:?}",
            Dot::with_attr_getters(&self.graph, &config, &nothing, &label)
        )
    }

    /// The same as a Mermaid flowchart.
    pub fn to_mermaid(&self) -> String {
        let mut text = "flowchart TD\n".to_owned();
        for stage in self.stages() {
            let _ = writeln!(
                text,
                "    {}[\"{}<br/>{}\"]",
                identifier(&stage.name),
                stage.name,
                stage.kind.name()
            );
        }
        for stage in self.stages() {
            for input in self.inputs(&stage.name) {
                let (from, to) = (identifier(input), identifier(&stage.name));
                let _ = writeln!(text, "    {from} --> {to}");
            }
        }
        text
    }
}

/// Some names are words of Mermaid's own.
fn identifier(name: &str) -> String {
    format!("stage_{name}")
}

//! A pipeline file as a tree in which everything knows its place.

mod node;
mod reader;
mod set;

pub use node::{Node, Value};
pub use reader::Fields;

use crate::diagnostic::Diagnostics;

/// Parses the text of a pipeline file and applies `--set path=value` arguments.
///
/// # Errors
/// If the text is no YAML, a key stands twice, or an argument cannot be applied.
pub fn parse(text: &str, sets: &[String]) -> Result<Node, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let root = match node::parse(0, text) {
        Ok(root) => root,
        Err((place, message)) => {
            diagnostics.push(place, message, None);
            return Err(diagnostics);
        }
    };
    let mut root = root;
    for (i, argument) in sets.iter().enumerate() {
        set::apply(&mut root, i + 1, argument, &mut diagnostics);
    }
    if diagnostics.is_empty() {
        Ok(root)
    } else {
        Err(diagnostics)
    }
}

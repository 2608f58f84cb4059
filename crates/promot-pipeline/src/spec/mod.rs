//! A pipeline file as a tree in which everything knows its place.

mod environment;
mod node;
mod reader;
mod set;

pub use node::{Node, Value};
pub use reader::Fields;

use crate::diagnostic::Diagnostics;

/// Parses the text of a pipeline file, applies `--set path=value` arguments, and puts environment
/// variables in the place of `${NAME}`.
///
/// # Errors
/// If the text is no YAML, a key stands twice, an argument cannot be applied, or a variable is not
/// set.
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
    let variable = |name: &str| std::env::var(name).ok();
    environment::expand(&mut root, &variable, &mut diagnostics);
    if diagnostics.is_empty() {
        Ok(root)
    } else {
        Err(diagnostics)
    }
}

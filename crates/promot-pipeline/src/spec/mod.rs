//! A pipeline file as a tree in which everything knows its place.

mod environment;
mod include;
mod matrix;
mod node;
mod reader;
mod same;
mod set;

pub use matrix::{Point, Setting};
pub use node::{Node, Scalar, Value, without_bom};
pub use reader::Fields;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostics, Place, Sources};

/// A pipeline file with all that it includes.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The tree.
    pub root: Node,
    /// Stages of included files that are only run if others need them.
    pub(crate) optional: BTreeSet<String>,
    /// Where relative paths start from, by source.
    directories: Vec<PathBuf>,
}

impl Spec {
    /// Where relative paths of what stands at `place` start from: the directory of that file.
    pub(crate) fn directory(&self, place: Place) -> &Path {
        &self.directories[place.source]
    }

    /// Removes a key of the top and returns its value.
    fn take(&mut self, key: &str) -> Option<Node> {
        let Value::Map(entries) = &mut self.root.value else {
            return None;
        };
        let index = entries.iter().position(|(name, ..)| name == key)?;
        Some(entries.remove(index).2)
    }
}

/// Parses the text of the pipeline file `file`, takes in what it includes, applies `--set path=value`
/// arguments, and puts environment variables in the place of `${NAME}`. Texts of included files are
/// added to `sources`.
///
/// # Errors
/// If a text is no YAML, a key stands twice, a file cannot be read, an argument cannot be applied, or a
/// variable is not set.
pub fn parse(sources: &mut Sources, file: &Path) -> Result<Spec, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let mut root = match node::parse(0, sources.text(0)) {
        Ok(root) => root,
        Err((place, message)) => {
            diagnostics.push(place, message, None);
            return Err(diagnostics);
        }
    };
    // Those of the command line are as good as written into the file.
    let sets = sources.sets().to_vec();
    let directory = file.parent().unwrap_or(Path::new("")).to_owned();
    let mut directories = vec![directory; 1 + sets.len()];
    let optional = include::include(&mut root, file, sources, &mut directories, &mut diagnostics);
    for (i, argument) in sets.iter().enumerate() {
        set::apply(&mut root, i + 1, argument, &mut diagnostics);
    }
    let variable = |name: &str| std::env::var(name).ok();
    environment::expand(&mut root, &variable, &mut diagnostics);
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    Ok(Spec {
        root,
        optional,
        directories,
    })
}

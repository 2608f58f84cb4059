//! `include:`: stages and tasks of other pipeline files, so that files that share stages say them once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::node::{self, Node, Value};
use super::same::same;
use crate::diagnostic::{Diagnostics, Place, Sources};

/// A mapping's entry: its key with its place, and its value.
type Entry = (String, Place, Node);

/// What a file brings with all that it includes.
#[derive(Clone, Default)]
struct Merged {
    stages: Vec<Entry>,
    tasks: Vec<Entry>,
    /// The stages that are run for their own sake: the file's own, or, if it has none, those of the
    /// files that it includes.
    wanted: BTreeSet<String>,
}

/// Reads files and remembers them by their place on disk.
struct Files<'a> {
    sources: &'a mut Sources,
    diagnostics: &'a mut Diagnostics,
    /// Where relative paths start from, by source.
    directories: &'a mut Vec<PathBuf>,
    read: BTreeMap<PathBuf, Merged>,
    /// The files that are being read, each included by the one before.
    open: Vec<PathBuf>,
}

/// Puts what `root` includes into its `stages` and `tasks`, and returns the names of the stages that
/// are only run if others need them. `directories` says for each source that is known so far where
/// its relative paths start; included files are added.
pub(super) fn include(
    root: &mut Node,
    file: &Path,
    sources: &mut Sources,
    directories: &mut Vec<PathBuf>,
    diagnostics: &mut Diagnostics,
) -> BTreeSet<String> {
    if find(root, "include").is_none() {
        return BTreeSet::new();
    }
    let mut files = Files {
        sources,
        diagnostics,
        directories,
        read: BTreeMap::new(),
        open: vec![identity(file)],
    };
    let merged = files.merge(root);
    let Merged {
        stages,
        tasks,
        wanted,
    } = merged;
    let optional = stages.iter().map(|(name, ..)| name.clone());
    let optional = optional.filter(|name| !wanted.contains(name)).collect();
    remove(root, "include");
    replace(root, "stages", stages);
    if !tasks.is_empty() {
        replace(root, "tasks", tasks);
    }
    optional
}

impl Files<'_> {
    /// A parsed file together with what it includes.
    fn merge(&mut self, root: &Node) -> Merged {
        let own = entries(root, "stages");
        let mut merged = Merged::default();
        let list = match find(root, "include").map(|node| &node.value) {
            Some(Value::List(list)) => list.clone(),
            Some(_) => find(root, "include").cloned().into_iter().collect(),
            None => Vec::new(),
        };
        for node in &list {
            let Some(name) = node.as_text() else {
                let message = format!("`include`: expected a file, found {}", node.describe());
                self.diagnostics.push(node.place, message, None);
                continue;
            };
            if let Some(included) = self.file(name, node.place) {
                self.add(&mut merged.stages, included.stages, "stage");
                self.add(&mut merged.tasks, included.tasks, "task");
                if own.is_empty() {
                    merged.wanted.extend(included.wanted);
                }
            }
        }
        merged
            .wanted
            .extend(own.iter().map(|(name, ..)| name.clone()));
        self.add(&mut merged.stages, own, "stage");
        self.add(&mut merged.tasks, entries(root, "tasks"), "task");
        merged
    }

    /// The file that `name` at `place` stands for.
    fn file(&mut self, name: &str, place: Place) -> Option<Merged> {
        let path = self.directories[place.source].join(name);
        let identity = identity(&path);
        if self.open.contains(&identity) {
            let message = format!("`include`: {name} includes itself");
            self.diagnostics.push(place, message, None);
            return None;
        }
        if let Some(merged) = self.read.get(&identity) {
            return Some(merged.clone());
        }
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("`include`: {}: {error}", path.display());
                let hint = "paths are relative to the file that they stand in".to_owned();
                self.diagnostics.push(place, message, Some(hint));
                return None;
            }
        };
        let text = node::without_bom(&text);
        let source = self.sources.add_file(&path.display().to_string(), text);
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        self.directories.push(directory);
        debug_assert_eq!(self.directories.len(), source + 1);
        let merged = match node::parse(source, text) {
            Ok(root) => {
                self.open.push(identity.clone());
                let merged = self.merge(&root);
                self.open.pop();
                merged
            }
            Err((place, message)) => {
                self.diagnostics.push(place, message, None);
                return None;
            }
        };
        self.read.insert(identity, merged.clone());
        Some(merged)
    }

    /// Adds entries; one that is there already has to be the same.
    fn add(&mut self, to: &mut Vec<Entry>, more: Vec<Entry>, what: &str) {
        for (name, place, node) in more {
            match to.iter().find(|(other, ..)| *other == name) {
                None => to.push((name, place, node)),
                Some((.., other)) if same(other, &node) => {}
                Some((_, first, _)) => {
                    let file = self.sources.name(first.source);
                    let message = format!("{what} `{name}` is another one in {file}");
                    let hint = format!("give one of the two {what}s another name");
                    self.diagnostics.push(place, message, Some(hint));
                }
            }
        }
    }
}

/// Two names of a file are one file.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn find<'n>(root: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &root.value else {
        return None;
    };
    let found = entries.iter().find(|(name, ..)| name == key);
    found.map(|(.., node)| node)
}

/// The entries of the mapping `key`, none if it is none: what is wrong with it is told later.
fn entries(root: &Node, key: &str) -> Vec<Entry> {
    match find(root, key).map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.clone(),
        _ => Vec::new(),
    }
}

fn remove(root: &mut Node, key: &str) {
    if let Value::Map(entries) = &mut root.value {
        entries.retain(|(name, ..)| name != key);
    }
}

/// What is no mapping stays, to be told of.
fn replace(root: &mut Node, key: &str, with: Vec<Entry>) {
    let place = root.place;
    let Value::Map(entries) = &mut root.value else {
        return;
    };
    let value = Value::Map(with);
    match entries.iter_mut().find(|(name, ..)| name == key) {
        Some((.., node)) if matches!(node.value, Value::Map(_)) => node.value = value,
        Some(_) => {}
        None => entries.push((key.to_owned(), place, Node { place, value })),
    }
}

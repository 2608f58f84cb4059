//! The key `source`: where rows come from.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use promot_core::{Digest, Digester};
use promot_data::source::{FileFormat, Mapping};
use promot_data::task::TaskRef;

use super::{Reader, words};
use crate::diagnostic::Place;
use crate::hub::{DatasetFiles, Hub, HubError, Repository};
use crate::plan::params::{DataFiles, DataSource, FileSet};
use crate::spec::{Fields, Node, Value};

/// Everything that can stand in place of a mapping.
const NAMES: [&str; 5] = ["mini", "jsonl", "csv", "tsv", "parquet"];

impl Reader<'_> {
    /// `mini`, or `{ FORMAT: { train: FILES, ... }, columns: { ... }, values: { ... } }` with the
    /// rows of `task`.
    pub(super) fn source(&mut self, node: &Node, task: Option<&TaskRef>) -> Option<DataSource> {
        match (&node.value, node.as_text()) {
            (_, Some("mini")) => Some(DataSource::Mini),
            (_, Some(other)) => {
                self.diagnostics
                    .unknown(node.place, "source", other, &NAMES);
                None
            }
            (Value::Map(_), _) => {
                let files = self.file_source(node, task)?;
                Some(DataSource::Files(Box::new(files)))
            }
            _ => {
                let message = format!(
                    "source: expected `mini` or `jsonl: {{...}}`, found {}",
                    node.describe()
                );
                self.diagnostics.push(node.place, message, None);
                None
            }
        }
    }

    fn file_source(&mut self, node: &Node, task: Option<&TaskRef>) -> Option<DataFiles> {
        let mut fields = Fields::of(node, "source", self.diagnostics);
        let mut given = Vec::new();
        for format in FileFormat::ALL {
            given.extend(fields.take(format.name()).map(|node| (format, node)));
        }
        let columns = fields.take("columns");
        let values = fields.take("values");
        let has_unknown = fields.finish(self.diagnostics);
        let formats: Vec<&str> = given.iter().map(|(format, _)| format.name()).collect();
        let mut files = None;
        match given.as_slice() {
            [(format, node)] => files = Some(self.split_files(*format, node)),
            [] if has_unknown => {}
            _ => {
                let found = match formats.as_slice() {
                    [] => "none".to_owned(),
                    several => several.join(" and "),
                };
                let message = format!("source: expected one kind of files, found {found}");
                let hint = format!("one of {}", NAMES[1..].join(", "));
                self.diagnostics.push(node.place, message, Some(hint));
            }
        }
        let mapping = Mapping {
            columns: self.columns(columns, task),
            values: self.values(values, task),
        };
        files.map(|files| DataFiles { mapping, ..files })
    }

    fn split_files(&mut self, format: FileFormat, node: &Node) -> DataFiles {
        let mut fields = Fields::of(node, format.name(), self.diagnostics);
        let mut files = |key| {
            let node = fields.take(key)?;
            self.files(key, node)
        };
        let files = DataFiles {
            format,
            train: files("train"),
            validation: files("validation"),
            test: files("test"),
            mapping: Mapping::default(),
        };
        fields.finish(self.diagnostics);
        files
    }

    /// A path, a pattern, files of a data set of the hub, or a list of them.
    fn files(&mut self, key: &str, node: &Node) -> Option<FileSet> {
        let mut paths: Vec<PathBuf> = Vec::new();
        let mut digests = Vec::new();
        let mut hub = Vec::new();
        let mut is_whole = true;
        for (name, place) in self.names(node, key) {
            if let Some(name) = name.strip_prefix("hf:") {
                match hub_files(name) {
                    Ok(files) => {
                        paths.extend(files.paths());
                        digests.extend(content_of(&files));
                        hub.push(files);
                    }
                    Err(error) => {
                        self.diagnostics.hub(place, key, &error);
                        is_whole = false;
                    }
                }
                continue;
            }
            let found = match expand(self.directory, name) {
                Ok(found) => found,
                Err(problem) => {
                    self.unreadable(key, place, &problem);
                    is_whole = false;
                    continue;
                }
            };
            for path in found {
                if paths.contains(&path) {
                    let problem = format!("{} stands twice", path.display());
                    self.diagnostics
                        .push(place, format!("`{key}`: {problem}"), None);
                    is_whole = false;
                    continue;
                }
                match File::open(&path).and_then(Digest::of_reader) {
                    Ok(digest) => digests.push(digest),
                    Err(error) => {
                        self.unreadable(key, place, &format!("{}: {error}", path.display()));
                        is_whole = false;
                    }
                }
                paths.push(path);
            }
        }
        (is_whole && !paths.is_empty()).then(|| FileSet::new(paths, &digests, hub))
    }

    fn unreadable(&mut self, key: &str, place: Place, problem: &str) {
        let hint = "paths are relative to the pipeline file".to_owned();
        self.diagnostics
            .push(place, format!("`{key}`: {problem}"), Some(hint));
    }

    /// `columns: { FIELD: COLUMN }`.
    fn columns(&mut self, node: Option<&Node>, task: Option<&TaskRef>) -> BTreeMap<String, String> {
        let Some(node) = node else {
            return BTreeMap::new();
        };
        self.check_fields(node, task);
        let expected = "fields with the columns they are in";
        let columns = words(node, "`columns`", expected, self.diagnostics);
        columns.unwrap_or_default().into_iter().collect()
    }

    /// `values: { FIELD: { VALUE: MEANING } }`.
    fn values(
        &mut self,
        node: Option<&Node>,
        task: Option<&TaskRef>,
    ) -> BTreeMap<String, BTreeMap<String, String>> {
        let Some(node) = node else {
            return BTreeMap::new();
        };
        self.check_fields(node, task);
        let Value::Map(entries) = &node.value else {
            let message = format!(
                "`values`: expected fields with what their values mean, found {}",
                node.describe()
            );
            let hint = "for example `values: {label: {\"0\": entailment}}`".to_owned();
            self.diagnostics.push(node.place, message, Some(hint));
            return BTreeMap::new();
        };
        let mut values = BTreeMap::new();
        for (field, _, node) in entries {
            let what = format!("`values`: `{field}`");
            let expected = "values with what they mean";
            if let Some(meanings) = words(node, &what, expected, self.diagnostics) {
                values.insert(field.clone(), meanings.into_iter().collect());
            }
        }
        values
    }

    /// The keys of a mapping must be fields of the task.
    fn check_fields(&mut self, node: &Node, task: Option<&TaskRef>) {
        if let (Value::Map(entries), Some(task)) = (&node.value, task) {
            let fields = task.fields();
            for (field, place, _) in entries {
                if !fields.contains(&field.as_str()) {
                    let what = format!("field of task `{}`", task.name());
                    self.diagnostics.unknown(*place, &what, field, &fields);
                }
            }
        }
    }
}

/// The files of `owner/name[@revision]:pattern`, of which none is fetched.
fn hub_files(text: &str) -> Result<DatasetFiles, HubError> {
    let wrong = || HubError::DatasetName {
        text: text.to_owned(),
    };
    let (repository, pattern) = text.split_once(':').ok_or_else(wrong)?;
    let repository = Repository::dataset(repository)?;
    Hub::from_environment()?.dataset_files(&repository, pattern)
}

/// What stands for the content of each file: a commit and a path in it determine it.
fn content_of(files: &DatasetFiles) -> Vec<Digest> {
    let commit = files.snapshot().digest();
    let of_file = |file: &String| {
        Digester::new()
            .field("commit", commit.as_bytes())
            .field("file", file)
            .finish()
    };
    files.files().iter().map(of_file).collect()
}

/// The files that `name` stands for, below `directory`: the one that is called so, or all that
/// match it as a pattern, in the order of their paths.
fn expand(directory: &Path, name: &str) -> Result<Vec<PathBuf>, String> {
    let path = directory.join(name);
    if path.exists() || !name.contains(['*', '?', '[']) {
        return Ok(vec![path]);
    }
    // The directory's own name is no pattern.
    let below = glob::Pattern::escape(&directory.display().to_string());
    let pattern = Path::new(&below).join(name);
    let matches = glob::glob(&pattern.display().to_string());
    let matches = matches.map_err(|error| format!("pattern `{name}`: {error}"))?;
    let mut files = Vec::new();
    for path in matches {
        let path = path.map_err(|error| error.to_string())?;
        if path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(format!("no file matches `{name}`"));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_files_in_the_order_of_their_paths() {
        let directory = tempfile::tempdir().unwrap();
        // A directory that looks like a pattern itself.
        let below = directory.path().join("[a]");
        std::fs::create_dir_all(below.join("b.csv")).unwrap();
        for name in ["c.csv", "a.csv", "d.tsv", "e[1].csv"] {
            std::fs::write(below.join(name), name).unwrap();
        }
        let names = |pattern: &str| {
            let found = expand(&below, pattern)?;
            let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            Ok(found.into_iter().map(name).collect::<Vec<_>>())
        };
        let is = |names: &[&str]| Ok(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(names("*.csv"), is(&["a.csv", "c.csv", "e[1].csv"]));
        assert_eq!(names("e[1].csv"), is(&["e[1].csv"]));
        assert_eq!(names("no.csv"), is(&["no.csv"]));
        let none: Result<Vec<String>, String> = Err("no file matches `*.json`".to_owned());
        assert_eq!(names("*.json"), none);
        let bad = names("[.csv").unwrap_err();
        assert!(bad.starts_with("pattern `[.csv`: "), "{bad}");
    }
}

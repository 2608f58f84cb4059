//! Several files, and what tests of the formats share.

use std::path::PathBuf;

use super::*;
use crate::task::find_task;

/// What is read of an RTE file with this content.
pub(super) fn load_content(
    format: FileFormat,
    content: &[u8],
    mapping: &Mapping,
) -> Result<Vec<Record>, (String, Option<String>)> {
    load_task("rte", format, content, mapping)
}

/// The same for any task.
pub(super) fn load_task(
    task: &str,
    format: FileFormat,
    content: &[u8],
    mapping: &Mapping,
) -> Result<Vec<Record>, (String, Option<String>)> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(format!("rows.{}", format.name()));
    std::fs::write(&path, content).unwrap();
    let source = source(format, vec![path], mapping.clone());
    let task = find_task(task).unwrap();
    load(&*task, &source, Split::Train, None).map_err(|error| {
        let place = directory.path().display().to_string() + "/";
        (error.to_string().replace(&place, ""), error.hint())
    })
}

/// The error, and the hint, for an RTE file with this content.
pub(super) fn error_of(format: FileFormat, content: &[u8]) -> (String, Option<String>) {
    load_content(format, content, &Mapping::default()).unwrap_err()
}

fn source(format: FileFormat, train: Vec<PathBuf>, mapping: Mapping) -> Source {
    Source::Files(FileSource {
        format,
        files: SplitFiles {
            train,
            ..SplitFiles::default()
        },
        mapping,
    })
}

#[test]
fn a_missing_file_and_a_missing_split_are_named() {
    let task = find_task("rte").unwrap();
    for format in FileFormat::ALL {
        let files = vec![PathBuf::from("no/such.file")];
        let source = source(format, files, Mapping::default());
        let error = load(&*task, &source, Split::Train, None).unwrap_err();
        assert!(error.to_string().starts_with("no/such.file: "), "{error}");
        let error = load(&*task, &source, Split::Test, None).unwrap_err();
        assert_eq!(error.to_string(), "no test file is given for task rte");
        assert!(error.hint().unwrap().contains(format.name()));
    }
}

#[test]
fn a_directory_in_place_of_a_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let task = find_task("rte").unwrap();
    for format in FileFormat::ALL {
        let files = vec![directory.path().to_owned()];
        let source = source(format, files, Mapping::default());
        assert!(
            load(&*task, &source, Split::Train, None).is_err(),
            "{format:?}"
        );
    }
}

#[test]
fn several_files_are_read_in_order_up_to_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (file, rows) in [("b.csv", ["1", "2"]), ("a.csv", ["3", "4"])] {
        let path = directory.path().join(file);
        let lines = rows.map(|row| format!("{row},H,entailment\n")).concat();
        std::fs::write(&path, "premise,hypothesis,label\n".to_owned() + &lines).unwrap();
        files.push(path);
    }
    let task = find_task("rte").unwrap();
    let source = source(FileFormat::Csv, files, Mapping::default());
    let ids = |limit| {
        let rows = load(&*task, &source, Split::Train, limit).unwrap();
        let ids = rows
            .iter()
            .map(|row| format!("{} {}", row.id, row.text("premise").unwrap()));
        ids.collect::<Vec<_>>()
    };
    assert_eq!(
        ids(None),
        ["b.csv:2 1", "b.csv:3 2", "a.csv:2 3", "a.csv:3 4"]
    );
    assert_eq!(ids(Some(3)).len(), 3);
}

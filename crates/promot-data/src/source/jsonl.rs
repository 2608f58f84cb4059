//! JSON Lines: one object a line, UTF-8.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde_json::Value;

use super::{Check, DataError};
use crate::record::Record;

/// No row of text is longer; a line beyond is another kind of file.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// Reads up to `limit` rows and checks each.
pub(super) fn read(
    path: &Path,
    limit: Option<usize>,
    check: impl Fn(&Record) -> Result<(), crate::record::FieldError>,
) -> Result<Vec<Record>, DataError> {
    let check: Check<'_> = &check;
    let io = |source| DataError::Io {
        path: path.to_owned(),
        source,
    };
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let mut records = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        if limit.is_some_and(|limit| records.len() >= limit) {
            break;
        }
        bytes.clear();
        let read = reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut bytes)
            .map_err(io)?;
        if read == 0 {
            break;
        }
        let fail = |problem: String, hint: Option<String>| DataError::Line {
            path: path.to_owned(),
            line,
            problem,
            hint,
        };
        if read as u64 == MAX_LINE_BYTES {
            return Err(fail("a line of more than 64 MiB".to_owned(), None));
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let problem = format!("byte {} is not valid UTF-8", error.valid_up_to() + 1);
            fail(problem, Some("save the file as UTF-8".to_owned()))
        })?;
        if text.trim().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let problem = format!("not JSON at column {}: {error}", error.column());
            fail(problem, Some("expected one JSON object a line".to_owned()))
        })?;
        let Value::Object(fields) = value else {
            let problem = "expected a JSON object with the task's fields".to_owned();
            return Err(fail(problem, None));
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let record = Record::new(format!("{name}:{line}"), fields);
        check(&record).map_err(|error| fail(error.problem, error.hint))?;
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{JsonlFiles, Source, load};
    use crate::split::Split;
    use crate::task::find_task;

    fn error_of(content: &[u8]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.jsonl");
        std::fs::write(&path, content).unwrap();
        let files = JsonlFiles {
            train: Some(path),
            ..JsonlFiles::default()
        };
        let task = find_task("rte").unwrap();
        let error = load(task, &Source::Jsonl(files), Split::Train, None).unwrap_err();
        let place = directory.path().display().to_string() + "/";
        error.to_string().replace(&place, "")
    }

    const GOOD: &str = r#"{"premise": "P.", "hypothesis": "H.", "label": "entailment"}"#;

    #[test]
    fn every_kind_of_bad_line_is_named_with_file_and_line() {
        for (bad, expected) in [
            (&b"{\"premise\": "[..], "rows.jsonl:3: not JSON at column"),
            (b"[1]", "rows.jsonl:3: expected a JSON object"),
            (
                b"{\"premise\": \"\xff\"}",
                "rows.jsonl:3: byte 14 is not valid UTF-8",
            ),
            (
                b"{\"premise\": \"P\"}",
                "rows.jsonl:3: field \"hypothesis\" is missing",
            ),
        ] {
            // A blank line counts as a line, but is no row.
            let content = [GOOD.as_bytes(), b"\n\n", bad, b"\n"].concat();
            let error = error_of(&content);
            assert!(error.starts_with(expected), "{error}");
        }
        assert_eq!(error_of(b"\n"), "rows.jsonl has no rows");
    }

    #[test]
    fn a_missing_file_and_a_missing_split_are_named() {
        let task = find_task("rte").unwrap();
        let files = JsonlFiles {
            train: Some(PathBuf::from("no/such.jsonl")),
            ..JsonlFiles::default()
        };
        let error = load(task, &Source::Jsonl(files.clone()), Split::Train, None).unwrap_err();
        assert!(error.to_string().starts_with("no/such.jsonl: "), "{error}");
        let error = load(task, &Source::Jsonl(files), Split::Test, None).unwrap_err();
        assert_eq!(error.to_string(), "no test file is given for task rte");
    }
}

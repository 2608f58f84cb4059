//! JSON Lines: one object a line, UTF-8.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use promot_core::BYTE_ORDER_MARK;
use serde_json::Value;

use super::rows::Rows;
use super::{DataError, MAX_ROW_BYTES};

/// Reads rows until there are enough, and checks each.
pub(super) fn read(path: &Path, rows: &mut Rows<'_>) -> Result<(), DataError> {
    let io = |source| DataError::Io {
        path: path.to_owned(),
        source,
    };
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let mut bytes = Vec::new();
    for line in 1.. {
        if rows.are_enough() {
            break;
        }
        bytes.clear();
        let read = reader
            .by_ref()
            .take(MAX_ROW_BYTES as u64)
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
        if read == MAX_ROW_BYTES {
            return Err(fail("a line of more than 64 MiB".to_owned(), None));
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let problem = format!("byte {} is not valid UTF-8", error.valid_up_to() + 1);
            fail(problem, Some("save the file as UTF-8".to_owned()))
        })?;
        let text = match line {
            1 => text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text),
            _ => text,
        };
        if text.trim().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let problem = format!("not JSON at column {}: {error}", error.column());
            fail(problem, Some("expected one JSON object a line".to_owned()))
        })?;
        let Value::Object(columns) = value else {
            let problem = "expected a JSON object with the task's fields".to_owned();
            return Err(fail(problem, None));
        };
        rows.push(path, line, &columns)
            .map_err(|error| fail(error.problem, error.hint))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error_of, load_content};
    use super::super::{FileFormat, Mapping};

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
            let (error, _) = error_of(FileFormat::Jsonl, &content);
            assert!(error.starts_with(expected), "{error}");
        }
        let (error, _) = error_of(FileFormat::Jsonl, b"\n");
        assert_eq!(error, "rows.jsonl has no rows");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_row() {
        let content = [b"\xef\xbb\xbf", GOOD.as_bytes()].concat();
        let rows = load_content(FileFormat::Jsonl, &content, &Mapping::default());
        assert_eq!(rows.unwrap()[0].text("premise").unwrap(), "P.");
    }
}

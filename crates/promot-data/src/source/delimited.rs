//! Comma-separated and tab-separated values: names of the columns, then a row a record.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, Terminator};
use serde_json::{Map, Value};

use super::rows::Rows;
use super::{DataError, MAX_ROW_BYTES};

/// How fields are told apart.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    delimiter: u8,
    has_quotes: bool,
}

/// Commas, and quotes around fields with commas, quotes and line breaks in them (RFC 4180).
pub(super) const CSV: Dialect = Dialect {
    delimiter: b',',
    has_quotes: true,
};

/// Tabs, and no quotes, as IANA's text/tab-separated-values says: a quote is a character.
pub(super) const TSV: Dialect = Dialect {
    delimiter: b'\t',
    has_quotes: false,
};

/// Reads rows until there are enough, and checks each.
pub(super) fn read(path: &Path, dialect: Dialect, rows: &mut Rows<'_>) -> Result<(), DataError> {
    let file = File::open(path).map_err(|source| DataError::Io {
        path: path.to_owned(),
        source,
    })?;
    let mut records = Records::new(path, file, dialect);
    let Some(header) = records.next()? else {
        let hint = "expected a first line with the names of the columns";
        return Err(records.fail(1, "the file is empty", Some(hint)));
    };
    let names = header.fields;
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            let problem = format!("two columns are called {name:?}");
            let hint = "give every column a name of its own";
            return Err(records.fail(header.line, &problem, Some(hint)));
        }
    }
    while !rows.are_enough()
        && let Some(Record { line, fields }) = records.next()?
    {
        if fields.len() != names.len() {
            let problem = format!("expected {} fields, found {}", names.len(), fields.len());
            let hint = if dialect.has_quotes {
                "put fields with commas, quotes or line breaks in double quotes"
            } else {
                "fields of a TSV file cannot hold tabs or line breaks: use CSV for them"
            };
            return Err(records.fail(line, &problem, Some(hint)));
        }
        let values = fields.into_iter().map(Value::String);
        let columns: Map<String, Value> = names.iter().cloned().zip(values).collect();
        rows.push(path, line, &columns)
            .map_err(|error| records.fail(line, &error.problem, error.hint.as_deref()))?;
    }
    Ok(())
}

/// A record and the line it starts in, from 1.
struct Record {
    line: usize,
    fields: Vec<String>,
}

/// The records of a file.
struct Records<'a> {
    path: &'a Path,
    dialect: Dialect,
    reader: Reader<Bounded>,
}

impl<'a> Records<'a> {
    fn new(path: &'a Path, file: File, dialect: Dialect) -> Self {
        let reader = ReaderBuilder::new()
            .delimiter(dialect.delimiter)
            .quoting(dialect.has_quotes)
            // One byte, so that lines can be counted: with both, a record would begin with the
            // line feed of the one before it. Carriage returns are taken off below.
            .terminator(Terminator::Any(b'\n'))
            .has_headers(false)
            .flexible(true)
            .from_reader(Bounded {
                file,
                left: 0,
                read: 0,
                last: b'\n',
            });
        Self {
            path,
            dialect,
            reader,
        }
    }

    /// The next record that is no empty line; none at the end.
    fn next(&mut self) -> Result<Option<Record>, DataError> {
        loop {
            self.reader.get_mut().left = MAX_ROW_BYTES;
            let start = self.reader.position().line() as usize;
            let mut record = ByteRecord::new();
            match self.reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Err(self.unreadable(start, error)),
            }
            let line = self.line_of(&record);
            let mut fields = Vec::with_capacity(record.len());
            for (i, bytes) in record.iter().enumerate() {
                let is_last = i + 1 == record.len();
                let bytes = bytes
                    .strip_suffix(b"\r")
                    .filter(|_| is_last)
                    .unwrap_or(bytes);
                let hint = Some("save the file as UTF-8");
                let text = std::str::from_utf8(bytes).map_err(|error| {
                    let byte = error.valid_up_to() + 1;
                    let problem = format!("column {}: byte {byte} is not valid UTF-8", i + 1);
                    self.fail(line, &problem, hint)
                })?;
                if text.contains('\0') {
                    let problem = format!("column {}: a NUL byte", i + 1);
                    return Err(self.fail(line, &problem, hint));
                }
                fields.push(text.to_owned());
            }
            if fields != [""] {
                return Ok(Some(Record { line, fields }));
            }
        }
    }

    /// The line that the record just read starts in: it ends before where the reader is now.
    fn line_of(&self, record: &ByteRecord) -> usize {
        let (now, file) = (self.reader.position(), self.reader.get_ref());
        // A last field that ends with the file's last line feed has a quote that is never closed.
        let is_open = record.as_slice().ends_with(b"\n");
        let is_terminated = now.byte() < file.read || (file.last == b'\n' && !is_open);
        let breaks = record.as_slice().iter().filter(|&&byte| byte == b'\n');
        (now.line() as usize).saturating_sub(breaks.count() + usize::from(is_terminated))
    }

    fn unreadable(&self, line: usize, error: csv::Error) -> DataError {
        match error.into_kind() {
            ErrorKind::Io(error) if error.get_ref().is_some_and(|why| why.is::<RowTooLong>()) => {
                let hint = self
                    .dialect
                    .has_quotes
                    .then_some("is a quote never closed?");
                self.fail(line, &error.to_string(), hint)
            }
            ErrorKind::Io(source) => DataError::Io {
                path: self.path.to_owned(),
                source,
            },
            other => self.fail(line, &format!("{other:?}"), None),
        }
    }

    fn fail(&self, line: usize, problem: &str, hint: Option<&str>) -> DataError {
        DataError::Line {
            path: self.path.to_owned(),
            line,
            problem: problem.to_owned(),
            hint: hint.map(str::to_owned),
        }
    }
}

/// A file of which only so many bytes may be read for a record: a quote that is never closed makes
/// the rest of a file one field, which must not end up in memory.
struct Bounded {
    file: File,
    /// What may still be read for this record.
    left: usize,
    /// What was read of the file.
    read: u64,
    /// The last byte that was read.
    last: u8,
}

#[derive(Debug, thiserror::Error)]
#[error("a row of more than 64 MiB")]
struct RowTooLong;

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read)
            .ok_or_else(|| io::Error::other(RowTooLong))?;
        self.read += read as u64;
        self.last = buffer[..read].last().copied().unwrap_or(self.last);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error_of, load_content, load_task};
    use super::super::{FileFormat, Mapping};

    const HEADER: &str = "premise,hypothesis,label\n";

    #[test]
    fn quotes_commas_line_breaks_and_marks_are_read() {
        let text = "\u{feff}premise,hypothesis,label,other\r\n\
                    \"Anna, \"\"tall\"\"\nand old.\",H.,entailment,\r\n\r\nP.,,entailment,x";
        let rows = load_content(FileFormat::Csv, text.as_bytes(), &Mapping::default()).unwrap();
        let texts: Vec<(&str, &str, &str)> = rows
            .iter()
            .map(|row| {
                (
                    row.id.as_str(),
                    row.text("premise").unwrap(),
                    row.text("hypothesis").unwrap(),
                )
            })
            .collect();
        assert_eq!(
            texts,
            [
                ("rows.csv:2", "Anna, \"tall\"\nand old.", "H."),
                ("rows.csv:5", "P.", ""),
            ]
        );
    }

    #[test]
    fn a_quote_in_a_tsv_is_a_character() {
        let text = "label\tpremise\thypothesis\nentailment\t\"P\t\"H, I.\n";
        let rows = load_content(FileFormat::Tsv, text.as_bytes(), &Mapping::default()).unwrap();
        assert_eq!(rows[0].text("premise").unwrap(), "\"P");
        assert_eq!(rows[0].text("hypothesis").unwrap(), "\"H, I.");
    }

    #[test]
    fn truth_values_numbers_and_lists_are_read_from_text() {
        let none = Mapping::default();
        let text = "word,sentence1,sentence2,label\nw,a,b,1\nw,a,b,False\n";
        load_task("wic", FileFormat::Csv, text.as_bytes(), &none).unwrap();
        let text =
            "question,choices,answer_index\nq,\"[\"\"a\"\",\"\"b\"\",\"\"c\"\",\"\"d\"\"]\",3\n";
        load_task("openbookqa", FileFormat::Csv, text.as_bytes(), &none).unwrap();
        let text = "question,answers\nq,Oslo\n";
        load_task("triviaqa", FileFormat::Csv, text.as_bytes(), &none).unwrap();
        let text = "word,sentence1,sentence2,label\nw,a,b,maybe\n";
        let (error, _) = load_task("wic", FileFormat::Csv, text.as_bytes(), &none).unwrap_err();
        assert_eq!(
            error,
            "rows.csv:2: field \"label\": expected true or false, found \"maybe\""
        );
    }

    #[test]
    fn every_kind_of_damage_is_named_with_its_line() {
        let row = "P.,H.,entailment\n";
        type Case<'a> = (&'a [&'a [u8]], &'a str, Option<&'a str>);
        let cases: [Case<'_>; 9] = [
            (
                &[],
                "rows.csv:1: the file is empty",
                Some("expected a first line with the names of the columns"),
            ),
            (&[HEADER.as_bytes()], "rows.csv has no rows", None),
            (
                &[HEADER.as_bytes(), row.as_bytes(), b"P.,H.\n"],
                "rows.csv:3: expected 3 fields, found 2",
                Some("put fields with commas, quotes or line breaks in double quotes"),
            ),
            (
                &[
                    HEADER.as_bytes(),
                    row.as_bytes(),
                    b"P.,caf\xe9,entailment\n",
                ],
                "rows.csv:3: column 2: byte 4 is not valid UTF-8",
                Some("save the file as UTF-8"),
            ),
            (
                &[HEADER.as_bytes(), b"P.,\0,entailment\n"],
                "rows.csv:2: column 2: a NUL byte",
                Some("save the file as UTF-8"),
            ),
            (
                &[b"premise,label,premise\n"],
                "rows.csv:1: two columns are called \"premise\"",
                Some("give every column a name of its own"),
            ),
            (
                &[b"premise,hypothesis,labels\n", row.as_bytes()],
                "rows.csv:2: field \"label\" is missing",
                Some("there is a field \"labels\""),
            ),
            (
                &[
                    HEADER.as_bytes(),
                    row.as_bytes(),
                    b"\"P.,H.,entailment\n",
                    row.as_bytes(),
                ],
                "rows.csv:3: expected 3 fields, found 1",
                Some("put fields with commas, quotes or line breaks in double quotes"),
            ),
            // UTF-16 with its mark, as some spreadsheets save "Unicode text".
            (
                &[b"\xff\xfep\0,\0"],
                "rows.csv:1: column 1: byte 1 is not valid UTF-8",
                Some("save the file as UTF-8"),
            ),
        ];
        for (parts, error, hint) in cases {
            let found = error_of(FileFormat::Csv, &parts.concat());
            assert_eq!(found, (error.to_owned(), hint.map(str::to_owned)));
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_take_the_rest_of_a_large_file() {
        let mut content = format!("{HEADER}\"P.").into_bytes();
        content.resize(content.len() + (65 << 20), b'a');
        let (error, hint) = error_of(FileFormat::Csv, &content);
        assert_eq!(error, "rows.csv:2: a row of more than 64 MiB");
        assert_eq!(hint.as_deref(), Some("is a quote never closed?"));
    }
}

//! Apache Parquet: the columns that a task needs, row by row.

mod compact;
mod guard;
mod value;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::reader::TreeBuilder;
use parquet::schema::types::{SchemaDescriptor, Type};
use serde_json::{Map, Value};

use super::DataError;
use super::rows::Rows;
use crate::contained::contained;
use guard::GuardedGroup;

/// What a message of the library may take of a line; some show a whole value, byte by byte.
const MAX_MESSAGE: usize = 200;

/// Reads rows until there are enough, and checks each.
pub(super) fn read(path: &Path, rows: &mut Rows<'_>) -> Result<(), DataError> {
    let io = |source| DataError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    guard::check_footer(&file).map_err(|error| damaged(path, &error))?;
    let copy = file.try_clone().map_err(io)?;
    let reader =
        quiet(|| SerializedFileReader::new(copy)).map_err(|error| damaged(path, &error))?;
    let schema = reader.metadata().file_metadata().schema();
    let projected = project(path, schema, rows)?;
    let mut row = 0;
    for index in 0..reader.num_row_groups() {
        let group = quiet(|| reader.get_row_group(index)).map_err(|error| damaged(path, &error))?;
        let group = GuardedGroup::new(&*group, &file);
        let projected = Arc::new(SchemaDescriptor::new(projected.clone()));
        let mut iterator = quiet(|| TreeBuilder::new().as_iter(projected, &group))
            .map_err(|error| damaged(path, &error))?;
        while !rows.are_enough() {
            let fail = |problem: String, hint: Option<String>| DataError::Row {
                path: path.to_owned(),
                row: row + 1,
                problem,
                hint,
            };
            let next = quiet(|| iterator.next().transpose());
            let next = next.map_err(|error| fail(message(&error), hint(&error)))?;
            let Some(next) = next else { break };
            let columns: Map<String, Value> = next
                .into_columns()
                .into_iter()
                .map(|(name, field)| (name, value::json(field)))
                .collect();
            rows.push(path, row + 1, &columns)
                .map_err(|error| fail(error.problem, error.hint))?;
            row += 1;
        }
    }
    Ok(())
}

/// What the library returns; a panic of it is an error, too.
fn quiet<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    contained(call).unwrap_or_else(|panic| Err(ParquetError::General(panic)))
}

fn damaged(path: &Path, error: &ParquetError) -> DataError {
    DataError::File {
        path: path.to_owned(),
        problem: message(error),
        hint: hint(error),
    }
}

fn message(error: &ParquetError) -> String {
    let text = match error {
        // The library shows every byte of it.
        ParquetError::General(text) if text.starts_with("Error reading BYTE_ARRAY as String") => {
            return "a text is not valid UTF-8".to_owned();
        }
        ParquetError::General(text) => format!("cannot be read: {text}"),
        other => format!("cannot be read: {other}"),
    };
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn hint(error: &ParquetError) -> Option<String> {
    let hint = match error {
        ParquetError::NYI(_) => "write it with snappy, gzip, zstd or no compression",
        _ => "is it a whole Parquet file? fetch it or write it again",
    };
    Some(hint.to_owned())
}

/// The schema with only those columns that the task's fields are read from.
fn project(path: &Path, schema: &Type, rows: &Rows<'_>) -> Result<Arc<Type>, DataError> {
    let fail = |problem: String, hint: Option<String>| DataError::File {
        path: path.to_owned(),
        problem,
        hint,
    };
    let mut roots = BTreeSet::new();
    for column in schema.get_fields() {
        if !roots.insert(column.name()) {
            let hint = "give every column a name of its own".to_owned();
            let problem = format!("two columns are called {:?}", column.name());
            return Err(fail(problem, Some(hint)));
        }
    }
    let mut wanted = BTreeSet::new();
    for (field, column) in rows.columns() {
        let before: BTreeSet<&str> = column
            .match_indices('.')
            .map(|(dot, _)| &column[..dot])
            .chain([column])
            .filter(|name| roots.contains(name))
            .collect();
        if before.is_empty() {
            let error = rows.absent(field, &names(schema));
            return Err(fail(error.problem, error.hint));
        }
        wanted.extend(before);
    }
    let fields = schema.get_fields().iter();
    let fields = fields
        .filter(|column| wanted.contains(column.name()))
        .cloned();
    let projected = Type::group_type_builder(schema.name())
        .with_fields(fields.collect())
        .build();
    projected
        .map(Arc::new)
        .map_err(|error| damaged(path, &error))
}

/// Names of all columns, those of nested ones with dots; without the levels that lists are made of.
fn names(group: &Type) -> Vec<String> {
    let mut all = Vec::new();
    for column in group.get_fields() {
        let name = column.name();
        all.push(name.to_owned());
        if column.is_group() {
            let parts = names(column);
            let shown = parts.iter().filter(|part| !part.starts_with("list"));
            all.extend(shown.map(|part| format!("{name}.{part}")));
        }
    }
    all
}

//! Parquet's values as JSON values.

use parquet::record::Field;
use serde_json::{Number, Value};

/// The same value; what JSON has no word for (dates, decimals, numbers that are none) as text.
/// Bytes are text if they are UTF-8, since many writers do not say so.
pub(super) fn json(field: Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::Bool(value),
        Field::Byte(value) => value.into(),
        Field::Short(value) => value.into(),
        Field::Int(value) => value.into(),
        Field::Long(value) => value.into(),
        Field::UByte(value) => value.into(),
        Field::UShort(value) => value.into(),
        Field::UInt(value) => value.into(),
        Field::ULong(value) => value.into(),
        Field::Float(value) => float(value.into(), value.to_string()),
        Field::Double(value) => float(value, value.to_string()),
        Field::Str(text) => Value::String(text),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => bytes.data().iter().copied().map(Value::from).collect(),
        },
        Field::Group(row) => {
            let parts = row.into_columns().into_iter();
            Value::Object(parts.map(|(name, field)| (name, json(field))).collect())
        }
        Field::ListInternal(list) => list.elements().iter().cloned().map(json).collect(),
        Field::MapInternal(map) => {
            let entries = map.entries().iter();
            let name = |key: &Field| match key {
                Field::Str(text) => text.clone(),
                other => other.to_string(),
            };
            let named = entries.map(|(key, value)| (name(key), json(value.clone())));
            Value::Object(named.collect())
        }
        other => Value::String(other.to_string()),
    }
}

fn float(value: f64, written: String) -> Value {
    Number::from_f64(value).map_or(Value::String(written), Value::Number)
}

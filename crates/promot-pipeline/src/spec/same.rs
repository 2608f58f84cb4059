//! Whether two values say the same, wherever they stand.

use super::node::{Node, Value};

/// Whether two values are equal but for their places; the order of keys does not count.
pub(super) fn same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Scalar(one), Value::Scalar(other)) => one == other,
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
        }
        (Value::Map(one), Value::Map(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, _, value)| {
                    let found = other.iter().find(|(name, ..)| name == key);
                    found.is_some_and(|(.., theirs)| same(value, theirs))
                })
        }
        _ => false,
    }
}

//! `matrix:`: one file, run with several values of some of its settings.

use super::Spec;
use super::node::{Node, Value};
use super::set;
use crate::diagnostic::{Diagnostics, Place};

/// At most so many combinations: more is a slip of the pen.
const MAX_POINTS: usize = 1000;

/// One value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The setting, as `--set` names it.
    pub path: String,
    /// Its value as it is written.
    pub value: String,
}

impl Setting {
    /// The setting's own name, without the way to it.
    pub fn key(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }
}

/// One combination of values.
#[derive(Clone, Debug)]
pub struct Point {
    /// A value of each setting of the matrix; none without a matrix.
    pub settings: Vec<Setting>,
    /// The file with these values, and without its matrix.
    pub spec: Spec,
}

impl Spec {
    /// All combinations of the matrix' values, the last setting's changing fastest; without a matrix
    /// the file itself.
    ///
    /// # Errors
    /// What is wrong with the matrix.
    pub fn points(&self) -> Result<Vec<Point>, Diagnostics> {
        let mut diagnostics = Diagnostics::new();
        let mut rest = self.clone();
        let Some(matrix) = rest.take("matrix") else {
            return Ok(vec![Point {
                settings: Vec::new(),
                spec: rest,
            }]);
        };
        let axes = axes(&matrix, &mut diagnostics);
        let count = axes.iter().try_fold(1_usize, |count, (_, values)| {
            count.checked_mul(values.len())
        });
        if count.is_none_or(|count| count > MAX_POINTS) {
            let message = format!("`matrix`: more than {MAX_POINTS} combinations");
            diagnostics.push(matrix.place, message, None);
        }
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let mut points = vec![Point {
            settings: Vec::new(),
            spec: rest,
        }];
        for (path, values) in axes {
            let mut more = Vec::new();
            for point in &points {
                for value in values {
                    let mut point = point.clone();
                    let root = &mut point.spec.root;
                    set::assign(root, path, value.clone(), value.place, &mut diagnostics);
                    point.settings.push(Setting {
                        path: path.to_owned(),
                        value: value.canonical().expect("looked at before"),
                    });
                    more.push(point);
                }
            }
            points = more;
        }
        if diagnostics.is_empty() {
            Ok(points)
        } else {
            Err(diagnostics)
        }
    }
}

/// Settings and their values.
fn axes<'n>(matrix: &'n Node, diagnostics: &mut Diagnostics) -> Vec<(&'n str, &'n [Node])> {
    let example = || Some("for example `matrix: {seed: [0, 1, 2]}`".to_owned());
    let Value::Map(entries) = &matrix.value else {
        let message = format!(
            "`matrix`: expected settings with lists of values, found {}",
            matrix.describe()
        );
        diagnostics.push(matrix.place, message, example());
        return Vec::new();
    };
    let mut axes = Vec::new();
    for (path, place, node) in entries {
        match &node.value {
            Value::List(values) if !values.is_empty() => {
                check_values(path, values, diagnostics);
                axes.push((path.as_str(), values.as_slice()));
            }
            _ => {
                let found = match &node.value {
                    Value::List(_) => "an empty list".to_owned(),
                    _ => node.describe(),
                };
                let message =
                    format!("`{path}` in matrix: expected a list of values, found {found}");
                diagnostics.push(*place, message, example());
            }
        }
    }
    axes
}

/// Reports name points by their values.
fn check_values(path: &str, values: &[Node], diagnostics: &mut Diagnostics) {
    let mut seen: Vec<String> = Vec::new();
    for value in values {
        let mut problem = |place: Place, what: String| {
            diagnostics.push(place, format!("`{path}` in matrix: {what}"), None);
        };
        match value.canonical() {
            None => {
                let what = format!(
                    "expected a number, word or truth value, found {}",
                    value.describe()
                );
                problem(value.place, what);
            }
            Some(written) if seen.contains(&written) => {
                problem(value.place, format!("`{written}` stands twice"));
            }
            Some(written) => seen.push(written),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::diagnostic::Sources;
    use crate::spec;

    fn points(text: &str) -> Result<Vec<Point>, Vec<String>> {
        let mut sources = Sources::new("pipeline.yaml", text, &[]);
        let spec = spec::parse(&mut sources, Path::new("pipeline.yaml")).expect("YAML");
        spec.points().map_err(|problems| {
            let problems = problems.into_sorted().into_iter();
            problems.map(|problem| problem.message).collect()
        })
    }

    #[test]
    fn every_combination_is_a_point() {
        let text = "a: {b: 1}\nmatrix: {seed: [0, 1], a.b: [5, x]}\n";
        let points = points(text).unwrap();
        let settings: Vec<String> = points
            .iter()
            .map(|point| {
                let written = point
                    .settings
                    .iter()
                    .map(|s| format!("{}={}", s.key(), s.value));
                written.collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(
            settings,
            ["seed=0 b=5", "seed=0 b=x", "seed=1 b=5", "seed=1 b=x"]
        );
        let of = |point: &Point, key: &str| {
            let Value::Map(entries) = &point.spec.root.value else {
                panic!("a mapping");
            };
            entries
                .iter()
                .find(|(name, ..)| name == key)
                .map(|(.., node)| node.clone())
        };
        assert_eq!(of(&points[2], "seed").unwrap().written(), Some("1"));
        assert!(of(&points[2], "matrix").is_none());
    }

    #[test]
    fn a_file_without_a_matrix_is_one_point() {
        assert!(points("seed: 1").unwrap()[0].settings.is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_matrix_is_told() {
        for (matrix, expected) in [
            (
                "3",
                "`matrix`: expected settings with lists of values, found number 3",
            ),
            (
                "{seed: 3}",
                "`seed` in matrix: expected a list of values, found number 3",
            ),
            (
                "{seed: []}",
                "`seed` in matrix: expected a list of values, found an empty list",
            ),
            ("{seed: [1, 1]}", "`seed` in matrix: `1` stands twice"),
            (
                "{seed: [[1]]}",
                "`seed` in matrix: expected a number, word or truth value, found a list",
            ),
            (
                "{version.x: [1]}",
                "`version` is not a mapping, so it has no `x`",
            ),
        ] {
            let text = format!("version: 1\nmatrix: {matrix}\n");
            assert_eq!(points(&text).unwrap_err(), [expected]);
        }
    }
}

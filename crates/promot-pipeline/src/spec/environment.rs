//! `${NAME}` in a value: what an environment variable holds, so that a file that others run too
//! need not say where data and models lie.

use super::node::{Node, Scalar, Value};
use crate::diagnostic::Diagnostics;

/// Puts variables in place of their names in all texts below `node`; `$${` stands for `${`.
pub(super) fn expand(
    node: &mut Node,
    variable: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Diagnostics,
) {
    match &mut node.value {
        Value::Scalar(scalar) if scalar.written.contains("${") => {
            match expanded(&scalar.written, variable) {
                Ok(whole) => *scalar = Scalar::text(whole),
                Err((message, hint)) => diagnostics.push(node.place, message, Some(hint)),
            }
        }
        Value::Scalar(_) => {}
        Value::List(nodes) => {
            for node in nodes {
                expand(node, variable, diagnostics);
            }
        }
        Value::Map(entries) => {
            for (_, _, node) in entries {
                expand(node, variable, diagnostics);
            }
        }
    }
}

fn expanded(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, (String, String)> {
    let mut whole = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, name) = (&rest[..start], &rest[start + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            whole.push_str(before);
            whole.push_str("${");
            rest = name;
            continue;
        }
        let Some(end) = name.find('}') else {
            let hint = "write ${NAME}, or $${ where ${ itself is meant".to_owned();
            return Err((format!("`{text}`: `${{` without a `}}`"), hint));
        };
        let (name, after) = (&name[..end], &name[end + 1..]);
        let Some(value) = variable(name) else {
            let message = format!("the environment variable {name} is not set");
            return Err((message, format!("for example: export {name}=...")));
        };
        whole.push_str(before);
        whole.push_str(&value);
        rest = after;
    }
    whole.push_str(rest);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<String, String> {
        let variable = |name: &str| (name == "DATA").then(|| "/rows".to_owned());
        expanded(text, &variable).map_err(|(message, _)| message)
    }

    #[test]
    fn variables_stand_for_what_they_hold() {
        assert_eq!(of("${DATA}/rte/${DATA}.x").unwrap(), "/rows/rte//rows.x");
        assert_eq!(of("a $${DATA} and $5").unwrap(), "a ${DATA} and $5");
        assert_eq!(
            of("${OTHER}/rte").unwrap_err(),
            "the environment variable OTHER is not set"
        );
        assert_eq!(of("${DATA").unwrap_err(), "`${DATA`: `${` without a `}`");
    }

    #[test]
    fn all_missing_variables_are_told_with_their_places() {
        let text = "a: ${MISSING_A}\nb: [1, '${MISSING_B}']\n";
        let mut sources = crate::diagnostic::Sources::new("pipeline.yaml", text, &[]);
        let file = std::path::Path::new("pipeline.yaml");
        let problems = crate::spec::parse(&mut sources, file)
            .unwrap_err()
            .into_sorted();
        let found: Vec<_> = problems
            .iter()
            .map(|p| (p.place.line, p.place.column, p.message.as_str()))
            .collect();
        let expected = [
            (1, 4, "the environment variable MISSING_A is not set"),
            (2, 8, "the environment variable MISSING_B is not set"),
        ];
        assert_eq!(found, expected);
    }
}

//! Curves as small tables: a row for each step, a column for each line.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::escaped;
use crate::report::{Plot, Topic};

/// Those of checkpoints, gradients and drift; how stages trained has a section of its own.
pub(super) fn curves(text: &mut String, plots: &[Plot]) {
    let is_curve = |plot: &&Plot| !matches!(plot.topic, Topic::Training | Topic::Tradeoff);
    let curves: Vec<&Plot> = plots.iter().filter(is_curve).collect();
    if curves.is_empty() {
        return;
    }
    let _ = writeln!(text, "## Curves\n");
    for plot in curves {
        let stage = escaped(plot.stage.as_deref().unwrap_or_default());
        let _ = writeln!(
            text,
            "**{}** ({stage}; {})\n",
            escaped(&plot.title),
            escaped(&plot.y)
        );
        let names: Vec<String> = plot.lines.iter().map(|line| escaped(&line.name)).collect();
        let _ = writeln!(text, "| {} | {} |", escaped(&plot.x), names.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(names.len()));
        let points = plot.lines.iter().flat_map(|line| &line.points);
        let steps: BTreeSet<u64> = points.filter_map(|point| point.step).collect();
        let decimals = if plot.is_percent { 1 } else { 3 };
        for step in steps {
            let cells = plot.lines.iter().map(|line| {
                let point = line.points.iter().find(|point| point.step == Some(step));
                match point.map(|point| (point.y, point.low, point.high)) {
                    Some((y, Some(low), Some(high))) => {
                        format!("{y:.decimals$} [{low:.decimals$}, {high:.decimals$}]")
                    }
                    Some((y, ..)) => format!("{y:.decimals$}"),
                    None => "-".to_owned(),
                }
            });
            let cells: Vec<String> = cells.collect();
            let _ = writeln!(text, "| {step} | {} |", cells.join(" | "));
        }
        text.push('\n');
    }
}

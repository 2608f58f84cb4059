//! Figures, drawn by plotters into SVG that takes its colours from the page.
//!
//! What is drawn gets colours that stand for a role; afterwards each of them is replaced by a class, so
//! that the page's style sheet decides how a line looks: on light and dark ground and on paper. Lines
//! differ in their dashes and markers, too.

mod differences;
mod lines;
mod paint;
mod tradeoff;

use maud::{Markup, PreEscaped, html};

pub(super) use differences::differences;

use super::number::number;
use super::table::sortable;
use crate::report::{Plot, Topic};

/// The size of a figure in its own units; the page scales it.
const SIZE: (u32, u32) = (640, 380);

/// A figure with its legend and its numbers; if all its lines are single points of training, which say
/// nothing as a drawing, only the numbers.
pub(super) fn figure(plot: &Plot) -> Markup {
    let is_single = plot.lines.iter().all(|line| line.points.len() < 2);
    let drawing = match plot.topic {
        Topic::Tradeoff => Some(tradeoff::draw(plot)),
        _ if is_single => None,
        _ => Some(lines::draw(plot)),
    };
    let names = plot.lines.iter().map(|line| line.name.as_str());
    let names: Vec<(usize, &str)> = names.enumerate().collect();
    html! {
        figure {
            figcaption { (plot.title) }
            @if let Some(drawing) = drawing {
                (drawing)
                (legend(&names))
            }
            details.numbers open[is_single && plot.topic != Topic::Tradeoff] {
                summary { "Numbers" }
                (numbers(plot))
            }
        }
    }
}

/// The values that are drawn.
fn numbers(plot: &Plot) -> Markup {
    let points = || plot.lines.iter().flat_map(|line| &line.points);
    let has_steps = points().any(|point| point.step.is_some());
    let has_intervals = points().any(|point| point.low.is_some());
    let is_tradeoff = plot.topic == Topic::Tradeoff;
    let mut heads = vec!["Line".to_owned()];
    if has_steps {
        heads.push("Steps".to_owned());
    }
    if is_tradeoff {
        heads.push(plot.x.clone());
    }
    heads.push(plot.y.clone());
    if has_intervals {
        heads.extend(["Low".to_owned(), "High".to_owned()]);
    }
    let decimals = if plot.is_percent { 1 } else { 4 };
    let maybe = |value: Option<f64>, decimals: usize| {
        html! { @if let Some(value) = value { (number(value, decimals)) } }
    };
    let mut rows = Vec::new();
    for line in &plot.lines {
        for point in &line.points {
            let mut row = vec![html! { (line.name) }];
            if has_steps {
                row.push(
                    html! { @if let Some(step) = point.step { data value=(step) { (step) } } },
                );
            }
            if is_tradeoff {
                row.push(number(point.x, 1));
            }
            row.push(number(point.y, decimals));
            if has_intervals {
                row.extend([maybe(point.low, decimals), maybe(point.high, decimals)]);
            }
            rows.push(row);
        }
    }
    sortable(&plot.title, &heads, 1, &rows)
}

/// What is what, for all lines of a figure with their numbers.
fn legend(names: &[(usize, &str)]) -> Markup {
    html! {
        ul.legend {
            @for (index, name) in names {
                li {
                    (PreEscaped(paint::key(*index)))
                    (name)
                }
            }
        }
    }
}

/// A drawing in the page, named for those who do not see it.
fn embed(svg: &str, size: (u32, u32), label: &str) -> Markup {
    html! {
        div.drawing {
            svg viewBox=(format!("0 0 {} {}", size.0, size.1)) role="img" aria-label=(label) {
                (PreEscaped(paint::inner(svg)))
            }
        }
    }
}

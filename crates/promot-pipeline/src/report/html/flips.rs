//! Rows that one model has right and another wrong.

use maud::{Markup, html};

use super::number::{count, p_value};
use super::table::sortable;
use crate::report::{Flips, TableData};

/// Counts with McNemar's test, and rows of both directions.
pub(super) fn flips(table: &TableData, flips: &[Flips]) -> Markup {
    let heads = [
        "Model",
        "Compared with",
        "Task",
        "Shots",
        "Rows",
        "Both right",
        "Right → wrong",
        "Wrong → right",
        "p (McNemar)",
    ];
    let rows: Vec<Vec<Markup>> = flips
        .iter()
        .map(|found| {
            vec![
                html! { (found.model) },
                html! {
                    (found.against)
                    @if found.same_model { " " span.tag { "other prompt" } }
                },
                html! {
                    (table.title(&found.task))
                    @if found.is_target { " " span.tag { "tuned" } }
                },
                count(found.shots),
                count(found.rows),
                count(found.both_right),
                html! { span.wrong aria-hidden="true" { "▼ " } (count(found.lost)) },
                html! { span.right aria-hidden="true" { "▲ " } (count(found.gained)) },
                p_value(found.p),
            ]
        })
        .collect();
    html! {
        (sortable("Right and wrong, row by row", &heads.map(str::to_owned), 3, &rows))
        @for found in flips.iter().filter(|found| !found.listed.is_empty()) {
            details.rows {
                summary {
                    (found.model) " against " (found.against) ": " (table.title(&found.task))
                    ", " (found.shots) "-shot "
                    span.quiet {
                        (found.listed.len()) " of " (found.lost + found.gained) " rows that changed"
                    }
                }
                (listed(found))
            }
        }
    }
}

fn listed(found: &Flips) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Rows that changed" {
            table.answers {
                thead {
                    tr {
                        th scope="col" { "Row" }
                        th scope="col" { "Change" }
                        th scope="col" { "Expected" }
                        th scope="col" { (found.against) }
                        th scope="col" { (found.model) }
                    }
                }
                tbody {
                    @for flip in &found.listed {
                        tr {
                            th scope="row" { (flip.row + 1) }
                            @if flip.gained {
                                td { span.right { "▲ wrong → right" } }
                            } @else {
                                td { span.wrong { "▼ right → wrong" } }
                            }
                            td { (flip.target) }
                            td { (flip.before) }
                            td { (flip.after) }
                        }
                    }
                }
            }
        }
    }
}

//! Scores beside published ones.

use maud::{Markup, html};

use super::number::{count, number};
use super::table::sortable;
use crate::report::PublishedTable;

/// A table and what it comes to.
pub(super) fn published(data: &PublishedTable) -> Markup {
    let mut heads: Vec<String> = ["Task", "Shots"].map(str::to_owned).into();
    heads.extend(data.models.iter().cloned());
    let rows: Vec<Vec<Markup>> = data
        .rows
        .iter()
        .map(|row| {
            let mut cells = vec![html! { (row.title) }, count(row.shots)];
            for (ours, theirs) in &row.scores {
                cells.push(html! {
                    div.score {
                        @if let Some(ours) = ours { (number(*ours, 1)) } @else { "–" }
                        @if let Some(theirs) = theirs {
                            span.margin { " (" (number(*theirs, 1)) ")" }
                        }
                    }
                });
            }
            cells
        })
        .collect();
    html! {
        (sortable("Beside published scores", &heads, 1, &rows))
        p.note {
            "In brackets scores of " (data.source) ". Differences to " (data.compared_with)
            " that are not 0 on either side: " (count(data.differences)) "; with the same sign: "
            (count(data.same_sign)) "."
        }
    }
}

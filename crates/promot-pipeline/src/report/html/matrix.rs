//! Means over several seeds as a page.

use maud::{Markup, html};

use super::document;
use super::number::number;
use super::table::sortable;
use crate::report::matrix::LEGEND;
use crate::report::{MatrixCell, MatrixSummary, MatrixTable};

/// What a matrix of runs came to, as one HTML document that loads nothing.
pub fn matrix_html(summary: &MatrixSummary) -> String {
    let body = html! {
        header {
            h1 { (summary.pipeline) }
            p { (LEGEND) ". Below each mean the values of the seeds, in their order." }
        }
        main {
            @for group in &summary.groups {
                section {
                    h2 { (group.heading()) }
                    @for table in &group.tables { (means(table)) }
                }
            }
        }
    };
    document(&summary.pipeline, &body)
}

fn means(table: &MatrixTable) -> Markup {
    let digits = table.digits();
    let mut heads = vec![String::new()];
    heads.extend(table.columns.iter().cloned());
    let rows: Vec<Vec<Markup>> = table
        .rows
        .iter()
        .map(|row| {
            let mut cells = vec![html! { (row.name) }];
            cells.extend(row.cells.iter().map(|cell| match cell {
                Some(cell) => mean(cell, digits),
                None => html! { "–" },
            }));
            cells
        })
        .collect();
    sortable(&table.name, &heads, 1, &rows)
}

fn mean(cell: &MatrixCell, digits: usize) -> Markup {
    html! {
        div.score {
            (number(cell.mean, digits))
            @if let Some(margin) = cell.margin {
                span.margin { " ±" (number(margin, digits)) }
            }
        }
        @if cell.values.len() > 1 {
            div.share {
                @for (index, value) in cell.values.iter().enumerate() {
                    @if index > 0 { ", " }
                    (number(*value, digits))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{MatrixGroup, MatrixRow};

    #[test]
    fn a_page_has_means_intervals_and_every_seed() {
        let cell = MatrixCell {
            mean: 50.25,
            margin: Some(4.125),
            values: vec![48.5, 52.0],
        };
        let page = matrix_html(&MatrixSummary {
            pipeline: "a <pipeline>".to_owned(),
            groups: vec![MatrixGroup {
                settings: "length=5".to_owned(),
                seeds: vec![0, 7],
                tables: vec![MatrixTable {
                    name: "table".to_owned(),
                    columns: vec!["ProMoT".to_owned()],
                    rows: vec![MatrixRow {
                        name: "Norm. Avg.".to_owned(),
                        cells: vec![Some(cell)],
                    }],
                }],
            }],
        });
        for part in [
            "a &lt;pipeline&gt;",
            "length=5; mean of seeds 0, 7",
            "<data value=\"50.25\">",
            "<data value=\"4.125\">4.1</data>",
            "<data value=\"48.5\">48.5</data>, <data value=\"52.0\">52.0</data>",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}

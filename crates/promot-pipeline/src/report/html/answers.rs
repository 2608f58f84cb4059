//! What models answered: some rows to look at, and all of them to search in.

use maud::{Markup, html};

use super::changes::changes;
use crate::report::{AnsweredRow, AnsweredTask, TableData};

/// Rows of a task and number of worked examples that the page has at most.
const ROWS: usize = 50;
/// Characters of an input that are shown: its end, which is where the row's own question is.
const INPUT: usize = 400;

/// For every task a row on which the models do not say the same, or else its first.
pub(super) fn examples(table: &TableData, tasks: &[AnsweredTask]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Answers side by side" {
            table.answers {
                caption { "Answers side by side" }
                (head(table, "Task"))
                tbody {
                    @for task in tasks {
                        @if let Some((number, row)) = example(task) {
                            (line(task, number, row, &html! { (name(table, task)) }))
                        }
                    }
                }
            }
        }
    }
}

/// All rows of every task, to be filtered.
pub(super) fn all(stage: &str, table: &TableData, tasks: &[AnsweredTask]) -> Markup {
    let field = format!("search-{stage}");
    html! {
        div.search data-search {
            label for=(field) { "Search in all answers" }
            input id=(field) type="search" autocomplete="off" spellcheck="false"
                placeholder="a word of a question or an answer";
            output for=(field) aria-live="polite" {}
            @for task in tasks {
                @let shown = task.rows.len().min(ROWS);
                details.rows {
                    summary {
                        (name(table, task)) " "
                        span.quiet {
                            (shown) @if shown < task.rows.len() { " of " (task.rows.len()) }
                            @if shown == 1 { " row" } @else { " rows" }
                        }
                    }
                    div.scroll tabindex="0" role="region" aria-label=(name(table, task)) {
                        table.answers {
                            (head(table, "Row"))
                            tbody {
                                @for (number, row) in task.rows.iter().enumerate().take(ROWS) {
                                    (line(task, number, row, &html! { (number + 1) }))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How much of it all the page has.
pub(super) fn note() -> String {
    format!(
        "The page has the first {ROWS} rows of each task and number of worked examples, and the last \
         {INPUT} characters of an input, where the row's own question is; answers/*.jsonl in the \
         stage's artifact has everything. Marked is what differs from the first model's answer, struck \
         out what is missing of it; ✓ and ✗ say whether an answer counts as right, where that is to be \
         said of a row."
    )
}

fn name(table: &TableData, task: &AnsweredTask) -> String {
    let title = table.title(&task.task);
    if task.is_target {
        format!("{title} (tuned, 0-shot)")
    } else {
        format!("{title}, {}-shot", task.shots)
    }
}

fn example(task: &AnsweredTask) -> Option<(usize, &AnsweredRow)> {
    let mut rows = task.rows.iter().enumerate();
    let differ = |row: &AnsweredRow| row.outputs.iter().any(|output| *output != row.outputs[0]);
    let different = rows.find(|(_, row)| differ(row));
    different.or_else(|| task.rows.iter().enumerate().next())
}

fn head(table: &TableData, first: &str) -> Markup {
    html! {
        thead {
            tr {
                th scope="col" { (first) }
                th scope="col" { "Input" }
                th scope="col" { "Expected" }
                @for model in &table.models { th scope="col" { (model) } }
            }
        }
    }
}

fn line(task: &AnsweredTask, number: usize, row: &AnsweredRow, first: &Markup) -> Markup {
    let right = task.right.as_ref().and_then(|right| right.get(number));
    html! {
        tr {
            th scope="row" { (first) }
            td.input title=[is_cut(&row.input).then_some("its beginning is not shown")] {
                (end_of(&row.input))
            }
            td { (row.target) }
            @for (column, output) in row.outputs.iter().enumerate() {
                td {
                    @if let Some(&right) = right.and_then(|right| right.get(column)) {
                        @if right { span.right title="right" { "✓ " } }
                        @else { span.wrong title="wrong" { "✗ " } }
                    }
                    @if output.is_empty() && row.outputs[0].is_empty() {
                        span.quiet { "nothing" }
                    } @else {
                        (changes(&row.outputs[0], output))
                    }
                }
            }
        }
    }
}

fn is_cut(text: &str) -> bool {
    text.chars().nth(INPUT).is_some()
}

fn end_of(text: &str) -> String {
    if !is_cut(text) {
        return text.to_owned();
    }
    let skipped = text.chars().count() - INPUT;
    let end: String = text.chars().skip(skipped).collect();
    format!("… {}", end.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_inputs_keep_their_ends() {
        assert_eq!(end_of("short"), "short");
        let long = format!("{}é end", "x".repeat(INPUT));
        let end = end_of(&long);
        assert!(end.starts_with("… x") && end.ends_with("é end"), "{end}");
        assert_eq!(end.chars().count(), INPUT + 2);
    }
}

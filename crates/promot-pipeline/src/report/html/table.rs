//! Tables whose columns sort, and those of an evaluation.

use maud::{Markup, html};

use super::number::{count, difference, number};
use crate::report::{ComparedOver, Report, Summary, TableData};

/// A table in a container of its own that scrolls, with column heads that sort. Columns from `numbers`
/// on are numbers.
pub(super) fn sortable(
    caption: &str,
    heads: &[String],
    numbers: usize,
    rows: &[Vec<Markup>],
) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table.sortable {
                caption { (caption) }
                thead {
                    tr {
                        @for (column, head) in heads.iter().enumerate() {
                            th.number[column >= numbers] scope="col" aria-sort="none" {
                                button type="button" { (head) }
                            }
                        }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 {
                                    th scope="row" { (cell) }
                                } @else {
                                    td.number[column >= numbers] { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A line a model: the target, the means, and how they differ from the compared model's.
pub(super) fn summary(report: &Report, stage: &str, table: &TableData) -> Markup {
    let summaries = Report::of_stage(&report.summaries, stage);
    let mut heads = vec!["Model".to_owned()];
    for task in table.tasks(true) {
        heads.push(format!("{} (tuned)", table.title(task)));
    }
    for shots in table.shots() {
        heads.push(format!("Norm. Avg., {shots}-shot"));
        if has_foreign(table) {
            heads.push(format!("Foreign formats, {shots}-shot"));
            heads.push(format!("In the target's format, %, {shots}-shot"));
        }
    }
    let rows: Vec<Vec<Markup>> = table
        .models
        .iter()
        .map(|model| summary_row(table, summaries, model))
        .collect();
    sortable("Summary", &heads, 1, &rows)
}

fn summary_row(table: &TableData, summaries: &[Summary], model: &str) -> Vec<Markup> {
    let mut row = vec![html! { (model) }];
    for task in table.tasks(true) {
        row.push(score(table, model, task, 0, true));
    }
    let with_difference = |value: Option<f64>, over: ComparedOver, shots: usize| {
        html! {
            (maybe(value))
            (compared(table, model, &over, shots))
        }
    };
    for shots in table.shots() {
        let own = |summary: &&Summary| summary.model == model && summary.shots == shots;
        let own = summaries.iter().find(own);
        let mean = own.and_then(|summary| summary.normalized_average);
        row.push(with_difference(
            mean,
            ComparedOver::NormalizedAverage,
            shots,
        ));
        if has_foreign(table) {
            let foreign = own.and_then(|summary| summary.foreign);
            row.push(with_difference(
                foreign,
                ComparedOver::ForeignFormats,
                shots,
            ));
            row.push(maybe(own.and_then(|summary| summary.format_share)));
        }
    }
    row
}

/// A line a task and number of worked examples, a column a model.
pub(super) fn scores(table: &TableData) -> Markup {
    let mut heads: Vec<String> = ["Task", "Metric", "Shots", "Rows"]
        .map(str::to_owned)
        .into();
    heads.extend(table.models.iter().cloned());
    let mut rows = Vec::new();
    let targets = table.tasks(true).into_iter().map(|task| (task, 0, true));
    let shots = table.shots();
    let others = shots.iter().flat_map(|&shots| {
        table
            .tasks(false)
            .into_iter()
            .map(move |t| (t, shots, false))
    });
    for (task, shots, is_target) in targets.chain(others) {
        let of_any = |model: &String| table.cell(model, task, shots, is_target);
        let Some(any) = table.models.iter().find_map(of_any) else {
            continue;
        };
        let name = table.title(task);
        let mut row = vec![
            html! { (name) @if is_target { " " span.tag { "tuned" } } },
            html! { (any.record.metric.label()) },
            count(shots),
            count(any.record.samples),
        ];
        for model in &table.models {
            row.push(score(table, model, task, shots, is_target));
        }
        rows.push(row);
    }
    sortable("Scores of every task", &heads, 2, &rows)
}

/// A score with its margin, its share of answers in the target's format, and its difference.
fn score(table: &TableData, model: &str, task: &str, shots: usize, is_target: bool) -> Markup {
    let Some(cell) = table.cell(model, task, shots, is_target) else {
        return html! { "–" };
    };
    let record = &cell.record;
    let over = if is_target {
        ComparedOver::Target(task.to_owned())
    } else {
        ComparedOver::Task(task.to_owned())
    };
    html! {
        div.score {
            (number(record.value, 1))
            span.margin { " ±" (number(record.margin, 1)) }
            @if cell.with_prompt { " " span.tag { "prompt" } }
        }
        (compared(table, model, &over, shots))
        @if let Some(share) = record.format_share {
            div.share { (number(share, 0)) "% in the target's format" }
        }
    }
}

fn compared(table: &TableData, model: &str, over: &ComparedOver, shots: usize) -> Markup {
    let mut found = table.differences.iter();
    let found = found.find(|d| d.model == model && d.over == *over && d.shots == shots);
    html! { @if let Some(found) = found { (difference(found)) } }
}

fn maybe(value: Option<f64>) -> Markup {
    html! {
        @if let Some(value) = value {
            div.score { (number(value, 1)) }
        } @else { "–" }
    }
}

fn has_foreign(table: &TableData) -> bool {
    let mut cells = table.cells.iter();
    cells.any(|cell| cell.record.format_share.is_some())
}

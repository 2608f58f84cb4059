//! The report as a page: one file with everything in it, that loads nothing.
//!
//! Text of the data is escaped by the template language; only drawings and the page's own style and
//! script are put in as they are.

mod answers;
mod changes;
mod figure;
mod flips;
mod graph;
mod matrix;
mod number;
mod published;
mod run;
mod table;

pub use matrix::matrix_html;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Details, LEGEND, Plot, Report, TableData, Topic};

/// How the page looks.
const STYLE: &str = include_str!("style.css");
/// Sorts tables and searches in answers; everything can be read without it.
const SCRIPT: &str = include_str!("script.js");
/// Nothing is loaded from anywhere, whatever the data say.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'";

/// The whole report as one HTML document.
///
/// It is made of the report alone, but for the rows with all answers and the section `machine` with
/// times and processors, which are in the details. Numbers in tables are `data` elements, whose values
/// are those of the report, digit by digit.
pub fn html(report: &Report, details: &Details) -> String {
    let title = format!("{} (seed {})", report.pipeline, report.seed);
    let body = html! {
        header {
            h1 { (report.pipeline) }
            p {
                "Seed " (report.seed) " · " (report.card.device) ", "
                (report.precision.name())
                @if let Some(base) = &report.card.base { " · " (base.name) }
            }
            (contents(report))
        }
        main {
            @for (stage, table) in &report.tables {
                (evaluation(report, details, stage, table))
            }
            (topic(report, Topic::Checkpoints, "checkpoints", "Over the steps of tuning"))
            (topic(report, Topic::Gradients, "gradients", "Gradients"))
            (topic(report, Topic::Drift, "drift", "Drift"))
            (topic(report, Topic::Training, "training", "Training"))
            section #repeat {
                h2 { "To repeat it" }
                (run::card(report))
            }
            section #machine {
                h2 { "How it was run" }
                (run::machine(&details.stages))
            }
        }
    };
    document(&title, &body)
}

/// A document with the page's style and script.
fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Links to the sections.
fn contents(report: &Report) -> Markup {
    let topics = [
        (Topic::Checkpoints, "checkpoints", "Steps"),
        (Topic::Gradients, "gradients", "Gradients"),
        (Topic::Drift, "drift", "Drift"),
        (Topic::Training, "training", "Training"),
    ];
    html! {
        nav aria-label="Sections" {
            ul {
                @for (stage, _) in &report.tables {
                    li { a href=(format!("#stage-{stage}")) { (stage) } }
                    li { a href=(format!("#flips-{stage}")) { "Right and wrong" } }
                    li { a href=(format!("#answers-{stage}")) { "Answers" } }
                }
                @for (topic, id, name) in topics {
                    @if report.plots.iter().any(|plot| plot.topic == topic) {
                        li { a href=(format!("#{id}")) { (name) } }
                    }
                }
                li { a href="#repeat" { "To repeat it" } }
                li { a href="#machine" { "How it was run" } }
            }
        }
    }
}

fn evaluation(report: &Report, details: &Details, stage: &str, table: &TableData) -> Markup {
    let tradeoffs: Vec<&Plot> = plots(report, Topic::Tradeoff)
        .filter(|plot| plot.stage.as_deref() == Some(stage))
        .collect();
    let flips = Report::of_stage(&report.flips, stage);
    let mut answered = details.tables.iter();
    let answered = answered.find(|(name, _)| name == stage);
    html! {
        section id=(format!("stage-{stage}")) {
            h2 { (stage) }
            (table::summary(report, stage, table))
            p.note { (legend(table)) }
            div.figures {
                (figure::differences(table))
                @for plot in tradeoffs { (figure::figure(plot)) }
            }
            (table::scores(table))
            @if let Some((_, data)) = report.published.iter().find(|(name, _)| name == stage) {
                (published::published(data))
            }
        }
        @if !flips.is_empty() {
            section id=(format!("flips-{stage}")) {
                h2 { "Right and wrong, row by row" }
                p.note {
                    "Tasks whose answers are right or wrong as a whole. p is that of McNemar's exact test: how \
                     probable so uneven numbers of changed rows are, if both models are equally good."
                }
                (flips::flips(table, flips))
            }
        }
        @if let Some((_, tasks)) = answered {
            section id=(format!("answers-{stage}")) {
                h2 { "Answers" }
                p.note { (answers::note()) }
                (answers::examples(table, tasks))
                (answers::all(stage, table, tasks))
            }
        }
    }
}

/// What the numbers of a table mean.
fn legend(table: &TableData) -> String {
    let (meaning, _) = LEGEND.split_once("; in brackets").unwrap_or((LEGEND, ""));
    match &table.compared_with {
        Some(against) => format!(
            "A number is a {}. Below scores: the difference to {against} with its 95% interval, of a paired bootstrap \
             over rows, which is bold where the interval does not contain 0.",
            meaning.replace("[prompt]", "\"prompt\"")
        ),
        None => format!("A number is a {meaning}."),
    }
}

fn topic(report: &Report, topic: Topic, id: &str, title: &str) -> Markup {
    let found: Vec<&Plot> = plots(report, topic).collect();
    // Stages that trade something for something are beside their curves.
    let tradeoffs = plots(report, Topic::Tradeoff).filter(|plot| {
        topic == Topic::Checkpoints && found.iter().any(|other| other.stage == plot.stage)
    });
    let tradeoffs: Vec<&Plot> = tradeoffs.collect();
    html! {
        @if !found.is_empty() {
            section id=(id) {
                h2 { (title) }
                p.note { "Bands are 95% intervals; curves/*.csv beside the report has all points." }
                div.figures {
                    @for plot in found.iter().chain(&tradeoffs) { (figure::figure(plot)) }
                }
            }
        }
    }
}

fn plots(report: &Report, topic: Topic) -> impl Iterator<Item = &Plot> {
    report.plots.iter().filter(move |plot| plot.topic == topic)
}

#[cfg(test)]
mod tests;

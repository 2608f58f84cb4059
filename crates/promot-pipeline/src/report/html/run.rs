//! How a report came about: what repeats it, and what its stages took where.

use maud::{Markup, html};

use super::graph::graph;
use super::number::duration;
use super::table::sortable;
use crate::report::{Report, StageDetails};

/// What is the same wherever the run is repeated.
pub(super) fn card(report: &Report) -> Markup {
    let card = &report.card;
    html! {
        dl.card {
            @if let Some(command) = &card.command {
                dt { "Command" } dd { code { (command) } }
            }
            dt { "Pipeline" } dd { (report.pipeline) ", seed " (report.seed) }
            dt { "Program" } dd { "promot " (card.version) }
            dt { "Device" } dd { (card.device) }
            dt { "Matrix products" }
            dd { (report.precision.name()) ", kernels: " (report.kernels.join(", ")) }
            dt { "Base model" }
            dd {
                @if let Some(base) = &card.base {
                    (base.name) " " code.digest { (base.digest) }
                } @else { "none: the pipeline makes its own" }
            }
            dt { "Files of rows" }
            dd {
                @if card.data.is_empty() {
                    "none: all rows are of the mini world, which is part of the program"
                }
                @for files in &card.data {
                    div {
                        (files.stage) ", " (files.task) ", " (files.split) " "
                        code.digest { (files.digest) }
                    }
                }
            }
            dt { "Stages" }
            dd {
                @for stage in &card.stages {
                    div { (stage.name) " (" (stage.kind) ") " code.digest { (stage.key) } }
                }
            }
        }
    }
}

/// What depends on the machine and the moment.
pub(super) fn machine(stages: &[StageDetails]) -> Markup {
    let efforts = || stages.iter().filter_map(|stage| stage.effort.as_ref());
    let total: f64 = efforts().map(|effort| effort.seconds).sum();
    let heads = ["Stage", "Kind", "Reads", "Processor", "Threads", "Time"];
    let rows: Vec<Vec<Markup>> = stages
        .iter()
        .map(|stage| {
            let effort = stage.effort.as_ref();
            vec![
                html! { (stage.name) },
                html! { (stage.kind) },
                html! { (stage.inputs.join(", ")) },
                html! { @if let Some(effort) = effort { (effort.processor) } },
                html! {
                    @if let Some(effort) = effort { data value=(effort.threads) { (effort.threads) } }
                },
                html! {
                    @if let Some(effort) = effort {
                        data value=(effort.seconds) { (duration(effort.seconds)) }
                    } @else { "–" }
                },
            ]
        })
        .collect();
    html! {
        p {
            "All stages took " (duration(total)) " together. A stage that was found in the store has the
            time of the run that computed it, one that was interrupted that of its last run."
        }
        (graph(stages))
        (sortable("What the stages took", &heads.map(str::to_owned), 4, &rows))
    }
}

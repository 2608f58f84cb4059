//! Reports in Markdown.

use std::fmt::Write as _;

use super::{LEGEND, Report, rows};

/// The whole report: tables, outputs side by side, checkpoints.
pub fn markdown(report: &Report) -> String {
    let mut text = format!("# {} (seed {})\n", report.pipeline, report.seed);
    let (precision, kernels) = (report.precision.name(), report.kernels.join(", "));
    let _ = writeln!(
        text,
        "\nMatrix products in {precision} (kernels: {kernels})."
    );
    for (stage, data) in &report.tables {
        let table = rows(data);
        let _ = writeln!(text, "\n## {stage}\n");
        let _ = writeln!(text, "| {} |", table.header.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(table.header.len()));
        for row in &table.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        let _ = writeln!(text, "\n{LEGEND}\n");
        let _ = writeln!(text, "### Outputs side by side\n");
        let first = data.models.first().map_or("", String::as_str);
        for cell in data.cells.iter().filter(|cell| cell.model == first) {
            let record = &cell.record;
            let Some(sample) = cell.samples.first() else {
                continue;
            };
            let _ = writeln!(
                text,
                "**{}, {}-shot**\n",
                data.title(&record.task),
                record.shots
            );
            let _ = writeln!(text, "```text\n{}\n```\n", sample.input);
            let _ = writeln!(text, "- expected: {}", quoted(&sample.target));
            for model in &data.models {
                let other = data.cell(model, &record.task, record.shots, cell.is_target);
                if let Some(sample) = other.and_then(|cell| cell.samples.first()) {
                    let _ = writeln!(text, "- {model}: {}", quoted(&sample.output));
                }
            }
            text.push('\n');
        }
    }
    let _ = writeln!(text, "## Checkpoints\n");
    for (stage, summary) in &report.training {
        let _ = writeln!(text, "{stage}: best at step {}\n", summary["best_step"]);
        let _ = writeln!(
            text,
            "| step | loss | score on the rows that choose |\n|---|---|---|"
        );
        for record in summary["history"].as_array().into_iter().flatten() {
            let loss = record["loss"].as_f64().unwrap_or(f64::NAN);
            let value = record["value"]
                .as_f64()
                .map_or("-".to_owned(), |v| format!("{v:.1}"));
            let _ = writeln!(text, "| {} | {loss:.4} | {value} |", record["step"]);
        }
        text.push('\n');
    }
    text
}

fn quoted(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('\n', " "))
}

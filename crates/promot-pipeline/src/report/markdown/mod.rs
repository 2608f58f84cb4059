//! Reports in Markdown.

mod card;
mod checkpoints;
mod curves;
mod escape;
mod flips;
mod published;

use std::fmt::Write as _;

use escape::{block, code};

pub(super) use escape::escaped;

use super::{ComparedOver, LEGEND, ModelDifference, Report, Rows, TableData, rows};

/// The whole report: tables, what changed row by row, outputs side by side, curves, checkpoints, and
/// what repeats it.
pub fn markdown(report: &Report) -> String {
    let mut text = format!("# {} (seed {})\n", escaped(&report.pipeline), report.seed);
    let (precision, kernels) = (report.precision.name(), report.kernels.join(", "));
    let _ = writeln!(
        text,
        "\nMatrix products in {precision} (kernels: {kernels})."
    );
    for (stage, data) in &report.tables {
        let _ = writeln!(text, "\n## {}\n", escaped(stage));
        text += &table(&rows(data));
        let _ = writeln!(text, "\n{LEGEND}\n");
        comparison(&mut text, data);
        if let Some((_, data)) = report.published.iter().find(|(name, _)| name == stage) {
            published::published(&mut text, data);
        }
        flips::flips(&mut text, data, Report::of_stage(&report.flips, stage));
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
                escaped(&data.title(&record.task)),
                record.shots
            );
            let _ = writeln!(text, "{}", block(&sample.input));
            let _ = writeln!(text, "- expected: {}", code(&sample.target));
            for model in &data.models {
                let other = data.cell(model, &record.task, record.shots, cell.is_target);
                if let Some(sample) = other.and_then(|cell| cell.samples.first()) {
                    let _ = writeln!(text, "- {}: {}", escaped(model), code(&sample.output));
                }
            }
            text.push('\n');
        }
    }
    curves::curves(&mut text, &report.plots);
    checkpoints::checkpoints(&mut text, report);
    card::card(&mut text, report);
    text
}

/// Rows as a table.
pub(super) fn table(table: &Rows) -> String {
    let cells = |row: &[String]| {
        let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
        cells.join(" | ")
    };
    let mut text = format!("| {} |\n", cells(&table.header));
    let _ = writeln!(text, "|{}", "---|".repeat(table.header.len()));
    for row in &table.rows {
        let _ = writeln!(text, "| {} |", cells(row));
    }
    text
}

/// A row for everything that models were compared over, a column for each of them.
fn comparison(text: &mut String, data: &TableData) {
    let (Some(against), false) = (&data.compared_with, data.differences.is_empty()) else {
        return;
    };
    let models: Vec<&String> = data.models.iter().filter(|m| *m != against).collect();
    let names: Vec<String> = models.iter().map(|model| escaped(model)).collect();
    let _ = writeln!(text, "### Differences to {}\n", escaped(against));
    let _ = writeln!(
        text,
        "Differences of scores with their 95% intervals, of a paired bootstrap over rows.\n"
    );
    let _ = writeln!(text, "| | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(names.len()));
    let of_first = data.differences.iter().filter(|d| d.model == *models[0]);
    for first in of_first {
        let name = match &first.over {
            ComparedOver::Target(task) => format!("{} (tuned)", data.title(task)),
            ComparedOver::NormalizedAverage => format!("Norm. Avg., {}-shot", first.shots),
            ComparedOver::ForeignFormats => format!("foreign formats, {}-shot", first.shots),
            ComparedOver::Task(task) => format!("{}, {}-shot", data.title(task), first.shots),
        };
        let is_same = |d: &&ModelDifference| d.over == first.over && d.shots == first.shots;
        let cells = models.iter().map(|model| {
            let mut found = data.differences.iter().filter(is_same);
            let found = found.find(|d| d.model == **model);
            found.map_or("-".to_owned(), |d| {
                format!("{:+.1} [{:+.1}, {:+.1}]", d.value, d.low, d.high)
            })
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "| {} | {} |", escaped(&name), cells.join(" | "));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::SampleOutput;
    use crate::report::sample::report;

    #[test]
    fn what_users_and_models_write_is_no_markup() {
        let mut report = report();
        report.pipeline = "<script> & \n# more".to_owned();
        let data = &mut report.tables[0].1;
        data.titles.insert("cb".to_owned(), "C|B\nhere".to_owned());
        for cell in &mut data.cells {
            cell.samples = vec![SampleOutput {
                input: "one\n```\n# two".to_owned(),
                target: "`True`".to_owned(),
                output: "no `\n- more".to_owned(),
            }];
        }
        let text = markdown(&report);
        for expected in [
            "# &lt;script> &amp;  # more (seed 3)\n",
            "\n| C\\|B here | 200 | 70.0 ±5.2 | 60.0 ±5.2 |\n",
            "\n| C\\|B here, 1-shot | +0.0 [-4.5, +4.2] |\n",
            "\n\n````text\none\n```\n# two\n````\n\n- expected: `` `True` ``\n",
            "\n- Tuned &lt;b>: ``no ` - more``\n",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(!text.contains("<script>") && !text.contains("\n- more"));
    }
}

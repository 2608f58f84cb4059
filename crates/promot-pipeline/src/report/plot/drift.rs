//! Foreign prompts answered while a stage is tuned.

use promot_data::metric::share_margin;

use super::{Line, Plot, Point, Topic};
use crate::report::DriftRecord;

/// For each stage a figure of scores and one of the share of answers in the target's format.
pub(super) fn plots(drift: &[(String, Vec<DriftRecord>)]) -> Vec<Plot> {
    let mut plots = Vec::new();
    for (stage, records) in drift {
        let figure = |title: String, y: &str, lines| Plot {
            topic: Topic::Drift,
            stage: Some(stage.clone()),
            title,
            x: "steps".to_owned(),
            y: y.to_owned(),
            is_percent: true,
            lines,
        };
        let scores = lines(stage, records, |record| {
            Some(Point::at(record.step, record.score))
        });
        plots.push(figure(
            format!("Foreign tasks while {stage} is tuned"),
            "score",
            scores,
        ));
        let shares = lines(stage, records, |record| {
            let share = record.format_share?;
            let hits = (share / 100.0 * record.rows as f64).round() as usize;
            let point = Point::at(record.step, share);
            Some(match record.rows {
                0 => point,
                rows => point.with_margin(share_margin(hits.min(rows), rows)),
            })
        });
        let title = format!("Answers in the target's format while {stage} is tuned");
        plots.push(figure(title, "% of answers", shares));
    }
    plots
}

fn lines(
    stage: &str,
    records: &[DriftRecord],
    point: impl Fn(&DriftRecord) -> Option<Point>,
) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for record in records {
        let with = if record.with_prompt {
            ", with the prompt"
        } else {
            ""
        };
        let task = promot_data::task::find_task(&record.task);
        let title = task.map_or(record.task.clone(), |task| task.title().to_owned());
        let name = format!("{title}{with}");
        let Some(point) = point(record) else { continue };
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => lines.push(Line {
                stage: stage.to_owned(),
                name,
                points: vec![point],
            }),
        }
    }
    for line in &mut lines {
        line.points.sort_by_key(|point| point.step);
    }
    lines
}

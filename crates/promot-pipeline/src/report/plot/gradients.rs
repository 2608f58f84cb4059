//! Cosines between gradients by groups of parameters (paper figures 3 and 7).

use super::{Line, Plot, Point, Topic};
use crate::report::AlignmentData;

/// A figure for each model, with a line for each group.
pub(super) fn plots(stage: &str, data: &AlignmentData) -> Vec<Plot> {
    let mut plots: Vec<Plot> = Vec::new();
    for measured in &data.points {
        let title = format!("Gradient of the format in that of {}", measured.model);
        let position = plots.iter().position(|plot| plot.title == title);
        let position = position.unwrap_or_else(|| {
            plots.push(Plot {
                topic: Topic::Gradients,
                stage: Some(stage.to_owned()),
                title,
                x: "steps".to_owned(),
                y: "cosine".to_owned(),
                is_percent: false,
                lines: Vec::new(),
            });
            plots.len() - 1
        });
        let lines = &mut plots[position].lines;
        let line = lines.iter().position(|line| line.name == measured.group);
        let line = line.unwrap_or_else(|| {
            lines.push(Line {
                stage: stage.to_owned(),
                name: measured.group.clone(),
                points: Vec::new(),
            });
            lines.len() - 1
        });
        lines[line].points.push(
            Point::at(measured.step, measured.cosine).with_interval(measured.low, measured.high),
        );
    }
    for line in plots.iter_mut().flat_map(|plot| &mut plot.lines) {
        line.points.sort_by_key(|point| point.step);
    }
    plots
}

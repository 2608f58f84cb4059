//! What figures show, as numbers: drawings, CSV files and Markdown are made from the same.

mod checkpoints;
mod drift;
mod gradients;
mod tradeoff;
mod training;

use serde::{Deserialize, Serialize};

use super::Report;

/// A figure: lines over steps, or points of a trade-off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// What it is about.
    pub topic: Topic,
    /// The stage whose figure it is; none for one that shows several.
    pub stage: Option<String>,
    /// What it shows, in words.
    pub title: String,
    /// What the horizontal axis is.
    pub x: String,
    /// What the vertical axis is.
    pub y: String,
    /// Whether its values lie in [0, 100].
    pub is_percent: bool,
    /// The lines, in the order of their first points.
    pub lines: Vec<Line>,
}

/// What a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// How a stage trained.
    Training,
    /// Models measured at their checkpoints.
    Checkpoints,
    /// The target's score against what else a model can do.
    Tradeoff,
    /// How much of a gradient is the format's.
    Gradients,
    /// What a drift monitor saw.
    Drift,
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The stage that measured them.
    pub stage: String,
    /// What they are of.
    pub name: String,
    /// The points; over steps in their order. Values that are no numbers are left out.
    pub points: Vec<Point>,
}

/// A measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Optimizer steps done, if it is of a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Where it lies on the horizontal axis: the steps, but for trade-offs.
    pub x: f64,
    /// The value.
    pub y: f64,
    /// The lower end of its 95% interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Its upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
}

impl Point {
    /// A value after some steps.
    fn at(step: u64, y: f64) -> Self {
        Self {
            step: Some(step),
            x: step as f64,
            y,
            low: None,
            high: None,
        }
    }

    /// With `margin` to both sides, within [0, 100].
    fn with_margin(self, margin: f64) -> Self {
        let low = (self.y - margin).max(0.0);
        let high = (self.y + margin).min(100.0);
        self.with_interval(low, high)
    }

    fn with_interval(self, low: f64, high: f64) -> Self {
        Self {
            low: Some(low),
            high: Some(high),
            ..self
        }
    }
}

/// All figures of a report.
pub(super) fn plots(report: &Report) -> Vec<Plot> {
    let mut plots = Vec::new();
    for (stage, data) in &report.curves {
        plots.extend(checkpoints::plots(stage, data));
    }
    for (stage, table) in &report.tables {
        plots.extend(tradeoff::of_models(stage, table));
    }
    for (stage, data) in &report.alignments {
        plots.extend(gradients::plots(stage, data));
    }
    plots.extend(drift::plots(&report.drift));
    plots.extend(training::plots(&report.training));
    for plot in &mut plots {
        for line in &mut plot.lines {
            let finite = |end: &Option<f64>| end.is_none_or(f64::is_finite);
            line.points
                .retain(|p| p.y.is_finite() && finite(&p.low) && finite(&p.high));
        }
        plot.lines.retain(|line| !line.points.is_empty());
    }
    plots.retain(|plot| !plot.lines.is_empty());
    plots
}

#[cfg(test)]
mod tests;

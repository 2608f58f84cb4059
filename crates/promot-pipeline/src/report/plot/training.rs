//! Losses and scores of the checkpoints that tuning stages saved.

use serde_json::Value;

use super::{Line, Plot, Point, Topic};

/// A figure of all stages' losses, and of the scores that choose checkpoints.
pub(super) fn plots(training: &[(String, Value)]) -> Vec<Plot> {
    let figure = |title: &str, y: &str, key: &str, is_percent| Plot {
        topic: Topic::Training,
        stage: None,
        title: title.to_owned(),
        x: "steps".to_owned(),
        y: y.to_owned(),
        is_percent,
        lines: training
            .iter()
            .map(|(stage, summary)| line(stage, summary, key))
            .collect(),
    };
    vec![
        figure(
            "Training loss, the mean of the steps since the checkpoint before",
            "loss, nats",
            "loss",
            false,
        ),
        figure(
            "Score on the rows that choose checkpoints",
            "score",
            "value",
            true,
        ),
        figure(
            "Score on the foreign prompts that choose checkpoints",
            "score",
            "foreign",
            true,
        ),
    ]
}

fn line(stage: &str, summary: &Value, key: &str) -> Line {
    let history = summary["history"].as_array().into_iter().flatten();
    let point = |record: &Value| Some(Point::at(record["step"].as_u64()?, record[key].as_f64()?));
    Line {
        stage: stage.to_owned(),
        name: stage.to_owned(),
        points: history.filter_map(point).collect(),
    }
}

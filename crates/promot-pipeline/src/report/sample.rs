//! A report of everything that there is, for tests of how it is shown.

use std::collections::BTreeMap;

use promot_core::{Digest, MetricKind, MetricRecord};
use promot_model::gemm::Precision;
use serde_json::json;

use super::plot::plots;
use super::summary::summaries;
use super::{
    AlignmentData, AlignmentPoint, Card, CardBase, CardStage, Cell, ComparedOver, CurveData,
    CurvePoint, CurveSeries, DriftRecord, Flip, Flips, ModelDifference, PublishedRow,
    PublishedTable, Report, TableData,
};

fn cell(model: &str, task: &str, target: bool, value: f64) -> Cell {
    Cell {
        model: model.to_owned(),
        is_target: target,
        with_prompt: target,
        record: MetricRecord {
            task: task.to_owned(),
            metric: MetricKind::Accuracy,
            value,
            margin: 5.25,
            samples: 200,
            shots: usize::from(!target),
            format_share: (task == "triviaqa").then_some(value / 8.0),
        },
        samples: Vec::new(),
    }
}

fn table(models: &[&str]) -> TableData {
    let mut cells = Vec::new();
    for (column, model) in models.iter().enumerate() {
        let gain = 10.0 * column as f64;
        cells.push(cell(model, "rte", true, 50.0 + gain));
        cells.push(cell(model, "cb", false, 70.0 - gain));
        cells.push(cell(model, "triviaqa", false, 80.0 - 2.0 * gain));
    }
    TableData {
        models: models.iter().map(|&model| model.to_owned()).collect(),
        cells,
        titles: BTreeMap::new(),
        compared_with: None,
        differences: Vec::new(),
    }
}

fn difference(over: ComparedOver, shots: usize, value: f64) -> ModelDifference {
    ModelDifference {
        model: "Tuned <b>".to_owned(),
        over,
        shots,
        value,
        low: value - 4.5,
        high: value + 4.25,
    }
}

/// Everything that tests of a page want to see in it.
pub(super) fn report() -> Report {
    let mut scores = table(&["Pretrained", "Tuned <b>"]);
    scores.compared_with = Some("Pretrained".to_owned());
    scores.differences = vec![
        difference(ComparedOver::Target("rte".to_owned()), 0, 10.0),
        difference(ComparedOver::NormalizedAverage, 1, -15.0),
        difference(ComparedOver::ForeignFormats, 1, -20.0),
        difference(ComparedOver::Task("cb".to_owned()), 1, 0.0),
    ];
    let columns = ["step 0", "step 50", "step 100"];
    let points = columns.iter().zip([0, 50, 100]);
    let curve = CurveData {
        series: vec![CurveSeries {
            model: "Fine-tuned".to_owned(),
            points: points
                .map(|(&column, step)| CurvePoint {
                    step,
                    column: column.to_owned(),
                })
                .collect(),
        }],
        table: table(&columns),
    };
    let cosine = |group: &str, step: u64| AlignmentPoint {
        model: "Fine-tuned".to_owned(),
        step,
        group: group.to_owned(),
        cosine: 0.5 - step as f64 / 400.0,
        low: 0.4 - step as f64 / 400.0,
        high: 0.625 - step as f64 / 400.0,
    };
    let alignment = AlignmentData {
        batches: 8,
        batch_size: 16,
        points: vec![
            cosine("query", 100),
            cosine("query", 0),
            cosine("value", 0),
            cosine("value", 100),
        ],
    };
    let drift = |step: u64, with_prompt: bool| DriftRecord {
        step,
        task: "triviaqa".to_owned(),
        with_prompt,
        rows: 16,
        score: 75.0 - step as f64 / 2.0,
        format_share: Some(step as f64 / 2.0),
    };
    let digest = Digest::of(b"anything");
    let mut report = Report {
        pipeline: "sample".to_owned(),
        seed: 3,
        precision: Precision::default(),
        kernels: vec!["portable".to_owned()],
        summaries: vec![("table".to_owned(), summaries(&scores))],
        tables: vec![("table".to_owned(), scores)],
        training: vec![(
            "finetuned".to_owned(),
            json!({ "best_step": 50, "history": [
                { "step": 50, "loss": 1.5, "value": 70.0 },
                { "step": 100, "loss": null, "value": 60.0 },
                { "step": 150, "loss": 0.5, "value": 65.5 },
            ]}),
        )],
        curves: vec![("curve".to_owned(), curve)],
        alignments: vec![("gradients".to_owned(), alignment)],
        drift: vec![(
            "finetuned".to_owned(),
            vec![
                drift(0, false),
                drift(100, false),
                drift(0, true),
                drift(100, true),
            ],
        )],
        flips: vec![(
            "table".to_owned(),
            vec![Flips {
                model: "Tuned <b>".to_owned(),
                against: "Pretrained".to_owned(),
                same_model: false,
                task: "rte".to_owned(),
                shots: 0,
                is_target: true,
                rows: 200,
                both_right: 90,
                lost: 10,
                gained: 30,
                p: 0.002_221_435_2,
                listed: vec![Flip {
                    row: 4,
                    gained: true,
                    target: "True".to_owned(),
                    before: "<img src=x>".to_owned(),
                    after: "True".to_owned(),
                }],
            }],
        )],
        published: vec![(
            "table".to_owned(),
            PublishedTable {
                source: "somebody & others".to_owned(),
                models: vec!["Pretrained".to_owned(), "Tuned <b>".to_owned()],
                rows: vec![PublishedRow {
                    title: "RTE".to_owned(),
                    shots: 0,
                    scores: vec![(Some(50.0), Some(47.65)), (Some(60.0), None)],
                }],
                compared_with: "Pretrained".to_owned(),
                differences: 0,
                same_sign: 0,
            },
        )],
        plots: Vec::new(),
        card: Card {
            version: "0.0.0".to_owned(),
            device: "cpu".to_owned(),
            base: Some(CardBase {
                name: "builtin:mini-t5".to_owned(),
                digest,
            }),
            data: Vec::new(),
            stages: vec![CardStage {
                name: "finetuned".to_owned(),
                kind: "model_tune".to_owned(),
                key: digest,
            }],
            command: Some("promot-pipeline run sample.yaml".to_owned()),
        },
    };
    report.plots = plots(&report);
    report
}

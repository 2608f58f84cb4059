//! Curves as CSV files: a file for each stage, a line for each point.

use serde::Serialize;

use super::{Plot, Topic};

/// A stage's curves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvFile {
    /// The file's name: the stage's, with `.csv`.
    pub name: String,
    /// What is in it: a header, then a line for each point.
    pub bytes: Vec<u8>,
}

/// One point with all that says what it is.
#[derive(Serialize)]
struct Row<'a> {
    figure: &'a str,
    line: &'a str,
    step: u64,
    value: f64,
    low: Option<f64>,
    high: Option<f64>,
}

/// A file for each stage that has curves, in the order of the figures. Trade-offs are not in them:
/// they show two of the curves against each other.
pub fn curve_files(plots: &[Plot]) -> Vec<CsvFile> {
    let mut writers: Vec<(String, csv::Writer<Vec<u8>>)> = Vec::new();
    for plot in plots.iter().filter(|plot| plot.topic != Topic::Tradeoff) {
        for line in &plot.lines {
            let position = writers.iter().position(|(stage, _)| *stage == line.stage);
            let position = position.unwrap_or_else(|| {
                writers.push((line.stage.clone(), csv::Writer::from_writer(Vec::new())));
                writers.len() - 1
            });
            for point in &line.points {
                let row = Row {
                    figure: &plot.title,
                    line: &line.name,
                    step: point.step.unwrap_or_default(),
                    value: point.y,
                    low: point.low,
                    high: point.high,
                };
                writers[position]
                    .1
                    .serialize(row)
                    .expect("plain data serialises");
            }
        }
    }
    let file = |(stage, writer): (String, csv::Writer<Vec<u8>>)| CsvFile {
        name: format!("{stage}.csv"),
        bytes: writer.into_inner().expect("nothing to fail in memory"),
    };
    writers.into_iter().map(file).collect()
}

//! What figures show of a report.

use super::{Line, Plot, Point, Topic};
use crate::report::sample::report;
use crate::report::{curve_files, markdown};

fn find<'a>(plots: &'a [Plot], title: &str) -> &'a Plot {
    let found = plots.iter().find(|plot| plot.title == title);
    found.unwrap_or_else(|| panic!("no {title} among {:?}", titles(plots)))
}

fn titles(plots: &[Plot]) -> Vec<&str> {
    plots.iter().map(|plot| plot.title.as_str()).collect()
}

fn values(line: &Line) -> Vec<(f64, f64)> {
    line.points.iter().map(|point| (point.x, point.y)).collect()
}

#[test]
fn every_topic_has_its_figures() {
    let report = report();
    let topics: Vec<Topic> = report.plots.iter().map(|plot| plot.topic).collect();
    let count = |topic| topics.iter().filter(|&&other| other == topic).count();
    assert_eq!(count(Topic::Checkpoints), 4, "{:?}", titles(&report.plots));
    assert_eq!(count(Topic::Tradeoff), 4);
    assert_eq!(count(Topic::Gradients), 1);
    assert_eq!(count(Topic::Drift), 2);
    assert_eq!(count(Topic::Training), 2);
}

#[test]
fn checkpoints_are_measured_with_intervals() {
    let plots = report().plots;
    let target = &find(&plots, "RTE (tuned, 0-shot)").lines[0];
    assert_eq!(values(target), [(0.0, 50.0), (50.0, 60.0), (100.0, 70.0)]);
    assert_eq!(target.points[0].low, Some(44.75));
    // The mean of two independent tasks: margins of 5.25 each become 5.25 / sqrt(2).
    let mean = &find(&plots, "Norm. Avg., 1-shot").lines[0];
    assert_eq!(values(mean), [(0.0, 75.0), (50.0, 60.0), (100.0, 45.0)]);
    let half = mean.points[0].high.unwrap() - 75.0;
    assert!((half - 5.25 / 2.0_f64.sqrt()).abs() < 1e-12, "{half}");
    // 10% of 200 rows: Wilson's interval.
    let share = &find(&plots, "Answers in the target's format, 1-shot").lines[0];
    let (first, half) = (&share.points[0], promot_data::metric::share_margin(20, 200));
    assert_eq!((first.y, first.high), (10.0, Some(10.0 + half)));
}

#[test]
fn tradeoffs_have_a_point_for_each_checkpoint_or_model() {
    let plots = report().plots;
    let both: Vec<&Plot> = plots
        .iter()
        .filter(|plot| plot.title == "foreign formats, 1-shot, against RTE")
        .collect();
    let [checkpoints, models] = both[..] else {
        panic!("{both:?}");
    };
    assert_eq!(checkpoints.stage.as_deref(), Some("curve"));
    assert_eq!(
        values(&checkpoints.lines[0]),
        [(50.0, 80.0), (60.0, 60.0), (70.0, 40.0)]
    );
    assert_eq!(checkpoints.lines[0].points[1].step, Some(50));
    assert_eq!(models.lines.len(), 2);
    assert_eq!(values(&models.lines[1]), [(60.0, 60.0)]);
}

#[test]
fn lines_are_in_the_order_of_steps_and_without_what_is_no_number() {
    let plots = report().plots;
    let gradients = find(&plots, "Gradient of the format in that of Fine-tuned");
    let names: Vec<&str> = gradients.lines.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["query", "value"]);
    assert_eq!(values(&gradients.lines[0]), [(0.0, 0.5), (100.0, 0.25)]);
    let loss = plots.iter().find(|plot| plot.y == "loss, nats").unwrap();
    assert_eq!(values(&loss.lines[0]), [(50.0, 1.5), (150.0, 0.5)]);
    let mut broken = report();
    broken.alignments[0].1.points[0].cosine = f64::NAN;
    let plots = super::plots(&broken);
    let gradients = find(&plots, "Gradient of the format in that of Fine-tuned");
    assert_eq!(values(&gradients.lines[0]), [(0.0, 0.5)]);
}

#[test]
fn csv_has_a_file_for_each_stage_and_a_line_for_each_point() {
    let report = report();
    let files = curve_files(&report.plots);
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["curve.csv", "gradients.csv", "finetuned.csv"]);
    for file in &files {
        let stage = file.name.strip_suffix(".csv").unwrap();
        let of_stage = |plot: &&Plot| plot.topic != Topic::Tradeoff;
        let lines = report.plots.iter().filter(of_stage).flat_map(|p| &p.lines);
        let points: Vec<&Point> = lines
            .filter(|line| line.stage == stage)
            .flat_map(|line| &line.points)
            .collect();
        let mut reader = csv::Reader::from_reader(&file.bytes[..]);
        let header: Vec<String> = reader.headers().unwrap().iter().map(Into::into).collect();
        assert_eq!(header, ["figure", "line", "step", "value", "low", "high"]);
        let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), points.len());
        for (record, point) in records.iter().zip(points) {
            assert_eq!(record[2].parse(), Ok(point.step.unwrap()));
            assert_eq!(record[3].parse(), Ok(point.y));
            let low = (!record[4].is_empty()).then(|| record[4].parse().unwrap());
            assert_eq!(low, point.low);
        }
    }
}

#[test]
fn markdown_has_the_curves_as_tables() {
    let text = markdown(&report());
    assert!(
        !text.contains("<b>") && !text.contains("& others"),
        "{text}"
    );
    for line in [
        "**RTE (tuned, 0-shot)** (curve; score)",
        "| 50 | 60.0 [54.8, 65.2] |",
        "| 100 | 0.250 [0.150, 0.375] | 0.250 [0.150, 0.375] |",
        "| Tuned &lt;b> | Pretrained | RTE (tuned), 0-shot | 200 | 10 | 30 | 0.0022 |",
        "- `promot-pipeline run sample.yaml`",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

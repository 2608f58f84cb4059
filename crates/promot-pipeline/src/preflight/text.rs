//! A preflight for people to read.

use std::fmt::Write as _;

use super::{Lengths, Preflight, StageCost, TokenFacts};

/// What a preflight found, in lines of text.
pub fn terminal(found: &Preflight) -> String {
    let mut text = String::new();
    for facts in &found.tokens {
        let _ = writeln!(text, "{}", tokens(facts));
    }
    if !found.tokens.is_empty() {
        text.push('\n');
    }
    let width = found.stages.iter().map(|cost| cost.stage.len()).max();
    for cost in &found.stages {
        let (stage, kind) = (&cost.stage, cost.kind);
        let width = width.unwrap_or(0);
        let _ = writeln!(text, "{stage:width$}  {kind:13}  {}", stage_line(cost));
    }
    let memory = found.peak_memory.map_or("unknown".to_owned(), bytes);
    let _ = writeln!(
        text,
        "\n{} to run, {memory} of memory, {} of disk",
        duration(found.seconds()),
        bytes(found.disk)
    );
    text
}

fn tokens(facts: &TokenFacts) -> String {
    let lengths = |of: &Lengths| {
        format!(
            "median {}, 95% {}, longest {}",
            of.median, of.most, of.longest
        )
    };
    let limit = match facts.limit {
        Some(limit) => format!("{} longer than {limit} are cut", facts.cut),
        None => "no limit".to_owned(),
    };
    format!(
        "{}: {} rows of {}\n  input tokens: {}; {limit}\n  target tokens: {}",
        facts.stage,
        facts.rows,
        facts.task,
        lengths(&facts.inputs),
        lengths(&facts.targets),
    )
}

fn stage_line(cost: &StageCost) -> String {
    if cost.is_cached {
        return "cached".to_owned();
    }
    let time = &cost.time;
    let mut line = duration(time.total());
    if time.steps > 0 {
        let _ = write!(
            line,
            ": {} steps of {:.2} s, {} checkpoint{} of {:.1} s",
            time.steps,
            time.step,
            time.checkpoints,
            if time.checkpoints == 1 { "" } else { "s" },
            time.checkpoint
        );
    }
    line
}

fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A size in the largest unit that leaves a digit before the point.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} bytes"),
        _ => format!("{size:.1} {}", units[unit]),
    }
}

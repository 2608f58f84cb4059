//! Curves as TensorBoard event files: a run for each line, its points as scalars.
//!
//! The messages are those of TensorFlow's `event.proto` and `summary.proto`, as far as scalars need
//! them; the framing is that of its `record_writer.h`.

use std::path::PathBuf;

use prost::Message;

use super::{Line, Plot, Topic};

/// One line's event file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFile {
    /// Where it belongs below the log directory: TensorBoard calls a file's directory its run.
    pub path: PathBuf,
    /// Its records.
    pub bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct EventMessage {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    /// Of a choice between kinds of values, so that 0 is written, too.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// A file for each line over steps, in the order of the figures. A line's figure is the tag of its
/// scalars, so that TensorBoard draws lines of a figure together. Trade-offs are not in them: they
/// are not over steps.
pub fn event_files(plots: &[Plot]) -> Vec<EventFile> {
    let mut files: Vec<EventFile> = Vec::new();
    for plot in plots.iter().filter(|plot| plot.topic != Topic::Tradeoff) {
        for line in &plot.lines {
            let path = run(line).join("events.out.tfevents.0.promot");
            let position = files.iter().position(|file| file.path == path);
            let position = position.unwrap_or_else(|| {
                let version = What::FileVersion("brain.Event:2".to_owned());
                let bytes = record(0, version);
                files.push(EventFile { path, bytes });
                files.len() - 1
            });
            for point in &line.points {
                let scalar = Scalar {
                    tag: plot.title.clone(),
                    simple_value: Some(point.y as f32),
                };
                let summary = What::Summary(Summary {
                    value: vec![scalar],
                });
                let step = point.step.unwrap_or_default();
                files[position].bytes.extend(record(step, summary));
            }
        }
    }
    files
}

/// The directory of a line: its stage's, and below it one of its own if the stage has several.
fn run(line: &Line) -> PathBuf {
    let stage = PathBuf::from(directory_name(&line.stage));
    if line.name == line.stage {
        stage
    } else {
        stage.join(directory_name(&line.name))
    }
}

/// A name that every file system takes.
fn directory_name(name: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_+,= ".contains(c) {
            c
        } else {
            '-'
        }
    };
    name.chars().map(plain).collect()
}

/// An event as a record: its length and itself, each with a checksum.
fn record(step: u64, what: What) -> Vec<u8> {
    let event = EventMessage {
        // When a step was done is not kept. Counting them as seconds gives the same bytes for the
        // same curves, and TensorBoard's relative axis then shows steps.
        wall_time: step as f64,
        step: step as i64,
        what: Some(what),
    };
    let event = event.encode_to_vec();
    let length = (event.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(event.len() + 16);
    record.extend(length);
    record.extend(checksum(&length).to_le_bytes());
    record.extend(&event);
    record.extend(checksum(&event).to_le_bytes());
    record
}

/// A CRC-32C as records have it: turned and shifted, since the checksum of data that holds its own
/// checksum says little.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Point;

    fn line(stage: &str, name: &str, values: &[(u64, f64)]) -> Line {
        let point = |&(step, y): &(u64, f64)| Point {
            step: Some(step),
            x: step as f64,
            y,
            low: None,
            high: None,
        };
        Line {
            stage: stage.to_owned(),
            name: name.to_owned(),
            points: values.iter().map(point).collect(),
        }
    }

    fn plot(topic: Topic, title: &str, lines: Vec<Line>) -> Plot {
        Plot {
            topic,
            stage: None,
            title: title.to_owned(),
            x: "steps".to_owned(),
            y: "score".to_owned(),
            is_percent: false,
            lines,
        }
    }

    /// The events of a file, whose checksums are checked.
    fn events(mut bytes: &[u8]) -> Vec<EventMessage> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let sum = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            assert_eq!(sum(8), checksum(&bytes[..8]));
            let event = &bytes[12..12 + length];
            assert_eq!(sum(12 + length), checksum(event));
            events.push(EventMessage::decode(event).unwrap());
            bytes = &bytes[16 + length..];
        }
        events
    }

    /// The checksum of 32 zeros is that of RFC 3720 (B.4), 8a9136aa; turned and shifted by hand.
    #[test]
    fn checksums_are_those_of_the_format() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(checksum(&[0; 32]), 0x0fd7_fffa);
    }

    #[test]
    fn a_line_is_a_run_and_a_figure_a_tag() {
        let plots = [
            plot(
                Topic::Checkpoints,
                "Norm. Avg., 1-shot",
                vec![line("curve", "ProMoT: a/b", &[(0, 0.0), (100, 25.5)])],
            ),
            plot(
                Topic::Tradeoff,
                "score against mean",
                vec![line("curve", "ProMoT", &[(0, 1.0)])],
            ),
            plot(
                Topic::Training,
                "loss",
                vec![line("promot", "promot", &[(100, 0.25)])],
            ),
        ];
        let files = event_files(&plots);
        let paths: Vec<_> = files
            .iter()
            .map(|file| file.path.to_str().unwrap())
            .collect();
        assert_eq!(
            paths,
            [
                "curve/ProMoT- a-b/events.out.tfevents.0.promot",
                "promot/events.out.tfevents.0.promot",
            ]
        );
        let events = events(&files[0].bytes);
        let [version, first, second] = events.as_slice() else {
            panic!("three events: {events:?}")
        };
        assert_eq!(
            version.what,
            Some(What::FileVersion("brain.Event:2".to_owned()))
        );
        assert_eq!((first.step, second.step), (0, 100));
        let Some(What::Summary(zero)) = &first.what else {
            panic!("a summary: {first:?}")
        };
        assert_eq!(zero.value[0].simple_value, Some(0.0));
        let scalar = Scalar {
            tag: "Norm. Avg., 1-shot".to_owned(),
            simple_value: Some(25.5),
        };
        assert_eq!(
            second.what,
            Some(What::Summary(Summary {
                value: vec![scalar]
            }))
        );
    }
}

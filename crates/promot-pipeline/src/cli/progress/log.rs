//! `events.jsonl`: every event with its time, one a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use promot_core::Event;
use serde::Serialize;

use super::super::output::tell;

/// The file of events.
pub(super) struct Log {
    /// None after an error: what is lost is a log, not a run.
    file: Option<File>,
}

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970, UTC.
    time: f64,
    #[serde(flatten)]
    event: &'a Event,
}

impl Log {
    /// Adds to what earlier runs have written.
    pub(super) fn append_to(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: Some(file) })
    }

    pub(super) fn write(&mut self, event: &Event) {
        let Some(file) = &mut self.file else { return };
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = time.map_or(0.0, |time| time.as_secs_f64());
        let mut line = serde_json::to_vec(&Line { time, event }).expect("plain data serialises");
        line.push(b'\n');
        if let Err(error) = file.write_all(&line) {
            tell(format_args!(
                "warning: events.jsonl: {error}; no more events are kept"
            ));
            self.file = None;
        }
    }
}

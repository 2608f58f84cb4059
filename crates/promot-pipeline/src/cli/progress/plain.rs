//! Lines for logs: a line for each checkpoint, and at least one every ten seconds.

use std::time::{Duration, Instant};

use promot_core::Event;

use super::super::output::tell;
use super::meter::{Meter, announcement, duration};

/// The longest silence while something happens.
const INTERVAL: Duration = Duration::from_secs(10);

/// Plain lines on standard error.
pub(super) struct Plain {
    meter: Option<Meter>,
    last: Instant,
}

impl Plain {
    pub(super) fn new() -> Self {
        Self {
            meter: None,
            last: Instant::now(),
        }
    }

    pub(super) fn show(&mut self, event: &Event) {
        if let Some(meter) = Meter::starting(event, self.meter.as_ref()) {
            if matches!(event, Event::StageStarted { .. }) {
                tell(format_args!("{}: started", meter.stage));
            }
            self.meter = Some(meter);
        }
        if let Some(meter) = &mut self.meter {
            meter.update(event);
        }
        if let Some(line) = announcement(event) {
            tell(line);
        }
        let due = match event {
            Event::Dev { .. } | Event::Drift { .. } => true,
            Event::Step { .. } | Event::Evaluated { .. } | Event::Download { .. } => {
                self.last.elapsed() >= INTERVAL
            }
            _ => false,
        };
        if let Some(meter) = self.meter.as_ref().filter(|_| due) {
            self.last = Instant::now();
            let left = meter
                .time_left()
                .map_or(String::new(), |time| format!("  {} left", duration(time)));
            tell(format_args!(
                "{}: {}  {}{left}",
                meter.stage,
                meter.position(),
                meter.status()
            ));
        }
    }
}

//! A bar for the running stage or download; finished stages stay as lines above it.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use promot_core::Event;

use super::super::output::tell;
use super::meter::{Meter, announcement, duration};

/// Bars on standard error.
pub(super) struct Bars {
    bar: ProgressBar,
    meter: Option<Meter>,
}

impl Bars {
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("{prefix} {bar:24} {msg}");
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(style.expect("a valid template"));
        Self { bar, meter: None }
    }

    pub(super) fn show(&mut self, event: &Event) {
        if let Some(line) = announcement(event) {
            // Above the bar, if there is one.
            self.bar.suspend(|| tell(line));
        }
        if let Some(meter) = Meter::starting(event, self.meter.as_ref()) {
            self.bar.reset();
            self.bar.set_length(meter.total);
            self.bar.set_prefix(meter.stage.clone());
            self.meter = Some(meter);
        }
        if matches!(event, Event::StageFinished { .. }) {
            self.meter = None;
            self.clear();
        }
        if let Some(meter) = &mut self.meter {
            meter.update(event);
            let left = meter
                .time_left()
                .map_or(String::new(), |time| format!("  {} left", duration(time)));
            let message = format!("{}  {}{left}", meter.position(), meter.status());
            self.bar.set_message(message);
            self.bar.set_position(meter.done);
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn clear(&mut self) {
        self.bar.finish_and_clear();
    }
}

//! Progress on standard error: bars on a terminal, plain lines elsewhere; every event in a file.

mod bars;
mod log;
mod meter;
mod plain;

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Mutex;

use promot_core::{Event, EventSink};

use bars::Bars;
use log::Log;
use plain::Plain;

/// Shows events to people and keeps them for programs.
pub(crate) struct Progress {
    display: Mutex<Display>,
    log: Option<Mutex<Log>>,
}

enum Display {
    Bars(Bars),
    Plain(Plain),
}

impl Progress {
    /// Progress that is also appended to the file `log`.
    pub(crate) fn new(log: &Path) -> io::Result<Self> {
        Ok(Self {
            log: Some(Mutex::new(Log::append_to(log)?)),
            ..Self::on_screen()
        })
    }

    /// Progress that is kept nowhere.
    pub(crate) fn on_screen() -> Self {
        let display = if io::stderr().is_terminal() {
            Display::Bars(Bars::new())
        } else {
            Display::Plain(Plain::new())
        };
        Self {
            display: Mutex::new(display),
            log: None,
        }
    }

    /// Removes what is not meant to stay on the screen.
    pub(crate) fn finish(&self) {
        if let Display::Bars(bars) = &mut *self.display.lock().expect("nothing panics with it") {
            bars.clear();
        }
    }
}

impl EventSink for Progress {
    fn emit(&self, event: Event) {
        if let Some(log) = &self.log {
            log.lock().expect("nothing panics with it").write(&event);
        }
        match &mut *self.display.lock().expect("nothing panics with it") {
            Display::Bars(bars) => bars.show(&event),
            Display::Plain(plain) => plain.show(&event),
        }
    }
}

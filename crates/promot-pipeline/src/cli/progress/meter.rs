//! What is known about a running stage or download, in words.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use promot_core::Event;

/// Follows one stage, or the download of one file.
pub(super) struct Meter {
    pub(super) stage: String,
    pub(super) done: u64,
    pub(super) total: u64,
    loss: Option<f64>,
    dev: Option<f64>,
    /// Score of foreign prompts, and the share of answers in the target's format.
    drift: Option<(f64, Option<f64>)>,
    /// What is being evaluated.
    what: String,
    /// What speed is measured from.
    started: Instant,
    /// Steps of an earlier, interrupted run.
    resumed_at: u64,
    tokens: u64,
    /// Whether bytes are counted, of the file that `stage` names.
    is_download: bool,
}

impl Meter {
    /// What starts with `event`, if something does that `current` does not follow already.
    pub(super) fn starting(event: &Event, current: Option<&Self>) -> Option<Self> {
        match event {
            Event::StageStarted { stage, total } => Some(Self::new(stage, *total)),
            Event::Download { file, done, total }
                if current.is_none_or(|current| current.stage != *file) =>
            {
                Some(Self {
                    resumed_at: *done,
                    is_download: true,
                    ..Self::new(file, *total)
                })
            }
            _ => None,
        }
    }

    /// A stage that starts now.
    pub(super) fn new(stage: &str, total: u64) -> Self {
        Self {
            stage: stage.to_owned(),
            done: 0,
            total,
            loss: None,
            dev: None,
            drift: None,
            what: String::new(),
            started: Instant::now(),
            resumed_at: 0,
            tokens: 0,
            is_download: false,
        }
    }

    /// How far it is.
    pub(super) fn position(&self) -> String {
        if self.is_download {
            format!("{} of {}", bytes(self.done), bytes(self.total))
        } else {
            format!("{}/{}", self.done, self.total)
        }
    }

    /// Takes up what an event tells.
    pub(super) fn update(&mut self, event: &Event) {
        match event {
            Event::StageResumed { step, .. } => {
                self.resumed_at = *step;
                self.done = *step;
            }
            Event::Step {
                step, loss, tokens, ..
            } => {
                self.done = *step;
                self.tokens += tokens;
                // A mean over about the last twenty steps: single batches jump.
                self.loss = Some(self.loss.map_or(*loss, |mean| 0.95 * mean + 0.05 * loss));
            }
            Event::Download { done, .. } => self.done = *done,
            Event::Dev { value, .. } => self.dev = Some(*value),
            Event::Drift {
                score,
                format_share,
                ..
            } => {
                self.drift = Some((*score, *format_share));
                // The look before the first step is not one of those that come again.
                if self.done == self.resumed_at {
                    self.started = Instant::now();
                }
            }
            Event::Evaluated { done, what, .. } => {
                self.done = *done;
                self.what.clone_from(what);
            }
            _ => {}
        }
    }

    /// Loss, score, speed: what stands beside a bar.
    pub(super) fn status(&self) -> String {
        let mut text = String::new();
        if let Some(loss) = self.loss {
            let _ = write!(text, "loss {loss:.4}  ");
        }
        if let Some(dev) = self.dev {
            let _ = write!(text, "dev {dev:.1}  ");
        }
        if let Some((score, share)) = self.drift {
            let share = share.map_or(String::new(), |share| format!(" ({share:.0}% in format)"));
            let _ = write!(text, "foreign {score:.1}{share}  ");
        }
        let seconds = self.started.elapsed().as_secs_f64();
        if self.tokens > 0 && seconds > 0.0 {
            let _ = write!(text, "{:.0} tokens/s  ", self.tokens as f64 / seconds);
        }
        text.push_str(&self.what);
        text.trim_end().to_owned()
    }

    /// Time left at the speed so far; none before the first step.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let done = self.done.checked_sub(self.resumed_at).filter(|&n| n > 0)?;
        let left = self.total.saturating_sub(self.done);
        let seconds = self.started.elapsed().as_secs_f64() * left as f64 / done as f64;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// `1 h 02 min`, `3 min 05 s` or `12 s`.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `812 B`, `1.5 MB` or `3.2 GB`; powers of ten.
fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        0.0..1e3 => format!("{count} B"),
        1e3..1e6 => format!("{:.1} kB", count / 1e3),
        1e6..1e9 => format!("{:.1} MB", count / 1e6),
        _ => format!("{:.2} GB", count / 1e9),
    }
}

/// What an event says by itself, in a line that stays.
pub(super) fn announcement(event: &Event) -> Option<String> {
    match event {
        Event::Download { file, done, total } if done == total => {
            Some(format!("{file}: downloaded {}", bytes(*total)))
        }
        Event::StageCached { stage } => Some(format!("{stage}: cached")),
        Event::StageResumed { stage, step } => Some(format!("{stage}: goes on from step {step}")),
        Event::Warning { stage, message } => Some(format!("warning: {stage}: {message}")),
        Event::StageFinished { stage, seconds } => {
            let time = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
            Some(format!("{stage}: done in {}", duration(time)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_for_people() {
        let text = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(text(12), "12 s");
        assert_eq!(text(185), "3 min 05 s");
        assert_eq!(text(3720), "1 h 02 min");
    }

    #[test]
    fn sizes_are_for_people() {
        let texts = [812, 1500, 2_858_328, 3_132_668_804].map(bytes);
        assert_eq!(texts, ["812 B", "1.5 kB", "2.9 MB", "3.13 GB"]);
    }

    #[test]
    fn a_download_is_followed_from_where_it_goes_on() {
        let event = |done| Event::Download {
            file: "a/b/w".into(),
            done,
            total: 4000,
        };
        let mut meter = Meter::starting(&event(1000), None).unwrap();
        meter.update(&event(1000));
        assert_eq!(meter.time_left(), None);
        assert!(Meter::starting(&event(2500), Some(&meter)).is_none());
        meter.update(&event(2500));
        assert_eq!(meter.position(), "2.5 kB of 4.0 kB");
        assert_eq!(announcement(&event(2500)), None);
        let line = announcement(&event(4000));
        assert_eq!(line.as_deref(), Some("a/b/w: downloaded 4.0 kB"));
    }

    #[test]
    fn a_long_look_before_the_first_step_is_no_part_of_the_time_left() {
        let mut meter = Meter::new("s", 100);
        let minute = Duration::from_secs(60);
        meter.started = meter.started.checked_sub(minute).unwrap();
        meter.update(&Event::Drift {
            stage: "s".into(),
            step: 0,
            score: 5.0,
            format_share: None,
        });
        meter.update(&Event::Step {
            stage: "s".into(),
            step: 1,
            total: 100,
            loss: 1.0,
            learning_rate: 0.1,
            tokens: 10,
        });
        assert!(meter.time_left().unwrap() < minute);
    }

    #[test]
    fn time_left_counts_from_where_a_run_was_resumed() {
        let mut meter = Meter::new("s", 100);
        assert_eq!(meter.time_left(), None);
        meter.update(&Event::StageResumed {
            stage: "s".into(),
            step: 50,
        });
        assert_eq!(meter.time_left(), None);
        meter.update(&Event::Step {
            stage: "s".into(),
            step: 100,
            total: 100,
            loss: 1.0,
            learning_rate: 0.1,
            tokens: 10,
        });
        assert_eq!(meter.time_left(), Some(Duration::ZERO));
        assert!(meter.status().starts_with("loss 1.0000"));
    }
}

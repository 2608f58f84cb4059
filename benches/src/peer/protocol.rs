//! Requests and answers, a JSON object in a line each.

use std::io::{BufRead as _, Write as _};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

/// What the driver asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Train on, or decode, the batch of this index.
    Step(usize),
    /// Report the peak of memory and end.
    Quit,
}

/// What a worker answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Everything is loaded.
    Ready {
        /// Versions and settings that belong into a report.
        about: String,
    },
    /// A training step is done.
    Trained {
        /// How long it took.
        seconds: f64,
        /// The loss before its update, in nats.
        loss: f64,
    },
    /// A batch is decoded.
    Decoded {
        /// How long it took.
        seconds: f64,
        /// The new tokens of every row.
        answers: Vec<Vec<u32>>,
    },
    /// The worker ends.
    Bye {
        /// The most memory the process ever held, where the system tells.
        peak_bytes: Option<u64>,
    },
}

/// The driver at the other end of standard input and output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Driver;

impl Driver {
    /// Waits for the next request. A driver that hung up wants its workers to end.
    ///
    /// # Errors
    /// If a line is not a request.
    pub fn receive(self) -> anyhow::Result<Request> {
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(Request::Quit);
        }
        serde_json::from_str(&line).with_context(|| format!("request {line:?}"))
    }

    /// Answers.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn send(self, answer: &Answer) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(answer)?;
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            bail!("the driver hung up");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_other_side() {
        let request = |line: &str| serde_json::from_str::<Request>(line).unwrap();
        assert_eq!(request(r#"{"step": 3}"#), Request::Step(3));
        assert_eq!(request(r#""quit""#), Request::Quit);
        let answer = Answer::Trained {
            seconds: 0.5,
            loss: 10.25,
        };
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"trained":{"seconds":0.5,"loss":10.25}}"#
        );
    }
}

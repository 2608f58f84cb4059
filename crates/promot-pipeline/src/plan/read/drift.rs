//! `drift` of tuning stages.

use super::Reader;
use crate::plan::params::{DriftParams, ForeignParams, StopWhen};
use crate::spec::{Fields, Node};

impl Reader<'_> {
    pub(super) fn drift(&mut self, node: &Node) -> Option<DriftParams> {
        let mut fields = Fields::of(node, "drift", self.diagnostics);
        let on = self.foreign(&mut fields, "drift", 16);
        let every = fields.count("every", 1..=u64::MAX, 100, self.diagnostics);
        let stop_when = fields.take("stop_when").map(|node| self.stop_when(node));
        fields.finish(self.diagnostics);
        Some(DriftParams {
            every,
            on: on?,
            stop_when: stop_when.filter(|stop| *stop != StopWhen::default()),
        })
    }

    /// Which foreign prompts are answered, at most `rows` of each task unless the file says so.
    pub(super) fn foreign(
        &mut self,
        fields: &mut Fields<'_>,
        key: &str,
        rows: u64,
    ) -> Option<ForeignParams> {
        let tasks = self.tasks_with_sources(fields);
        if tasks.is_empty() {
            let message = format!("{key}: expected `tasks` that are not tuned for");
            let hint = Some("for example `tasks: [triviaqa, wmt16_en_de]`".to_owned());
            self.diagnostics.push(fields.place(), message, hint);
        }
        let d = &mut *self.diagnostics;
        let rows = fields.count("rows", 1..=100_000, rows, d) as usize;
        let shots = fields.count("shots", 0..=64, 1, d) as usize;
        let max_new_tokens = fields.count("max_new_tokens", 1..=4096, 32, d) as usize;
        (!tasks.is_empty()).then_some(ForeignParams {
            tasks,
            rows,
            shots,
            max_new_tokens,
        })
    }

    fn stop_when(&mut self, node: &Node) -> StopWhen {
        let mut fields = Fields::of(node, "stop_when", self.diagnostics);
        let mut percent = |key| fields.optional_number(key, 0.0..=100.0, self.diagnostics);
        let stop = StopWhen {
            format_share: percent("format_share"),
            score_below: percent("score_below"),
        };
        fields.finish(self.diagnostics);
        stop
    }
}

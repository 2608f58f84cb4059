//! A plan with so few steps and rows that all of it can be tried.

use super::{Plan, Stage, StageKind};

/// Models of a rehearsed evaluation: the first, and one that is tuned.
const REHEARSED_MODELS: usize = 2;

impl Plan {
    /// The same stages with at most `steps` optimizer steps, one checkpoint, and at most `rows` rows of
    /// each measured task. Its artifacts are no results: they belong into a store of their own.
    pub fn rehearsal(&self, steps: u64, rows: usize) -> Self {
        let rehearsed = |stage: &Stage| {
            let mut kind = stage.kind.clone();
            if let Some(train) = kind.train_mut() {
                train.steps = train.steps.min(steps);
                train.checkpoint_every = train.steps;
            }
            if let Some(eval) = kind.evaluation_mut() {
                eval.rows = eval.rows.min(rows);
                eval.target_rows = eval.target_rows.min(rows);
                eval.models.truncate(REHEARSED_MODELS);
                eval.compare_with = 0;
                for at in eval.models.iter_mut().filter_map(|model| model.at.as_mut()) {
                    at.step = self.rehearsed_step(&at.stage, at.step, steps);
                }
            }
            if let StageKind::Gradients(gradients) = &mut kind {
                // All that a rehearsal keeps: the start, and the end.
                gradients.steps = None;
            }
            if let StageKind::Curve(curve) = &mut kind {
                // Labels say the steps of the file; nobody reads them.
                curve.series.truncate(1);
                for series in &mut curve.series {
                    series.steps.truncate(REHEARSED_MODELS);
                }
            }
            Stage {
                name: stage.name.clone(),
                kind,
                key: stage.key,
                facts: stage.facts.clone(),
            }
        };
        Self {
            name: self.name.clone(),
            seed: self.seed,
            precision: self.precision,
            device: self.device.clone(),
            base: self.base.clone(),
            tasks: self.tasks.clone(),
            graph: self.graph.map(|_, stage| rehearsed(stage), |_, ()| ()),
            order: self.order.clone(),
        }
    }

    /// Where a checkpoint is in the rehearsal: there is the start, and the end.
    fn rehearsed_step(&self, stage: &str, step: u64, steps: u64) -> u64 {
        let train = self.stage(stage).and_then(|stage| stage.kind.train());
        match train {
            Some(train) if step > 0 => train.steps.min(steps),
            _ => 0,
        }
    }
}

//! Whether a tuning stage keeps the checkpoints that others name.

use super::params::StageKind;
use super::read::Reference;
use crate::diagnostic::Diagnostics;

/// Checkpoints that a hint names one by one.
const NAMED: usize = 20;

/// Finds checkpoints that a stage of this kind does not keep.
pub(super) fn check_kept(reference: &Reference, kind: &StageKind, diagnostics: &mut Diagnostics) {
    let Some(train) = kind.train() else {
        return;
    };
    let name = &reference.name;
    if !train.keep_checkpoints {
        diagnostics.push(
            reference.place,
            format!("stage `{name}` does not keep its checkpoints"),
            Some(format!("add `keep_checkpoints: true` to `{name}`")),
        );
        return;
    }
    for &(step, place) in &reference.steps {
        if step != 0 && !train.has_checkpoint(step) {
            let first = train.checkpoints().take(NAMED);
            let mut list: Vec<String> = first.map(|step| step.to_string()).collect();
            if train.checkpoint_count() > NAMED as u64 {
                list.push(format!(
                    "every {} steps, {}",
                    train.checkpoint_every, train.steps
                ));
            }
            diagnostics.push(
                place,
                format!("stage `{name}` has no checkpoint at step {step}"),
                Some(format!("there are 0, {}", list.join(", "))),
            );
        }
    }
}

//! Whether stages that name each other fit together.

use super::checkpoints::check_kept;
use super::params::{EvalParams, MixParams, StageKind};
use super::parsed::Parsed;
use super::read::Wanted;
use crate::diagnostic::Diagnostics;

/// Finds names of no stage, and of stages of another kind than is wanted.
pub(super) fn check_references(parsed: &[Parsed], diagnostics: &mut Diagnostics) {
    let names: Vec<&str> = parsed.iter().map(|stage| stage.name.as_str()).collect();
    for stage in parsed {
        for reference in &stage.references {
            let Some(found) = parsed.iter().find(|other| other.name == reference.name) else {
                diagnostics.unknown(reference.place, "stage", &reference.name, &names);
                continue;
            };
            if let Some(kind) = found
                .kind
                .as_ref()
                .filter(|kind| !reference.wanted.accepts(kind))
            {
                let message = format!(
                    "`{}` is a {} stage, expected {}",
                    reference.name,
                    kind.name(),
                    reference.wanted.describe()
                );
                diagnostics.push(reference.place, message, None);
                continue;
            }
            if let (Wanted::Checkpoints, Some(kind)) = (reference.wanted, &found.kind) {
                check_kept(reference, kind, diagnostics);
            }
        }
    }
}

/// What single references cannot tell: prompts in a mix, targets of an evaluation.
pub(super) fn check_uses(parsed: &mut [Parsed], diagnostics: &mut Diagnostics) {
    let mixes: Vec<String> = parsed
        .iter()
        .filter(|stage| matches!(stage.kind, Some(StageKind::Mix(MixParams { .. }))))
        .map(|stage| stage.name.clone())
        .collect();
    for stage in parsed {
        match &mut stage.kind {
            Some(StageKind::ModelTune(params))
                if params.prompt.is_some() && mixes.contains(&params.on) =>
            {
                let hint = Some("give each task of the mix its own `prompt`".to_owned());
                let message = format!(
                    "stage `{}`: a mix has the prompts, not the tuning stage",
                    stage.name
                );
                diagnostics.push(stage.place, message, hint);
            }
            Some(kind) => {
                let Some(EvalParams {
                    models, targets, ..
                }) = kind.evaluation_mut()
                else {
                    continue;
                };
                for model in models {
                    // One prompt without a target's name is meant for the only target.
                    for (target, _) in model
                        .prompts
                        .iter_mut()
                        .filter(|(target, _)| target.is_empty())
                    {
                        match targets.as_slice() {
                            [only] => target.clone_from(only),
                            _ => {
                                let hint = Some(
                                    "for example `prompt: {rte: prompt_rte, enfr: prompt_enfr}`"
                                        .to_owned(),
                                );
                                let message = format!(
                                    "model `{}`: with {} targets, say which prompt is for which",
                                    model.label,
                                    targets.len()
                                );
                                diagnostics.push(stage.place, message, hint);
                            }
                        }
                    }
                }
            }
            None => {}
        }
    }
}

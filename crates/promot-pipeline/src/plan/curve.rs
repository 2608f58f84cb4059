//! The columns of curves: which checkpoints of the models that they name are measured.

use super::params::{Checkpoint, CurveModel, EvalModel, StageKind};
use super::parsed::Parsed;
use crate::diagnostic::{Diagnostics, Place};

/// Columns of one model that are measured without being picked.
const MOST_COLUMNS: u64 = 1000;

/// Replaces the models that each curve names by a column for each of their checkpoints. What refers to
/// stages that have problems is left as it is.
pub(super) fn expand_curves(parsed: &mut [Parsed], diagnostics: &mut Diagnostics) {
    for index in 0..parsed.len() {
        let stage = &parsed[index];
        let Some(StageKind::Curve(params)) = &stage.kind else {
            continue;
        };
        let mut series = Vec::new();
        let mut columns = Vec::new();
        for (model, &place) in params.eval.models.iter().zip(&stage.curve.models) {
            let Some(followed) = followed(model, place, parsed, diagnostics) else {
                continue;
            };
            let Some(steps) = steps(model, &followed, place, stage, diagnostics) else {
                continue;
            };
            let of_model = CurveModel {
                label: model.label.clone(),
                steps,
            };
            let of_steps = of_model.steps.iter();
            columns.extend(of_steps.map(|&step| column(model, &of_model, &followed, step)));
            series.push(of_model);
        }
        if let Some(StageKind::Curve(params)) = &mut parsed[index].kind {
            params.series = series;
            params.eval.models = columns;
        }
    }
}

/// The stage whose checkpoints are measured.
struct Followed<'a> {
    name: &'a str,
    kind: &'a StageKind,
}

/// The stage of the model; of its prompt, where the model is the base model.
fn followed<'a>(
    model: &'a EvalModel,
    place: Place,
    parsed: &'a [Parsed],
    diagnostics: &mut Diagnostics,
) -> Option<Followed<'a>> {
    const HINT: &str = "name a stage that tunes, with `keep_checkpoints: true`";
    let label = &model.label;
    let prompts = model.prompts.iter().map(|(_, stage)| stage.as_str());
    let mut prompts: Vec<&str> = prompts.collect();
    prompts.sort_unstable();
    prompts.dedup();
    let name = match (model.model.as_deref(), prompts.as_slice()) {
        (Some(model), _) => model,
        (None, [prompt]) => prompt,
        (None, []) => {
            let message = format!("model `{label}`: the base model has no checkpoints");
            diagnostics.push(place, message, Some(HINT.to_owned()));
            return None;
        }
        (None, _) => {
            let message =
                format!("model `{label}`: of several prompts it is not clear which is followed");
            let hint = "follow each of them in a model of its own".to_owned();
            diagnostics.push(place, message, Some(hint));
            return None;
        }
    };
    let stage = parsed.iter().find(|stage| stage.name == name)?;
    let kind = stage.kind.as_ref()?;
    match kind.train() {
        Some(train) if train.keep_checkpoints => Some(Followed { name, kind }),
        Some(_) => {
            let message = format!("model `{label}`: stage `{name}` keeps no checkpoints");
            let hint = format!("add `keep_checkpoints: true` to `{name}`");
            diagnostics.push(place, message, Some(hint));
            None
        }
        None => {
            let message = format!(
                "model `{label}`: `{name}` is a {} stage, which has no checkpoints",
                kind.name()
            );
            diagnostics.push(place, message, Some(HINT.to_owned()));
            None
        }
    }
}

/// The steps at which a model is measured: those that the file picks, or all.
fn steps(
    model: &EvalModel,
    followed: &Followed<'_>,
    place: Place,
    stage: &Parsed,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<u64>> {
    let train = followed.kind.train()?;
    // What a pretrained model starts from is noise.
    let from_0 = !matches!(followed.kind, StageKind::Pretrain(_));
    let start = from_0.then_some(0);
    let Some(picked) = &stage.curve.steps else {
        let count = train.checkpoint_count();
        if count > MOST_COLUMNS {
            let message = format!(
                "model `{}`: {count} checkpoints of `{}` are too many to measure",
                model.label, followed.name
            );
            let hint = "pick some of them, for example `steps: [0, 100, 1000]`".to_owned();
            diagnostics.push(place, message, Some(hint));
            return None;
        }
        return Some(start.into_iter().chain(train.checkpoints()).collect());
    };
    let mut steps = Vec::new();
    for &(step, place) in picked {
        if Some(step) == start || train.has_checkpoint(step) {
            steps.push(step);
            continue;
        }
        const NAMED: usize = 20;
        let there = start.into_iter().chain(train.checkpoints());
        let there: Vec<String> = there.take(NAMED).map(|step| step.to_string()).collect();
        let more = if train.checkpoint_count() > NAMED as u64 {
            format!(", every {} steps, {}", train.checkpoint_every, train.steps)
        } else {
            String::new()
        };
        let message = format!(
            "`steps`: stage `{}` has no checkpoint at step {step}",
            followed.name
        );
        let hint = format!("expected some of {}{more}", there.join(", "));
        diagnostics.push(place, message, Some(hint));
    }
    steps.sort_unstable();
    steps.dedup();
    Some(steps)
}

/// One step of a model. At step 0 it is the model that tuning starts from.
fn column(model: &EvalModel, series: &CurveModel, followed: &Followed<'_>, step: u64) -> EvalModel {
    let mut column = EvalModel {
        label: series.column(step),
        at: Some(Checkpoint {
            stage: followed.name.to_owned(),
            step,
        }),
        ..model.clone()
    };
    if step == 0 {
        match followed.kind {
            StageKind::ModelTune(params) => column.model = params.from.clone(),
            StageKind::JointTune(params) => column.model = params.from.clone(),
            // Low-rank changes are none at first.
            StageKind::LoraTune(_) => column.prompts.clear(),
            _ => {}
        }
    }
    column
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Sources;
    use crate::plan::{StageKind, compile};
    use crate::spec;

    /// The training parameters of a stage that tunes for so many steps.
    fn checkpoints(steps: u64, every: u64) -> crate::plan::TrainParams {
        let yaml = format!(
            "version: 1\nname: x\nstages: {{ m: {{ pretrain: {{ steps: {steps}, checkpoint_every: {every} }} }} }}"
        );
        let mut sources = Sources::new("x.yaml", &yaml, &[]);
        let spec = spec::parse(&mut sources, std::path::Path::new("x.yaml")).unwrap();
        let plan = compile(&spec).unwrap();
        let StageKind::Pretrain(params) = &plan.stage("m").unwrap().kind else {
            panic!("a stage that trains");
        };
        params.train.clone()
    }

    #[test]
    fn there_are_as_many_checkpoints_as_are_listed_and_the_last_step_is_one() {
        for (steps, every) in [(1, 1), (5, 2), (6, 2), (6, 7), (6, 6), (100, 33)] {
            let train = checkpoints(steps, every);
            let listed: Vec<u64> = train.checkpoints().collect();
            let expected: Vec<u64> = (0..=steps + every)
                .filter(|&step| train.has_checkpoint(step))
                .collect();
            assert_eq!(listed, expected, "{steps} {every}");
            assert_eq!(listed.len() as u64, train.checkpoint_count());
            assert_eq!(listed.last(), Some(&steps));
            assert!(listed.windows(2).all(|pair| pair[0] < pair[1]));
        }
        let endless = checkpoints(u64::MAX, 3);
        assert!(endless.has_checkpoint(u64::MAX) && !endless.has_checkpoint(0));
        assert_eq!(endless.checkpoints().nth(2), Some(9));
    }
}

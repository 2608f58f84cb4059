//! A soft prompt only fits models of the width that it was made for.

use super::params::{BaseModel, StageKind};
use super::parsed::Parsed;
use crate::diagnostic::Diagnostics;

/// Finds prompts that are used with a model of another width. What is not known, because of other
/// problems, is not judged.
pub(super) fn check_widths(
    parsed: &[Parsed],
    base: Option<&BaseModel>,
    diagnostics: &mut Diagnostics,
) {
    let widths = Widths { parsed, base };
    for stage in parsed {
        let mut uses: Vec<(&str, Option<&str>)> = Vec::new();
        let measured = stage.kind.as_ref().and_then(StageKind::evaluation);
        match (&stage.kind, measured) {
            (Some(StageKind::ModelTune(params)), _) => {
                let from = params.from.as_deref();
                uses.extend(params.prompt.as_deref().map(|prompt| (prompt, from)));
                if let Some(StageKind::Mix(mix)) = widths.kind(&params.on) {
                    let prompts = mix.parts.iter().filter_map(|part| part.prompt.as_deref());
                    uses.extend(prompts.map(|prompt| (prompt, from)));
                }
            }
            (_, Some(params)) => {
                for model in &params.models {
                    let prompts = model.prompts.iter();
                    uses.extend(prompts.map(|(_, name)| (name.as_str(), model.model.as_deref())));
                }
            }
            (Some(StageKind::Gradients(params)), _) => {
                for model in &params.models {
                    let prompt = model.prompt.as_deref().into_iter();
                    uses.extend(prompt.map(|prompt| (prompt, Some(model.model.as_str()))));
                }
            }
            _ => {}
        }
        for (prompt, model) in uses {
            let from = match widths.kind(prompt) {
                Some(StageKind::PromptTune(params) | StageKind::JointTune(params)) => &params.from,
                Some(StageKind::RandomPrompt(params)) => &params.from,
                _ => continue,
            };
            let of_prompt = widths.of(from.as_deref(), parsed.len());
            let of_model = widths.of(model, parsed.len());
            if let (Some(of_prompt), Some(of_model)) = (of_prompt, of_model)
                && of_prompt != of_model
            {
                let place = stage
                    .references
                    .iter()
                    .find(|reference| reference.name == prompt)
                    .map_or(stage.place, |reference| reference.place);
                diagnostics.push(
                    place,
                    format!(
                        "prompt `{prompt}` is {of_prompt} wide, the model of stage `{}` {of_model}",
                        stage.name
                    ),
                    Some("a soft prompt only fits the model it was tuned on".to_owned()),
                );
            }
        }
    }
}

struct Widths<'a> {
    parsed: &'a [Parsed],
    base: Option<&'a BaseModel>,
}

impl Widths<'_> {
    fn kind(&self, name: &str) -> Option<&StageKind> {
        let stage = self.parsed.iter().find(|stage| stage.name == name)?;
        stage.kind.as_ref()
    }

    /// The width of a stage's model; of the base model if there is no stage. A chain of models is
    /// at most `depth` long, unless it is a circle, which is reported elsewhere.
    fn of(&self, model: Option<&str>, depth: usize) -> Option<usize> {
        match model.map(|name| self.kind(name)) {
            None => self.base.map(BaseModel::d_model),
            Some(Some(StageKind::Pretrain(params))) => Some(params.size.d_model),
            Some(Some(StageKind::ModelTune(params))) => {
                self.of(params.from.as_deref(), depth.checked_sub(1)?)
            }
            Some(Some(StageKind::JointTune(params))) => {
                self.of(params.from.as_deref(), depth.checked_sub(1)?)
            }
            Some(_) => None,
        }
    }
}

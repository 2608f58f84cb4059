//! From a file name to a plan, or to all that is wrong with it.

use std::fs;
use std::path::Path;

use promot_pipeline::diagnostic::{Diagnostics, Rendered, Sources};
use promot_pipeline::plan::{Plan, compile};
use promot_pipeline::spec;

use super::args::PipelineArgs;
use super::failure::Failure;

/// The plan of a pipeline file.
pub(crate) fn load(args: &PipelineArgs) -> Result<Plan, Failure> {
    let name = args.file.display().to_string();
    let bytes = fs::read(&args.file).map_err(|error| {
        Failure::BadInput(format!(
            "error: {name}: {error}\n  hint: expected a pipeline file such as pipelines/rte.yaml"
        ))
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        Failure::BadInput(format!("error: {name}:{line}: not UTF-8 text"))
    })?;
    let directory = args.file.parent().unwrap_or(Path::new(""));
    let sets = args.all_sets();
    let plan = spec::parse(&text, &sets).and_then(|root| compile(&root, directory));
    plan.map_err(|diagnostics: Diagnostics| {
        let rendered = Rendered {
            sources: &Sources::new(&name, &text, &sets),
            diagnostics: &diagnostics.into_sorted(),
        };
        Failure::BadInput(rendered.to_string())
    })
}

//! `mix`: several tasks for multi-task tuning. Nothing to compute: tuning stages read its parts.

use crate::plan::{MixParams, Stage};
use crate::run::{Context, RunError, StageDirectory};

pub(crate) fn run<B>(
    params: &MixParams,
    _stage: &Stage,
    directory: &StageDirectory,
    _context: &Context<'_, B>,
) -> Result<(), RunError> {
    let json = serde_json::to_vec_pretty(params).expect("plain data serialises");
    directory.write("mix.json", &json)
}

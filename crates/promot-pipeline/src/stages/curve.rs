//! `curve`: models measured at the checkpoints that their stages kept (paper figures 1, 2, 5 and 6).

use promot_model::train::TrainingBackend;

use super::eval;
use crate::plan::{CurveModel, CurveParams, Stage};
use crate::report::{CURVE_FILE, CurveFile, CurvePoint, CurveSeries};
use crate::run::{Context, RunError, StageDirectory};

pub(crate) fn run<B: TrainingBackend>(
    params: &CurveParams,
    stage: &Stage,
    directory: &StageDirectory,
    context: &Context<'_, B>,
) -> Result<(), RunError> {
    eval::run(&params.eval, stage, directory, context)?;
    let file = CurveFile {
        series: params.series.iter().map(series).collect(),
    };
    let json = serde_json::to_vec_pretty(&file).expect("plain data serialises");
    directory.write(CURVE_FILE, &json)
}

fn series(model: &CurveModel) -> CurveSeries {
    let point = |&step| CurvePoint {
        step,
        column: model.column(step),
    };
    CurveSeries {
        model: model.label.clone(),
        points: model.steps.iter().map(point).collect(),
    }
}

//! From a file name to plans, or to all that is wrong with it.

use std::fs;

use promot_pipeline::diagnostic::{Diagnostics, Rendered, Sources};
use promot_pipeline::plan::{Plan, compile};
use promot_pipeline::spec::{self, Point, Setting};

use super::args::PipelineArgs;
use super::failure::Failure;

/// The plan of one combination of a matrix' values.
pub(crate) struct PlannedPoint {
    /// The values; none without a matrix.
    pub(crate) settings: Vec<Setting>,
    /// The plan with them.
    pub(crate) plan: Plan,
}

/// The plans of a pipeline file, one for each point of its matrix that the arguments ask for.
pub(crate) fn load_points(args: &PipelineArgs) -> Result<Vec<PlannedPoint>, Failure> {
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
    let sets = args.all_sets();
    let mut sources = Sources::new(&name, spec::without_bom(&text), &sets);
    let points = spec::parse(&mut sources, &args.file).and_then(|spec| spec.points());
    let told = |diagnostics: Diagnostics| {
        let diagnostics = diagnostics.into_sorted();
        let rendered = Rendered {
            sources: &sources,
            diagnostics: &diagnostics,
        };
        match diagnostics.iter().any(|found| found.is_bad_input) {
            true => Failure::BadInput(rendered.to_string()),
            false => Failure::Unavailable(rendered.to_string()),
        }
    };
    let points = points.map_err(told)?;
    check_sets(&points[0], &sets)?;
    let points = chosen(points, &args.points)?;
    let plan = |point: Point| {
        Ok(PlannedPoint {
            settings: point.settings,
            plan: compile(&point.spec).map_err(told)?,
        })
    };
    points.into_iter().map(plan).collect()
}

/// The plan of a pipeline file, or of the only point that the arguments ask for.
pub(crate) fn load(args: &PipelineArgs) -> Result<Plan, Failure> {
    let mut points = load_points(args)?;
    if points.len() == 1 {
        return Ok(points.remove(0).plan);
    }
    let listed: Vec<String> = points
        .iter()
        .map(|point| describe(&point.settings))
        .collect();
    Err(Failure::BadInput(format!(
        "error: {}: a matrix of {} pipelines\n  hint: choose one, for example --point {}",
        args.file.display(),
        points.len(),
        listed[0].replace(", ", " --point "),
    )))
}

/// Settings as people write them.
pub(crate) fn describe(settings: &[Setting]) -> String {
    let keys: Vec<&str> = settings.iter().map(Setting::key).collect();
    let written = settings.iter().map(|setting| {
        // Two settings of one name are told apart by their paths.
        let same = keys.iter().filter(|key| **key == setting.key()).count();
        let name = if same == 1 {
            setting.key()
        } else {
            &setting.path
        };
        format!("{name}={}", setting.value)
    });
    written.collect::<Vec<_>>().join(", ")
}

/// A value from the command line does not replace several of a matrix.
fn check_sets(point: &Point, sets: &[String]) -> Result<(), Failure> {
    for set in sets {
        let path = set.split('=').next().unwrap_or(set);
        if point.settings.iter().any(|setting| setting.path == path) {
            return Err(Failure::BadInput(format!(
                "error: --set {set}: the matrix has values of `{path}`\n  hint: choose one of them \
                 with --point, or replace all with --set 'matrix={{{path}: [...]}}'"
            )));
        }
    }
    Ok(())
}

/// The points that have, of each setting that values are asked for, one of these.
fn chosen(points: Vec<Point>, wanted: &[String]) -> Result<Vec<Point>, Failure> {
    let has = |point: &Point, wanted: &str| {
        wanted.split_once('=').is_some_and(|(name, value)| {
            point.settings.iter().any(|setting| {
                (setting.path == name || setting.key() == name) && setting.value == value
            })
        })
    };
    for wanted in wanted {
        if !points.iter().any(|point| has(point, wanted)) {
            let listed: Vec<String> = points
                .iter()
                .map(|point| describe(&point.settings))
                .collect();
            let hint = match listed.as_slice() {
                [only] if only.is_empty() => "the file has no `matrix`".to_owned(),
                _ => format!("there are: {}", listed.join("; ")),
            };
            return Err(Failure::BadInput(format!(
                "error: --point {wanted}: no such point\n  hint: {hint}"
            )));
        }
    }
    let name = |wanted: &str| wanted.split('=').next().map(str::to_owned);
    let has_all = |point: &Point| {
        wanted.iter().all(|asked| {
            let mut alternatives = wanted.iter().filter(|other| name(other) == name(asked));
            alternatives.any(|other| has(point, other))
        })
    };
    let chosen: Vec<Point> = points.into_iter().filter(has_all).collect();
    if chosen.is_empty() {
        let asked = wanted.join(" --point ");
        let hint = "a value can be named as `key=value` or with its whole path, not as both";
        return Err(Failure::BadInput(format!(
            "error: --point {asked}: no such combination\n  hint: {hint}"
        )));
    }
    Ok(chosen)
}

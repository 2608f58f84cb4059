//! Reports of finished runs: put together from the store, and written as files.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use promot_core::write_atomically;
use promot_pipeline::plan::Plan;
use promot_pipeline::report::{Details, Report, curve_files, event_files, html, markdown};
use promot_pipeline::run::Store;
use promot_pipeline::spec::Setting;

use super::args::StoredArgs;
use super::failure::Failure;
use super::load::PlannedPoint;
use super::output::json;

/// The report of a finished run, with the command that repeats it.
pub(super) fn collect(
    point: &PlannedPoint,
    store: &Store,
    args: &StoredArgs,
) -> Result<Report, Failure> {
    let mut report = Report::collect(&point.plan, store).map_err(failed)?;
    report.card.command = Some(command(args, &point.settings));
    Ok(report)
}

/// The report as a page.
pub(super) fn page(plan: &Plan, store: &Store, report: &Report) -> Result<String, Failure> {
    let details = Details::collect(plan, store).map_err(failed)?;
    Ok(html(report, &details))
}

/// Writes a report in all formats into a directory, and its curves beside it.
pub(super) fn write(
    directory: &Path,
    plan: &Plan,
    store: &Store,
    report: &Report,
) -> Result<(), Failure> {
    let page = page(plan, store, report)?;
    let mut files = vec![
        ("report.json".to_owned(), json(report).into_bytes()),
        ("report.md".to_owned(), markdown(report).into_bytes()),
        ("report.html".to_owned(), page.into_bytes()),
    ];
    let curves = curve_files(&report.plots);
    files.extend(
        curves
            .into_iter()
            .map(|file| (format!("curves/{}", file.name), file.bytes)),
    );
    for (name, bytes) in files {
        write_file(&directory.join(name), &bytes)?;
    }
    Ok(())
}

/// Writes a report's curves as TensorBoard event files below a report's directory; those of an earlier
/// report are removed.
pub(super) fn write_events(directory: &Path, report: &Report) -> Result<(), Failure> {
    let directory = directory.join("tensorboard");
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let error = anyhow::Error::from(error).context(directory.display().to_string());
            return Err(Failure::Failed(error));
        }
        _ => {}
    }
    for file in event_files(&report.plots) {
        write_file(&directory.join(file.path), &file.bytes)?;
    }
    Ok(())
}

/// Writes a file and the directories that it is in.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| write_atomically(path, bytes));
    written
        .with_context(|| path.display().to_string())
        .map_err(Failure::Failed)
}

fn failed(error: promot_pipeline::report::CollectError) -> Failure {
    let hint = error.hint();
    Failure::Failed(anyhow::anyhow!("{error}\n  hint: {hint}"))
}

/// Where the file lies is not told, so that the same run elsewhere gives the same report.
fn command(args: &StoredArgs, point: &[Setting]) -> String {
    let file = args.pipeline.file.file_name();
    let file = file.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut words = vec![
        "promot-pipeline".to_owned(),
        "run".to_owned(),
        quoted(&file),
    ];
    for set in args.pipeline.all_sets() {
        words.extend(["--set".to_owned(), quoted(&set)]);
    }
    for Setting { path, value } in point {
        words.extend(["--point".to_owned(), quoted(&format!("{path}={value}"))]);
    }
    words.join(" ")
}

/// As a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:+,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_where_a_shell_would_change_them() {
        for (word, expected) in [
            ("seed=1", "seed=1"),
            ("", "''"),
            ("a={b: c}", "'a={b: c}'"),
            ("it's", "'it'\\''s'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}

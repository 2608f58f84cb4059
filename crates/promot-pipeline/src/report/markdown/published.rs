//! Scores beside published ones.

use std::fmt::Write as _;

use super::{escaped, table};
use crate::report::{PublishedTable, Rows};

/// A table and what it comes to.
pub(super) fn published(text: &mut String, data: &PublishedTable) {
    let _ = writeln!(text, "### Beside published scores\n");
    let _ = writeln!(text, "In brackets those of {}.\n", escaped(&data.source));
    let mut header = vec!["task".to_owned(), "shots".to_owned()];
    header.extend(data.models.iter().cloned());
    let number = |score: Option<f64>| score.map_or("-".to_owned(), |score| format!("{score:.1}"));
    let rows = data.rows.iter().map(|row| {
        let mut cells = vec![row.title.clone(), row.shots.to_string()];
        let scores = row.scores.iter();
        cells
            .extend(scores.map(|&(ours, theirs)| format!("{} ({})", number(ours), number(theirs))));
        cells
    });
    *text += &table(&Rows {
        header,
        rows: rows.collect(),
    });
    let _ = writeln!(
        text,
        "\nDifferences to {} that are not 0 on either side: {}; with the same sign: {}.\n",
        escaped(&data.compared_with),
        data.differences,
        data.same_sign
    );
}

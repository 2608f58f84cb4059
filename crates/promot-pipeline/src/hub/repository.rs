//! Names of repositories: `owner/name`, with `@revision` if not `main`.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::HubError;

/// What a path segment of an address must not contain as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// A path keeps its slashes.
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// Models and data sets are in two name spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Kind {
    Model,
    Dataset,
}

/// A repository of the hub, in one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repository {
    kind: Kind,
    owner: String,
    name: String,
    revision: String,
}

impl Repository {
    /// The model `owner/name` or `owner/name@revision`; a revision is a branch, a tag, a commit,
    /// or a reference such as `refs/pr/1`.
    ///
    /// # Errors
    /// If the text is not of this form.
    pub fn model(text: &str) -> Result<Self, HubError> {
        Self::parse(Kind::Model, text)
    }

    /// The data set `owner/name` or `owner/name@revision`.
    ///
    /// # Errors
    /// If the text is not of this form.
    pub fn dataset(text: &str) -> Result<Self, HubError> {
        Self::parse(Kind::Dataset, text)
    }

    fn parse(kind: Kind, text: &str) -> Result<Self, HubError> {
        let wrong = || HubError::Name {
            text: text.to_owned(),
        };
        let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (owner, name) = id.split_once('/').ok_or_else(wrong)?;
        // `--` stands for the slash in the names of directories.
        let is_part = |part: &str| is_plain(part) && !part.contains("--");
        if !is_part(owner) || !is_part(name) || !revision.split('/').all(is_plain) {
            return Err(wrong());
        }
        Ok(Self {
            kind,
            owner: owner.to_owned(),
            name: name.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// `owner/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The branch, tag or commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Its directory in the cache.
    pub(super) fn directory_name(&self) -> String {
        let kind = match self.kind {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        };
        format!("{kind}--{}--{}", self.owner, self.name)
    }

    /// The path of the API that lists a revision.
    pub(super) fn listing_path(&self, revision: &str) -> String {
        let kind = match self.kind {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        };
        let revision = utf8_percent_encode(revision, SEGMENT);
        format!("/api/{kind}/{}/revision/{revision}", self.id())
    }

    /// The path of a file's content.
    pub(super) fn file_path(&self, commit: &str, file: &str) -> String {
        let prefix = match self.kind {
            Kind::Model => "",
            Kind::Dataset => "/datasets",
        };
        let file = utf8_percent_encode(file, PATH);
        format!("{prefix}/{}/resolve/{commit}/{file}", self.id())
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        match self.revision.as_str() {
            "main" => Ok(()),
            revision => write!(f, "@{revision}"),
        }
    }
}

/// Whether `part` can be a part of a path anywhere, and leads nowhere else.
fn is_plain(part: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && part.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_a_revision() {
        let main = Repository::model("google-t5/t5-small").unwrap();
        assert_eq!(
            (main.id().as_str(), main.revision()),
            ("google-t5/t5-small", "main")
        );
        assert_eq!(main.to_string(), "google-t5/t5-small");
        assert_eq!(main.directory_name(), "models--google-t5--t5-small");
        let parquet = Repository::dataset("a/b@refs/convert/parquet").unwrap();
        assert_eq!(parquet.to_string(), "a/b@refs/convert/parquet");
        assert_eq!(
            parquet.listing_path(parquet.revision()),
            "/api/datasets/a/b/revision/refs%2Fconvert%2Fparquet"
        );
        assert_eq!(
            parquet.file_path("c0ffee", "x y/0.parquet"),
            "/datasets/a/b/resolve/c0ffee/x%20y/0.parquet"
        );
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for text in [
            "", "t5", "a/", "/b", "a/b/c", "../b", "a/..", "a/b@", "a/b@../c", "a/b@/etc",
            "a--b/c", "a/b?c", "a/b@x y", "a\\b/c",
        ] {
            let error = Repository::model(text).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("hf:{text}: expected hf:owner/name or hf:owner/name@revision")
            );
        }
    }
}

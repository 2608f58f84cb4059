//! A repository at one commit.

use std::path::{Path, PathBuf};

use promot_core::{Digest, Digester};
use serde::Serialize;

use super::{Hub, HubError, Repository};

/// A repository at one commit, with the place of its files in the cache; they may not be there yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    repository: Repository,
    commit: String,
    directory: PathBuf,
    /// Paths of all files; not known if only others have filled the cache.
    files: Option<Vec<String>>,
}

impl Snapshot {
    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The commit: 40 hexadecimal digits.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// The directory of its files in the cache.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Paths of all files, if they are known without asking the hub.
    pub fn files(&self) -> Option<&[String]> {
        self.files.as_deref()
    }

    /// What stands for the content of all files: a commit is a digest of it.
    pub fn digest(&self) -> Digest {
        Digester::new()
            .field("hub commit", self.commit.to_ascii_lowercase())
            .finish()
    }
}

impl Hub {
    /// The commit that a revision is now. If the hub cannot be reached, or must not be asked, it
    /// is what the revision was when last asked for; a whole commit hash that is in the cache needs
    /// no asking.
    ///
    /// # Errors
    /// If there is no such repository or revision, it may not be read, or it is neither to be
    /// reached nor in the cache.
    pub fn resolve(&self, repository: &Repository) -> Result<Snapshot, HubError> {
        let cached = self.cached(repository);
        let is_pinned = |snapshot: &Snapshot| {
            snapshot.commit == repository.revision() && snapshot.files.is_some()
        };
        match cached {
            Some(snapshot) if self.offline || is_pinned(&snapshot) => return Ok(snapshot),
            None if self.offline => {
                let what = format!("revision `{}`", repository.revision());
                return Err(self.not_cached(repository, &what));
            }
            _ => {}
        }
        match self.client.list(repository, repository.revision()) {
            Ok(listing) => {
                self.cache.set_commit(repository, &listing.commit)?;
                self.cache
                    .set_files(repository, &listing.commit, &listing.files);
                Ok(Snapshot {
                    directory: self.cache.snapshot(repository, &listing.commit),
                    repository: repository.clone(),
                    commit: listing.commit,
                    files: Some(listing.files),
                })
            }
            Err(error @ (HubError::Network { .. } | HubError::Status { .. })) => {
                cached.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// What the cache knows of a revision, if it has any file of it.
    fn cached(&self, repository: &Repository) -> Option<Snapshot> {
        let commit = self.cache.commit(repository)?;
        let directory = self.cache.snapshot(repository, &commit);
        directory.is_dir().then(|| Snapshot {
            files: self.cache.files(repository, &commit),
            repository: repository.clone(),
            directory,
            commit,
        })
    }

    /// Paths of all files of a snapshot.
    ///
    /// # Errors
    /// If they are not known and the hub cannot be asked.
    pub(super) fn files(&self, snapshot: &Snapshot) -> Result<Vec<String>, HubError> {
        if let Some(files) = &snapshot.files {
            return Ok(files.clone());
        }
        if self.offline {
            return Err(self.not_cached(&snapshot.repository, "the list of files"));
        }
        let listing = self.client.list(&snapshot.repository, &snapshot.commit)?;
        self.cache
            .set_files(&snapshot.repository, &snapshot.commit, &listing.files);
        Ok(listing.files)
    }
}

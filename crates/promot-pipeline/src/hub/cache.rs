//! The cache on disk, laid out as `huggingface_hub` does, so that both use each other's files.
//!
//! ```text
//! models--owner--name/blobs/<etag>               content, once for all revisions that have it
//!                    /blobs/<etag>.incomplete    what has arrived of it
//!                    /refs/<revision>            the commit that a branch or tag was last
//!                    /snapshots/<commit>/<file>  a link to the content
//!                    /.listings/<commit>.json    names of all files: ours, nobody else reads it
//! .locks/models--owner--name/<etag>.lock         held while content arrives
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use promot_core::{StopFlag, write_atomically};

use super::http::is_commit;
use super::{HubError, Repository};

/// A cache in a directory, which need not exist yet.
pub(super) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn repository(&self, repository: &Repository) -> PathBuf {
        self.root.join(repository.directory_name())
    }

    /// Where the files of a commit are.
    pub(super) fn snapshot(&self, repository: &Repository, commit: &str) -> PathBuf {
        self.repository(repository).join("snapshots").join(commit)
    }

    /// Where content is.
    pub(super) fn blob(&self, repository: &Repository, etag: &str) -> PathBuf {
        self.repository(repository).join("blobs").join(etag)
    }

    /// The commit that the repository's revision was when last asked for.
    pub(super) fn commit(&self, repository: &Repository) -> Option<String> {
        if is_commit(repository.revision()) {
            return Some(repository.revision().to_owned());
        }
        let text = fs::read_to_string(self.reference(repository)).ok()?;
        Some(text.trim().to_owned()).filter(|text| is_commit(text))
    }

    /// Notes the commit that the repository's revision is.
    pub(super) fn set_commit(&self, repository: &Repository, commit: &str) -> Result<(), HubError> {
        if repository.revision() == commit || self.commit(repository).as_deref() == Some(commit) {
            return Ok(());
        }
        write(&self.reference(repository), commit.as_bytes())
    }

    fn reference(&self, repository: &Repository) -> PathBuf {
        self.repository(repository)
            .join("refs")
            .join(repository.revision())
    }

    /// The names of a commit's files, if they were noted.
    pub(super) fn files(&self, repository: &Repository, commit: &str) -> Option<Vec<String>> {
        let bytes = fs::read(self.listing(repository, commit)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Notes the names of a commit's files, if the cache can be written to: others may have filled
    /// it for reading only.
    pub(super) fn set_files(&self, repository: &Repository, commit: &str, files: &[String]) {
        let path = self.listing(repository, commit);
        if !path.exists() {
            let json = serde_json::to_vec(files).expect("plain data serialises");
            let _ = write(&path, &json);
        }
    }

    fn listing(&self, repository: &Repository, commit: &str) -> PathBuf {
        self.repository(repository)
            .join(".listings")
            .join(format!("{commit}.json"))
    }

    /// Keeps others from downloading the same until the file is dropped.
    ///
    /// # Errors
    /// [`HubError::Stopped`] if `stop` is set while somebody else holds it.
    pub(super) fn lock(
        &self,
        repository: &Repository,
        etag: &str,
        stop: &StopFlag,
    ) -> Result<File, HubError> {
        let directory = self.root.join(".locks").join(repository.directory_name());
        let path = directory.join(format!("{etag}.lock"));
        make_directory(&directory)?;
        let file = File::create(&path).map_err(HubError::io(&path))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if stop.is_requested() => {
                    return Err(HubError::Stopped {
                        file: repository.to_string(),
                    });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(100)),
                Err(TryLockError::Error(error)) => return Err(HubError::io(&path)(error)),
            }
        }
    }

    /// Makes `file` of a commit be the content `etag`.
    pub(super) fn link(
        &self,
        repository: &Repository,
        commit: &str,
        file: &str,
        etag: &str,
    ) -> Result<PathBuf, HubError> {
        let path = self.snapshot(repository, commit).join(file);
        make_directory(path.parent().expect("a file in a snapshot"))?;
        // From snapshots/<commit>/, and one more for every directory of the file.
        let up = "../".repeat(2 + file.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{etag}"));
        let blob = self.blob(repository, etag);
        point(&path, &target, &blob).map_err(HubError::io(&path))?;
        Ok(path)
    }
}

/// Makes `path` a link to `target`, which is `blob` seen from there.
#[cfg(unix)]
fn point(path: &Path, target: &Path, _blob: &Path) -> io::Result<()> {
    match std::os::unix::fs::symlink(target, path) {
        // A link to content that was deleted, or another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            std::os::unix::fs::symlink(target, path)
        }
        made => made,
    }
}

/// Links need a privilege on Windows: `path` becomes a second name of `blob`, or a copy.
#[cfg(not(unix))]
fn point(path: &Path, _target: &Path, blob: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::hard_link(blob, path).or_else(|_| fs::copy(blob, path).map(|_| ()))
}

/// Makes a directory and everything above it.
pub(super) fn make_directory(path: &Path) -> Result<(), HubError> {
    fs::create_dir_all(path).map_err(HubError::io(path))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), HubError> {
    make_directory(path.parent().expect("a file in the cache"))?;
    write_atomically(path, bytes).map_err(HubError::io(path))
}

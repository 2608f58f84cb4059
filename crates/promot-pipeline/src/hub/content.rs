//! Content that arrives in pieces, over several runs if need be, with its length and digest.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use promot_core::StopFlag;
use sha2::{Digest as _, Sha256};

use super::HubError;

/// Bytes that are read or written at once.
pub(super) const PIECE: usize = 1 << 16;

/// A file that is not whole yet.
pub(super) struct Content {
    path: PathBuf,
    file: File,
    digest: Sha256,
    length: u64,
}

impl Content {
    /// Goes on with what is in the file `path`, if it is not longer than `size`.
    pub(super) fn open(path: &Path, size: u64, stop: &StopFlag) -> Result<Self, HubError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(HubError::io(path))?;
        let mut content = Self {
            path: path.to_owned(),
            file,
            digest: Sha256::new(),
            length: 0,
        };
        let mut piece = vec![0; PIECE];
        loop {
            if stop.is_requested() {
                return Err(HubError::Stopped {
                    file: path.display().to_string(),
                });
            }
            let read = content.file.read(&mut piece).map_err(HubError::io(path))?;
            if read == 0 {
                return Ok(content);
            }
            content.digest.update(&piece[..read]);
            content.length += read as u64;
            if content.length > size {
                content.restart()?;
                return Ok(content);
            }
        }
    }

    /// Bytes so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file
            .write_all(bytes)
            .map_err(HubError::io(&self.path))?;
        self.digest.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Forgets everything.
    pub(super) fn restart(&mut self) -> Result<(), HubError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(HubError::io(&self.path))?;
        self.digest = Sha256::new();
        self.length = 0;
        Ok(())
    }

    /// The content is whole: checks its digest, if one is known, and gives it its name.
    pub(super) fn finish(
        self,
        name: &str,
        sha256: Option<&str>,
        path: &Path,
    ) -> Result<(), HubError> {
        let found: String = self
            .digest
            .clone()
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if let Some(expected) = sha256.filter(|expected| !expected.eq_ignore_ascii_case(&found)) {
            let error = HubError::Corrupt {
                file: name.to_owned(),
                found,
                expected: expected.to_owned(),
            };
            self.discard()?;
            return Err(error);
        }
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, path))
            .map_err(HubError::io(path))
    }

    /// Removes the file.
    pub(super) fn discard(self) -> Result<(), HubError> {
        fs::remove_file(&self.path).map_err(HubError::io(&self.path))
    }
}

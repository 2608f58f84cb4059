//! An artifact that is computed again: beside the one that is there, which stays until the new one is whole.
//!
//! ```text
//! store/stages/<kind>-<key>/again/work/           as of any stage, but what is there is not touched
//!                                /again/artifact/
//!                                /again/manifest.json   the new artifact is whole, and takes the old one's place
//!                                /again/replaced/       the old one, until the new one has its place
//! ```

use std::fs;
use std::path::Path;

use promot_core::sync_directory;

use super::{StageDirectory, absent};
use crate::run::RunError;

impl StageDirectory {
    /// Where a run works that computes the artifact again.
    pub(in crate::run) fn again(&self) -> Self {
        Self {
            path: self.path.join("again"),
        }
    }

    /// Puts an artifact that was computed again in its place, if it is whole, and says whether it was.
    ///
    /// No file system replaces a directory that is not empty, so this takes several steps. A kill between two
    /// of them leaves no manifest here and the whole of the new artifact: whoever has the lock goes on.
    pub(in crate::run) fn replace(&self) -> Result<bool, RunError> {
        let again = self.again();
        if !again.is_finished() {
            return Ok(false);
        }
        let (artifact, new) = (self.artifact(), again.artifact());
        // Else a run that was killed has moved it already.
        if is_there(&new)? {
            let replaced = again.path.join("replaced");
            absent(&replaced, fs::remove_dir_all(&replaced))?;
            // Without its manifest nothing counts as finished, also when some of it is moved.
            let manifest = self.manifest();
            absent(&manifest, fs::remove_file(&manifest))?;
            self.sync()?;
            if is_there(&artifact)? {
                moved(&artifact, &replaced)?;
            }
            moved(&new, &artifact)?;
            self.sync()?;
        }
        moved(&again.manifest(), &self.manifest())?;
        self.sync()?;
        self.clean()?;
        Ok(true)
    }

    /// A step survives a power cut before the next one is made.
    fn sync(&self) -> Result<(), RunError> {
        sync_directory(&self.path).map_err(|error| RunError::io(&self.path, error))
    }
}

fn is_there(path: &Path) -> Result<bool, RunError> {
    path.try_exists().map_err(|error| RunError::io(path, error))
}

fn moved(from: &Path, to: &Path) -> Result<(), RunError> {
    fs::rename(from, to).map_err(|error| RunError::io(from, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A finished stage with leftovers, and the same one finished again.
    fn finished_again(root: &Path) -> StageDirectory {
        let directory = StageDirectory {
            path: root.to_owned(),
        };
        for (place, text) in [(directory.clone(), "old"), (directory.again(), "new")] {
            write(&place.artifact().join("file"), text);
            write(&place.artifact().join(text), "");
            write(&place.manifest(), &format!(r#"{{"kernels": "{text}"}}"#));
        }
        write(&directory.work().join("step-2"), "");
        directory
    }

    /// After each step that a run can be killed after.
    #[test]
    fn an_artifact_is_replaced_as_a_whole_wherever_a_run_was_killed() {
        for killed_after in 0..5 {
            let root = tempfile::tempdir().unwrap();
            let directory = finished_again(root.path());
            let again = directory.again();
            let (artifact, manifest) = (directory.artifact(), directory.manifest());
            let steps: [&dyn Fn() -> std::io::Result<()>; 4] = [
                &|| fs::remove_file(&manifest),
                &|| fs::rename(&artifact, again.path.join("replaced")),
                &|| fs::rename(again.artifact(), &artifact),
                &|| fs::rename(again.manifest(), &manifest),
            ];
            steps[..killed_after]
                .iter()
                .for_each(|step| step().unwrap());
            // Whatever counts as finished is whole.
            let kernels = directory.kernels();
            assert_eq!(kernels.is_some(), [0, 4].contains(&killed_after));
            if let Some(kernels) = kernels {
                assert_eq!(fs::read_to_string(artifact.join("file")).unwrap(), kernels);
            }
            assert_eq!(directory.replace().unwrap(), killed_after < 4);
            assert_eq!(directory.kernels().unwrap(), "new");
            assert_eq!(fs::read_to_string(artifact.join("file")).unwrap(), "new");
            assert!(!artifact.join("old").exists());
            if killed_after < 4 {
                assert!(!again.path.exists() && !directory.work().exists());
            }
        }
    }

    #[test]
    fn what_is_not_whole_replaces_nothing() {
        let root = tempfile::tempdir().unwrap();
        let directory = finished_again(root.path());
        // A file system may have kept nothing but its name.
        write(&directory.again().manifest(), "");
        assert!(!directory.replace().unwrap());
        assert_eq!(directory.kernels().unwrap(), "old");
        assert!(directory.artifact().join("old").exists());
        assert!(directory.again().artifact().join("new").exists());
    }

    /// What a kill left of an artifact that was on its way out does not keep the next one from it.
    #[test]
    fn what_was_replaced_before_is_in_nobodys_way() {
        let root = tempfile::tempdir().unwrap();
        let directory = finished_again(root.path());
        write(&directory.again().path.join("replaced/older"), "");
        assert!(directory.replace().unwrap());
        assert_eq!(directory.kernels().unwrap(), "new");
        assert!(!directory.again().path.exists());
    }
}

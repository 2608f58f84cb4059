//! The content-addressed store: a directory for each key, finished when its manifest is there and whole.
//!
//! ```text
//! store/stages/<kind>-<key>/lock        held while a run works here
//!                          /work/       what an interrupted run goes on from
//!                          /artifact/   the result, with the checkpoints that are kept
//!                          /manifest.json   written last: the artifact is whole
//!                          /again/      a result that is to replace it, while it is computed
//! store/last/<pipeline>/<stage>.json    what the stage's last run was computed from
//! ```

mod replacement;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use promot_core::write_atomically;

use super::effort::Effort;
use super::error::RunError;
use super::make_directory;
use crate::plan::{Plan, Stage};

/// Where an artifact has the checkpoints that its stage keeps.
const CHECKPOINTS: &str = "checkpoints";

/// A store of artifacts.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// The place of one stage's artifact.
#[derive(Clone, Debug)]
pub struct StageDirectory {
    path: PathBuf,
}

impl Store {
    /// The store in directory `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The place of a stage's artifact.
    pub fn stage(&self, stage: &Stage) -> StageDirectory {
        let name = format!("{}-{}", stage.kind.name(), stage.key.short());
        StageDirectory {
            path: self.root.join("stages").join(name),
        }
    }

    /// What the last finished run of this stage was computed from.
    pub fn last_facts(&self, plan: &Plan, stage: &Stage) -> Option<BTreeMap<String, String>> {
        let bytes = fs::read(self.last_path(plan, stage)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Notes what this run of a stage was computed from.
    pub(super) fn remember(&self, plan: &Plan, stage: &Stage) -> Result<(), RunError> {
        if self.last_facts(plan, stage).as_ref() == Some(&stage.facts) {
            return Ok(());
        }
        let path = self.last_path(plan, stage);
        make_directory(path.parent().expect("a file in a directory"))?;
        let json = serde_json::to_vec_pretty(&stage.facts).expect("plain data serialises");
        write_atomically(&path, &json).map_err(|error| RunError::io(&path, error))
    }

    fn last_path(&self, plan: &Plan, stage: &Stage) -> PathBuf {
        self.root
            .join("last")
            .join(&plan.name)
            .join(format!("{}.json", stage.name))
    }
}

impl StageDirectory {
    /// Where the result is, once finished.
    pub fn artifact(&self) -> PathBuf {
        self.path.join("artifact")
    }

    /// Where the checkpoint of a step is, if the stage keeps them.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        let checkpoints = self.artifact().join(CHECKPOINTS);
        checkpoints.join(format!("step-{step}"))
    }

    /// Where an interrupted run left what it goes on from.
    pub fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    fn manifest(&self) -> PathBuf {
        self.path.join("manifest.json")
    }

    /// The manifest, if it is there and whole.
    fn read_manifest(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        let bytes = fs::read(self.manifest()).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Whether the artifact is whole.
    pub fn is_finished(&self) -> bool {
        self.read_manifest().is_some()
    }

    /// When the artifact was finished.
    pub(crate) fn finished_at(&self) -> Result<SystemTime, RunError> {
        let path = self.manifest();
        fs::metadata(&path)
            .and_then(|metadata| metadata.modified())
            .map_err(|error| RunError::io(&path, error))
    }

    /// The name of the kernels that computed the artifact, if it is whole and they are known.
    pub fn kernels(&self) -> Option<String> {
        let manifest = self.read_manifest()?;
        manifest.get("kernels")?.as_str().map(str::to_owned)
    }

    /// What the artifact took, if it is whole and that was noted.
    pub fn effort(&self) -> Option<Effort> {
        let mut manifest = self.read_manifest()?;
        serde_json::from_value(manifest.remove("effort")?).ok()
    }

    /// Keeps other runs out until the lock is dropped; a kill drops it, too.
    pub(super) fn lock(&self) -> Result<File, RunError> {
        make_directory(&self.path)?;
        let path = self.path.join("lock");
        let file = File::create(&path).map_err(|error| RunError::io(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(RunError::Locked {
                path: self.path.clone(),
            }),
            Err(TryLockError::Error(error)) => Err(RunError::io(&path, error)),
        }
    }

    /// Removes what was only needed to go on.
    fn clean(&self) -> Result<(), RunError> {
        for path in [self.work(), self.again().path] {
            absent(&path, fs::remove_dir_all(&path))?;
        }
        Ok(())
    }

    /// Makes the directories; a half-written artifact of an interrupted run is written again. Checkpoints
    /// that it kept stay: a run that goes on writes those again that come after where it starts, and what
    /// is there of them is the same.
    pub(super) fn prepare(&self) -> Result<(), RunError> {
        let artifact = self.artifact();
        make_directory(&artifact)?;
        make_directory(&self.work())?;
        let entries = fs::read_dir(&artifact).map_err(|error| RunError::io(&artifact, error))?;
        for entry in entries {
            let path = entry
                .map_err(|error| RunError::io(&artifact, error))?
                .path();
            if path.ends_with(CHECKPOINTS) {
                continue;
            }
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            removed.map_err(|error| RunError::io(&path, error))?;
        }
        Ok(())
    }

    /// Declares the artifact whole, and removes what was only needed to go on.
    ///
    /// The kernels are noted and no part of the key: they are the processor's, not the pipeline's. Nor
    /// are the machine and the time.
    pub(super) fn finish(
        &self,
        stage: &Stage,
        kernels: &str,
        effort: &Effort,
    ) -> Result<(), RunError> {
        let manifest = serde_json::json!({
            "stage": stage.name,
            "kind": stage.kind.name(),
            "key": stage.key,
            "computed_from": stage.facts,
            "kernels": stage.kind.computes().then_some(kernels),
            "effort": effort,
        });
        let json = serde_json::to_vec_pretty(&manifest).expect("plain data serialises");
        let path = self.manifest();
        write_atomically(&path, &json).map_err(|error| RunError::io(&path, error))?;
        self.clean()
    }

    /// Writes a file of the artifact.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunError> {
        let path = self.artifact().join(name);
        write_atomically(&path, bytes).map_err(|error| RunError::io(&path, error))
    }
}

/// What was to be removed may not have been there.
fn absent(path: &Path, removed: std::io::Result<()>) -> Result<(), RunError> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(RunError::io(path, error)),
        _ => Ok(()),
    }
}

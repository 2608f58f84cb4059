//! What the tests of the whole product share: the program, a directory to run it in, and a look
//! at what it leaves there.

pub mod hub_server;
mod stand_in;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use promot_core::Digest;

/// The repository's root.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .expect("a package below the root")
        .to_owned()
}

/// The program, built with the profile of the tests. Cargo builds a package's programs for that
/// package's own tests only, so the first caller builds it.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // The Cargo that runs the tests: another one would build everything once more.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
        let mut build = Command::new(cargo);
        build.current_dir(root());
        build.args(["build", "--quiet", "--package", "promot-pipeline"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo").success(), "the build failed");
        // target/<profile>/deps/<test>
        let test = std::env::current_exe().expect("the test's own path");
        let profile = test.ancestors().nth(2).expect("a profile directory");
        profile.join(format!("promot-pipeline{}", std::env::consts::EXE_SUFFIX))
    })
}

/// What a command printed, and its exit code.
pub struct Printed {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Printed {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Printed {
    /// Both streams and the exit code, for snapshots.
    pub fn all(&self) -> String {
        let code = self.code.map_or("none".to_owned(), |code| code.to_string());
        format!(
            "exit code: {code}\n--- stdout\n{}--- stderr\n{}",
            self.stdout, self.stderr
        )
    }

    /// The same, if the command succeeded.
    ///
    /// # Panics
    /// With what was printed, if it failed.
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.all());
        self
    }
}

/// A directory of its own, in which the program is run.
pub struct Workplace {
    directory: tempfile::TempDir,
}

impl Default for Workplace {
    fn default() -> Self {
        Self::new()
    }
}

impl Workplace {
    /// An empty directory.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { directory }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file in it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a new directory");
        fs::write(path, content).expect("a new file");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(args).current_dir(self.directory.path());
        command.env_remove("RUST_BACKTRACE");
        command.stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Printed {
        let output = self.command(args).output();
        Printed::from(output.expect("the program starts"))
    }

    /// Runs the program to its end with these environment variables.
    pub fn run_with_env(&self, args: &[&str], variables: &[(&str, &str)]) -> Printed {
        let output = self.command(args).envs(variables.iter().copied()).output();
        Printed::from(output.expect("the program starts"))
    }

    /// Starts the program with these environment variables and leaves it running; what it says on
    /// standard error can be read.
    pub fn start_with_env(&self, args: &[&str], variables: &[(&str, &str)]) -> Child {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    }

    /// Runs the program with `input` on its standard input.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Printed {
        self.write("stdin", input);
        let file = fs::File::open(self.path("stdin")).expect("just written");
        let output = self.command(args).stdin(file).output();
        Printed::from(output.expect("the program starts"))
    }

    /// Starts the program and leaves it running.
    pub fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the program starts")
    }

    /// Starts the program with its standard output in a pipe.
    pub fn start_piped(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().expect("the program starts")
    }

    /// Digests of all artifacts and reports in the store `.promot`, by path. Of a page its section with
    /// times and processors is left out: all else of it is the same wherever and whenever it was run.
    pub fn results(&self) -> BTreeMap<String, Digest> {
        let mut digests = BTreeMap::new();
        for (path, bytes) in self.files(".promot") {
            let is_report = path.contains("/report.") || path.contains("/curves/");
            let is_artifact = path.contains("/artifact/") || is_report;
            if is_artifact && !path.contains("/work/") {
                let bytes = if path.ends_with("report.html") {
                    without_machine(&String::from_utf8(bytes).expect("text")).into_bytes()
                } else {
                    bytes
                };
                digests.insert(path, Digest::of(&bytes));
            }
        }
        digests
    }

    /// All files below a directory, by path.
    fn files(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut open = vec![self.path(name)];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    open.push(path);
                } else if let Ok(bytes) = fs::read(&path) {
                    let below = path.strip_prefix(self.directory.path()).expect("below");
                    files.push((below.display().to_string(), bytes));
                }
            }
        }
        files.sort();
        files
    }
}

/// A report's page without its section about the machine.
///
/// # Panics
/// If it has no such section.
pub fn without_machine(page: &str) -> String {
    let start = page.find("<section id=\"machine\">").expect("the section");
    let length = page[start..].find("</section>").expect("its end");
    format!("{}{}", &page[..start], &page[start + length..])
}

/// A pipeline with every kind of stage that tunes or measures, small enough for a test.
pub const SMALL: &str = "\
version: 1
name: small
seed: 3
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  enfr: { data: { task: wmt14_en_fr, train_rows: 80, dev_rows: 8 } }
  both: { mix: { of: { rte: { prompt: prompt_rte }, enfr: { prompt: prompt_enfr } } } }
  prompt_rte: { prompt_tune: { on: rte, length: 4, steps: 8, checkpoint_every: 2, batch_size: 8 } }
  prompt_enfr: { prompt_tune: { on: enfr, length: 3, steps: 4, checkpoint_every: 2, batch_size: 8 } }
  tuned: { model_tune: { on: both, steps: 8, checkpoint_every: 2, batch_size: 8 } }
  table:
    eval:
      models:
        Pretrained: base
        ProMoT: { model: tuned, prompt: { rte: prompt_rte, enfr: prompt_enfr } }
      target: [rte, enfr]
      tasks: [cb, triviaqa]
      shots: [1]
      rows: 8
      beams: 2
      max_new_tokens: 12
";

/// Both stages with LoRA in the place of a soft prompt, and a table.
pub const WITH_LORA: &str = "\
version: 1
name: lora
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  lora:
    lora_tune:
      { on: rte, rank: 2, targets: [q, wo], lora_dropout: 0.1, steps: 8, checkpoint_every: 2, batch_size: 8 }
  tuned: { model_tune: { on: rte, prompt: lora, steps: 4, checkpoint_every: 2, batch_size: 8 } }
  table:
    eval:
      models:
        LoRA tuning: { model: base, prompt: lora }
        LoRA first: { model: tuned, prompt: lora }
      target: rte
      tasks: [cb]
      shots: [1]
      rows: 8
      beams: 1
      max_new_tokens: 12
";

/// Stages that keep their checkpoints, the ablations among them, and curves over them.
pub const WITH_CHECKPOINTS: &str = "\
version: 1
name: kept
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  prompt:
    prompt_tune:
      { on: rte, length: 3, steps: 4, checkpoint_every: 2, batch_size: 8, keep_checkpoints: true }
  lora:
    lora_tune:
      { on: rte, rank: 2, steps: 4, checkpoint_every: 2, batch_size: 8, keep_checkpoints: true }
  noise: { random_prompt: { length: 3 } }
  joint:
    joint_tune:
      { on: rte, length: 3, steps: 5, checkpoint_every: 2, batch_size: 8, keep_checkpoints: true }
  tuned:
    model_tune:
      { on: rte, prompt: noise, steps: 5, checkpoint_every: 2, batch_size: 8, keep_checkpoints: true }
  curve:
    curve:
      models:
        Joint: { model: joint, prompt: joint }
        Random prompt: { model: tuned, prompt: noise }
        Prompt tuning: { model: base, prompt: prompt }
        LoRA: { model: base, prompt: lora }
      target: rte
      tasks: [cb, triviaqa]
      rows: 6
      beams: 1
      max_new_tokens: 8
  table:
    eval:
      models:
        Pretrained: base
        Joint: { model: joint, prompt: joint }
        Random prompt: { model: tuned, prompt: noise }
      target: rte
      tasks: [cb, triviaqa]
      rows: 6
      beams: 1
      max_new_tokens: 8
";

/// Both stages with a drift monitor.
pub const WITH_DRIFT: &str = "\
version: 1
name: drift
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  prompt:
    prompt_tune:
      on: rte
      length: 4
      steps: 4
      checkpoint_every: 2
      batch_size: 8
      drift: { every: 2, tasks: [cb], rows: 4, shots: 0, max_new_tokens: 8 }
  tuned:
    model_tune:
      on: rte
      prompt: prompt
      steps: 8
      checkpoint_every: 4
      batch_size: 8
      drift: { every: 3, tasks: [triviaqa, cb], rows: 5, max_new_tokens: 8 }
";

/// A pipeline that trains a model from nothing.
pub const FROM_SCRATCH: &str = "\
version: 1
name: scratch
stages:
  model:
    pretrain:
      d_model: 32
      d_kv: 8
      d_ff: 64
      num_layers: 1
      num_decoder_layers: 1
      curriculum: { verification: 3, zero_shot: 3 }
      steps: 12
      checkpoint_every: 2
      batch_size: 8
";

/// The folder with real rows, if `PROMOT_SHARED` names one; tests that need it say that they were
/// skipped if not.
pub fn shared(test: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("PROMOT_SHARED").map(PathBuf::from);
    if shared.is_none() {
        // Not by a macro: the test harness keeps what those of passing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED {test}: PROMOT_SHARED is not set"
        );
    }
    shared.map(|path| path.canonicalize().expect("PROMOT_SHARED names a folder"))
}

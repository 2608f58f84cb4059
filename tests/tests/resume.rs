//! Nothing is lost and nothing changes when a run is killed, stopped, or given other threads.

use std::fs;
use std::io::Read as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use promot_tests::{
    FROM_SCRATCH, SMALL, WITH_CHECKPOINTS, WITH_DRIFT, WITH_LORA, Workplace, program,
};

/// Waits until the run has told `event`, then kills it. Fails if the run ends before.
fn kill_at(
    place: &Workplace,
    mut child: Child,
    log: &str,
    event: &str,
    signal: &str,
) -> Option<i32> {
    let started = Instant::now();
    loop {
        let told = fs::read_to_string(place.path(log)).unwrap_or_default();
        if told.contains(event) {
            break;
        }
        assert!(
            child.try_wait().unwrap().is_none(),
            "ended without {event}:\n{told}"
        );
        assert!(started.elapsed() < Duration::from_secs(120), "no {event}");
        std::thread::sleep(Duration::from_millis(1));
    }
    let killed = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    child.wait().unwrap().code()
}

fn step(stage: &str, step: u64) -> String {
    format!(r#""event":"step","stage":"{stage}","step":{step},"#)
}

#[test]
fn a_killed_run_goes_on_to_the_same_results() {
    let undisturbed = Workplace::new();
    undisturbed.write("small.yaml", SMALL);
    undisturbed
        .run(&["run", "small.yaml", "--threads", "2"])
        .success();

    // In the middle of every kind of stage: data and mix are over at once, so they are killed as
    // soon as they show.
    let place = Workplace::new();
    place.write("small.yaml", SMALL);
    let log = ".promot/runs/small-seed3/events.jsonl";
    let events = [
        r#""event":"stage_finished","stage":"rte""#.to_owned(),
        step("prompt_rte", 5),
        r#""event":"stage_finished","stage":"prompt_enfr""#.to_owned(),
        step("tuned", 3),
        step("tuned", 7),
        r#""event":"evaluated","stage":"table","done":3,"#.to_owned(),
    ];
    for event in &events {
        let child = place.start(&["run", "small.yaml", "--threads", "1"]);
        let code = kill_at(&place, child, log, event, "-KILL");
        assert_eq!(code, None, "killed, not ended");
    }
    let last = place
        .run(&["run", "small.yaml", "--threads", "1"])
        .success();
    assert!(last.stderr.contains("tuned: cached"), "{}", last.stderr);
    // Killed and on one thread here, undisturbed and on two there.
    assert_eq!(place.results(), undisturbed.results());
    let told = fs::read_to_string(place.path(log)).unwrap();
    assert!(
        told.contains(r#""event":"stage_resumed","stage":"tuned""#),
        "{told}"
    );
}

/// Data and mix are over too quickly to be hit inside: what a kill there can leave is made by hand.
#[test]
fn a_stage_that_was_killed_while_it_wrote_is_done_again() {
    let place = Workplace::new();
    place.write("small.yaml", SMALL);
    let run = || place.run(&["run", "small.yaml"]).success();
    run();
    let whole = place.results();
    let stages = fs::read_dir(place.path(".promot/stages")).unwrap();
    let short: Vec<_> = stages
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("mix-") || name.starts_with("data-")
        })
        .collect();
    assert_eq!(short.len(), 3, "two data stages and a mix: {short:?}");
    for stage in &short {
        let artifact = stage.join("artifact");
        let file = fs::read_dir(&artifact).unwrap().next().unwrap().unwrap();
        let (path, bytes) = (file.path(), fs::read(file.path()).unwrap());
        let partial = path.with_added_extension("partial");
        // Before the file, in the middle of it, and after it: always before the manifest, of which a file
        // system may have kept nothing but the name.
        for left in 0..4 {
            let manifest = stage.join("manifest.json");
            match left {
                3 => fs::write(manifest, "").unwrap(),
                _ => fs::remove_file(manifest).unwrap(),
            }
            if left < 2 {
                fs::remove_file(&path).unwrap();
            }
            if left == 1 {
                fs::write(&partial, &bytes[..bytes.len() / 2]).unwrap();
            }
            let again = run();
            assert!(again.stderr.contains(": done in"), "{}", again.stderr);
            assert_eq!(place.results(), whole, "{left}: {}", stage.display());
            assert!(!partial.exists(), "{}", partial.display());
        }
    }
}

/// Runs a pipeline undisturbed on two threads, and on one where it is killed at each of `events`.
fn killed_and_undisturbed_agree(name: &str, pipeline: &str, events: &[String]) {
    let file = format!("{name}.yaml");
    let undisturbed = Workplace::new();
    undisturbed.write(&file, pipeline);
    undisturbed.run(&["run", &file, "--threads", "2"]).success();

    let place = Workplace::new();
    place.write(&file, pipeline);
    let log = format!(".promot/runs/{name}-seed0/events.jsonl");
    for event in events {
        let child = place.start(&["run", &file, "--threads", "1"]);
        kill_at(&place, child, &log, event, "-KILL");
    }
    place.run(&["run", &file, "--threads", "1"]).success();
    assert_eq!(place.results(), undisturbed.results());
}

#[test]
fn killed_tuning_with_lora_goes_on_to_the_same_adapter_and_model() {
    let events = [step("lora", 3), step("lora", 7), step("tuned", 3)];
    killed_and_undisturbed_agree("lora", WITH_LORA, &events);
}

/// In the middle of tuning, at checkpoints that may be half written, and in the middle of the curve.
#[test]
fn killed_stages_that_keep_checkpoints_go_on_to_the_same_ones() {
    let checkpoint =
        |stage: &str, step| format!(r#""event":"dev","stage":"{stage}","step":{step},"#);
    let events = [
        checkpoint("tuned", 2),
        step("tuned", 4),
        step("joint", 3),
        checkpoint("joint", 4),
        step("prompt", 3),
        r#""event":"evaluated","stage":"curve","done":20,"#.to_owned(),
    ];
    killed_and_undisturbed_agree("kept", WITH_CHECKPOINTS, &events);
}

#[test]
fn a_killed_drift_monitor_remembers_what_it_saw() {
    let events = [
        step("prompt", 3),
        r#""event":"drift","stage":"tuned","step":3,"#.to_owned(),
        step("tuned", 5),
        r#""event":"drift","stage":"tuned","step":6,"#.to_owned(),
    ];
    killed_and_undisturbed_agree("drift", WITH_DRIFT, &events);
}

#[test]
fn killed_pretraining_goes_on_to_the_same_model() {
    let events = [step("model", 3), step("model", 7)];
    killed_and_undisturbed_agree("scratch", FROM_SCRATCH, &events);
}

#[test]
fn ctrl_c_stops_after_the_step_with_a_checkpoint() {
    let place = Workplace::new();
    place.write("scratch.yaml", FROM_SCRATCH);
    // No checkpoint is due before the end, so the one that is gone on from is made by the stop.
    let args = [
        "run",
        "scratch.yaml",
        "--set",
        "stages.model.pretrain.checkpoint_every=12",
    ];
    let log = ".promot/runs/scratch-seed0/events.jsonl";
    let code = kill_at(&place, place.start(&args), log, &step("model", 2), "-INT");
    assert_eq!(code, Some(130));
    let resumed = place.run(&args).success();
    assert!(
        resumed.stderr.contains("model: goes on from step"),
        "{}",
        resumed.stderr
    );
    let undisturbed = Workplace::new();
    undisturbed.write("scratch.yaml", FROM_SCRATCH);
    undisturbed.run(&args).success();
    assert_eq!(place.results(), undisturbed.results());
}

const LOG_FROM_SCRATCH: &str = ".promot/runs/scratch-seed0/events.jsonl";

/// As when a terminal is closed, or the disk of a log is full.
#[test]
fn a_run_that_nobody_listens_to_goes_on_and_can_be_stopped() {
    let place = Workplace::new();
    place.write("scratch.yaml", FROM_SCRATCH);
    let start = || {
        let mut child = place.start_with_env(&["run", "scratch.yaml"], &[]);
        drop(child.stderr.take());
        child
    };
    let event = step("model", 2);
    let code = kill_at(&place, start(), LOG_FROM_SCRATCH, &event, "-TERM");
    assert_eq!(code, Some(130));
    assert_eq!(start().wait().unwrap().code(), Some(0));
    let undisturbed = Workplace::new();
    undisturbed.write("scratch.yaml", FROM_SCRATCH);
    undisturbed.run(&["run", "scratch.yaml"]).success();
    assert_eq!(place.results(), undisturbed.results());
}

/// As under `nohup`, or in the background of a script.
#[test]
#[cfg(target_os = "linux")]
fn signals_that_a_run_was_started_to_ignore_do_not_stop_it() {
    let place = Workplace::new();
    place.write("scratch.yaml", FROM_SCRATCH);
    for signal in ["-HUP", "-INT"] {
        let _ = fs::remove_dir_all(place.path(".promot"));
        let child = Command::new("sh")
            .args(["-c", "trap '' HUP INT; exec \"$0\" run scratch.yaml"])
            .arg(program())
            .current_dir(place.path(""))
            .spawn();
        let event = step("model", 2);
        let code = kill_at(&place, child.unwrap(), LOG_FROM_SCRATCH, &event, signal);
        assert_eq!(code, Some(0), "{signal}");
    }
}

/// What is stored is used until there is something new, and what was computed of that is not lost, either.
#[test]
fn a_killed_forced_run_loses_nothing() {
    let place = Workplace::new();
    let pipeline = WITH_CHECKPOINTS.replace("steps: 5", "steps: 9");
    place.write("kept.yaml", pipeline);
    place.run(&["run", "kept.yaml"]).success();
    let whole = place.results();
    let log = ".promot/runs/kept-seed0/events.jsonl";
    let force = ["run", "kept.yaml", "--force", "tuned"];
    // Before the first checkpoint, when one is kept, and when it goes on from that.
    for event in [step("tuned", 1), step("tuned", 3), step("tuned", 6)] {
        fs::remove_file(place.path(log)).unwrap();
        let code = kill_at(&place, place.start(&force), log, &event, "-KILL");
        assert_eq!(code, None, "killed, not ended");
        let plan = place.run(&["plan", "kept.yaml"]).success();
        let words = "0 to run, 8 cached\n";
        assert!(plan.stdout.ends_with(words), "{}", plan.stdout);
        let report = place.run(&["report", "kept.yaml"]).success();
        let run = place.run(&["run", "kept.yaml"]).success();
        assert_eq!(run.stdout, report.stdout);
        assert!(run.stderr.contains("tuned: cached"), "{}", run.stderr);
        assert!(!run.stderr.contains(": done in"), "{}", run.stderr);
    }
    let resumed = place.run(&force).success();
    let words = "tuned: goes on from step";
    assert!(resumed.stderr.contains(words), "{}", resumed.stderr);
    // And nothing is left of the way there.
    assert_eq!(place.results(), whole);
    // Finished, it is not gone on from: the next one begins again.
    let again = place.run(&force).success();
    assert!(again.stderr.contains("tuned: done in"), "{}", again.stderr);
    assert!(!again.stderr.contains(words), "{}", again.stderr);
    assert_eq!(place.results(), whole);
}

/// The work of a forced run is for forced runs; an ordinary one that finishes the stage needs none of it.
#[test]
fn a_forced_run_of_what_was_never_finished_leaves_nothing_behind() {
    let place = Workplace::new();
    place.write("scratch.yaml", FROM_SCRATCH);
    let child = place.start(&["run", "scratch.yaml", "--force", "model"]);
    let event = step("model", 3);
    kill_at(&place, child, LOG_FROM_SCRATCH, &event, "-KILL");
    place.run(&["run", "scratch.yaml"]).success();
    let undisturbed = Workplace::new();
    undisturbed.write("scratch.yaml", FROM_SCRATCH);
    undisturbed.run(&["run", "scratch.yaml"]).success();
    assert_eq!(place.results(), undisturbed.results());
}

/// What was computed again is not to be computed once more.
#[test]
fn a_forced_run_that_is_stopped_says_how_to_go_on() {
    const PROMPT_AND_MODEL: &str = "\
version: 1
name: scratch
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  prompt: { prompt_tune: { on: rte, length: 4, steps: 8, checkpoint_every: 2, batch_size: 8 } }
  tuned: { model_tune: { on: rte, prompt: prompt, steps: 8, checkpoint_every: 2, batch_size: 8 } }
";
    let place = Workplace::new();
    place.write("scratch.yaml", PROMPT_AND_MODEL);
    place.run(&["run", "scratch.yaml"]).success();
    let (prompt, tuned) = (["--force", "prompt"], ["--force", "tuned"]);
    for (force, stopped_in, hint) in [
        (
            [tuned, prompt].concat(),
            "prompt",
            "run the same command again; without --force, what is stored is used",
        ),
        (
            [tuned, prompt].concat(),
            "tuned",
            "run the same command again with --force tuned only; without --force, what is stored is used",
        ),
    ] {
        fs::remove_file(place.path(LOG_FROM_SCRATCH)).unwrap();
        let args = [&["run", "scratch.yaml"][..], &force].concat();
        let mut child = place.start_with_env(&args, &[]);
        let mut said = child.stderr.take().unwrap();
        let event = step(stopped_in, 2);
        let code = kill_at(&place, child, LOG_FROM_SCRATCH, &event, "-INT");
        assert_eq!(code, Some(130));
        let mut text = String::new();
        said.read_to_string(&mut text).unwrap();
        let hint = format!("hint: to go on, {hint}\n");
        assert!(text.ends_with(&hint), "{text}");
    }
    let resumed = place.run(&["run", "scratch.yaml", "--force", "tuned"]);
    let words = "tuned: goes on from step";
    assert!(
        resumed.success().stderr.contains(words),
        "as the hint says it"
    );

    // Stopped in a stage that is not stored, behind one that is computed again.
    let other = "stages.tuned.model_tune.steps=9";
    let mut args = vec!["run", "scratch.yaml", "--set", other, "--force", "prompt"];
    fs::remove_file(place.path(LOG_FROM_SCRATCH)).unwrap();
    let mut child = place.start_with_env(&args, &[]);
    let mut said = child.stderr.take().unwrap();
    let event = step("tuned", 2);
    kill_at(&place, child, LOG_FROM_SCRATCH, &event, "-INT");
    let mut text = String::new();
    said.read_to_string(&mut text).unwrap();
    let hint = "hint: to go on, run the same command without --force\n";
    assert!(text.ends_with(hint), "{text}");
    args.truncate(4);
    let resumed = place.run(&args).success();
    assert!(resumed.stderr.contains(words), "{}", resumed.stderr);
}

#[test]
fn what_is_finished_can_be_used_while_others_hold_it() {
    let place = Workplace::new();
    place.write("scratch.yaml", FROM_SCRATCH);
    place.run(&["run", "scratch.yaml"]).success();
    let stages = fs::read_dir(place.path(".promot/stages")).unwrap();
    let locks: Vec<fs::File> = stages
        .map(|stage| fs::File::open(stage.unwrap().path().join("lock")).unwrap())
        .collect();
    locks.iter().for_each(|lock| lock.lock().unwrap());
    let again = place.run(&["run", "scratch.yaml"]).success();
    assert!(again.stderr.contains("model: cached"), "{}", again.stderr);
    let forced = place.run(&["run", "scratch.yaml", "--force", "model"]);
    assert_eq!(forced.code, Some(1), "{}", forced.all());
}

#[test]
fn two_runs_do_not_work_on_one_stage() {
    let place = Workplace::new();
    place.write("scratch.yaml", FROM_SCRATCH);
    let args = [
        "run",
        "scratch.yaml",
        "--set",
        "stages.model.pretrain.steps=100000",
    ];
    let mut child = place.start(&args);
    let log = place.path(".promot/runs/scratch-seed0/events.jsonl");
    while !fs::read_to_string(&log)
        .unwrap_or_default()
        .contains(&step("model", 1))
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = place.run(&args);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(second.code, Some(1), "{}", second.all());
    assert!(
        second.stderr.contains("another run is working in"),
        "{}",
        second.stderr
    );
}

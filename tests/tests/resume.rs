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

/// With `--force` a stage starts again, so that is not how to go on.
#[test]
fn a_forced_run_that_is_stopped_says_how_to_go_on() {
    let place = Workplace::new();
    place.write("scratch.yaml", FROM_SCRATCH);
    place.run(&["run", "scratch.yaml"]).success();
    fs::remove_file(place.path(LOG_FROM_SCRATCH)).unwrap();
    let mut child = place.start_with_env(&["run", "scratch.yaml", "--force", "model"], &[]);
    let mut said = child.stderr.take().unwrap();
    let code = kill_at(&place, child, LOG_FROM_SCRATCH, &step("model", 2), "-INT");
    assert_eq!(code, Some(130));
    let mut text = String::new();
    said.read_to_string(&mut text).unwrap();
    let hint = "hint: to go on, run the same command without --force\n";
    assert!(text.ends_with(hint), "{text}");
    let resumed = place.run(&["run", "scratch.yaml"]).success();
    let words = "model: goes on from step";
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

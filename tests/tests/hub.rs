//! Base models of the Hugging Face Hub: fetched when a run needs them, used without the network
//! afterwards.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use promot_tests::hub_server::HubServer;
use promot_tests::{Workplace, root};

const PIPELINE: &str = "\
version: 1
name: small
model: hf:someone/mini-t5
stages:
  rte: { data: { task: rte, train_rows: 40, dev_rows: 4 } }
  prompt: { prompt_tune: { on: rte, length: 3, steps: 2, checkpoint_every: 1, batch_size: 4 } }
  table:
    eval:
      models: { Pretrained: base, Prompt: { model: base, prompt: prompt } }
      target: rte
      tasks: [triviaqa]
      rows: 4
      beams: 1
      max_new_tokens: 8
";

/// A hub with the built-in model's files.
fn hub() -> HubServer {
    let assets = root().join("crates/promot-pipeline/assets/mini-t5");
    let files = ["config.json", "model.safetensors", "tokenizer.json"]
        .map(|name| (name, fs::read(assets.join(name)).expect("an asset")));
    HubServer::start("models/someone/mini-t5", files)
}

fn place() -> Workplace {
    let place = Workplace::new();
    place.write("small.yaml", PIPELINE);
    place
}

/// Files in the cache's directory of content.
fn blobs(place: &Workplace) -> Vec<PathBuf> {
    let blobs = place.path("hf/hub/models--someone--mini-t5/blobs");
    let entries = fs::read_dir(blobs).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[test]
fn a_model_of_the_hub_is_fetched_once() {
    let (server, place) = (hub(), place());
    let endpoint = server.endpoint();
    let home = place.path("hf").display().to_string();
    let online = [
        ("HF_ENDPOINT", endpoint.as_str()),
        ("HF_HOME", home.as_str()),
    ];

    // Looking at a pipeline fetches the configuration and no weights.
    for command in ["validate", "plan", "graph"] {
        place
            .run_with_env(&[command, "small.yaml"], &online)
            .success();
    }
    assert_eq!(blobs(&place).len(), 1);

    let run = place
        .run_with_env(&["run", "small.yaml"], &online)
        .success();
    let line = "someone/mini-t5/model.safetensors: downloaded 2.9 MB\n";
    assert!(run.stderr.contains(line), "{}", run.stderr);
    assert_eq!(blobs(&place).len(), 3);
    // It is the same model as the one in the program.
    let builtin = Workplace::new();
    builtin.write("small.yaml", PIPELINE.replace("hf:someone/", "builtin:"));
    let same = builtin.run(&["run", "small.yaml"]).success();
    assert_eq!(run.stdout, same.stdout);

    // Without the network, without the server, and without the results.
    drop(server);
    fs::remove_dir_all(place.path(".promot")).unwrap();
    let offline = [online[0], online[1], ("HF_HUB_OFFLINE", "1")];
    let again = place
        .run_with_env(&["run", "small.yaml"], &offline)
        .success();
    assert_eq!(again.stdout, run.stdout);
    assert!(again.stderr.contains("prompt: done") && !again.stderr.contains("download"));
    // The key is the same whether the hub says the commit or the cache.
    let plan = place
        .run_with_env(&["plan", "small.yaml"], &online)
        .success();
    assert!(
        plan.stdout.ends_with("0 to run, 3 cached\n"),
        "{}",
        plan.stdout
    );
    let question = ["generate", "--model", "hf:someone/mini-t5", "Anna is tall."];
    let answer = place.run_with_env(&question, &offline).success();
    let expected = place.run(&["generate", "Anna is tall."]).success();
    assert_eq!(answer.stdout, expected.stdout);
}

#[test]
fn rows_of_the_hub_are_fetched_once() {
    let row = |i: usize| {
        format!(
            r#"{{"premise": "Number {i} is tall.", "hypothesis": "Number {i} is short.", "label": "not_entailment"}}"#
        ) + "\n"
    };
    let rows = |range: std::ops::Range<usize>| range.map(row).collect::<String>().into_bytes();
    let server = HubServer::start(
        "datasets/someone/rows",
        [
            ("README.md", b"about the rows".to_vec()),
            ("data/train-0.jsonl", rows(0..30)),
            ("data/train-1.jsonl", rows(30..60)),
            ("data/validation.jsonl", rows(60..70)),
        ],
    );
    let place = Workplace::new();
    place.write(
        "rows.yaml",
        "\
version: 1
name: rows
model: builtin:mini-t5
stages:
  rte:
    data:
      task: rte
      source:
        jsonl:
          train: hf:someone/rows:data/train-*.jsonl
          validation: hf:someone/rows@main:data/validation.jsonl
  table: { eval: { models: { Pretrained: base }, target: rte, beams: 1, max_new_tokens: 4 } }
",
    );
    let endpoint = server.endpoint();
    let home = place.path("hf").display().to_string();
    let online = [
        ("HF_ENDPOINT", endpoint.as_str()),
        ("HF_HOME", home.as_str()),
    ];
    let plan = place
        .run_with_env(&["plan", "rows.yaml"], &online)
        .success();
    assert!(plan.stdout.contains("2 to run"), "{}", plan.stdout);
    let fetched = |file: &str| server.requests().iter().any(|r| r.path.ends_with(file));
    place
        .run_with_env(&["validate", "rows.yaml"], &online)
        .success();
    assert!(!fetched("train-0.jsonl"), "only a run fetches rows");

    let run = place.run_with_env(&["run", "rows.yaml"], &online).success();
    assert!(fetched("train-1.jsonl") && fetched("validation.jsonl"));
    assert!(!fetched("README.md"), "only what was asked for");
    let table = run.stdout.lines().find(|line| line.starts_with("RTE"));
    let words: Vec<_> = table.expect("a line of RTE").split_whitespace().collect();
    assert!(words.contains(&"10"), "ten rows: {words:?}");

    drop(server);
    fs::remove_dir_all(place.path(".promot")).unwrap();
    let offline = [online[0], online[1], ("HF_HUB_OFFLINE", "1")];
    let again = place
        .run_with_env(&["run", "rows.yaml"], &offline)
        .success();
    assert_eq!(again.stdout, run.stdout);
}

#[test]
fn offline_with_an_empty_cache() {
    let place = place();
    let home = place.path("hf").display().to_string();
    let offline = [("HF_HOME", home.as_str()), ("HF_HUB_OFFLINE", "1")];
    let printed = place.run_with_env(&["run", "small.yaml"], &offline);
    assert_eq!(printed.code, Some(2), "{}", printed.all());
    let expected = format!(
        "\
error: `model`: hf:someone/mini-t5: revision `main` is not in the cache {home}/hub, and \
HF_HUB_OFFLINE is set
  --> small.yaml:3:8
  |
3 | model: hf:someone/mini-t5
  |        ^
  hint: run once with the network, without HF_HUB_OFFLINE
1 problem; nothing was run
"
    );
    assert_eq!(printed.stderr, expected);
    let question = ["generate", "--model", "hf:someone/mini-t5", "x"];
    let printed = place.run_with_env(&question, &offline);
    assert_eq!(printed.code, Some(2), "{}", printed.all());
    assert!(
        printed
            .stderr
            .starts_with("error: hf:someone/mini-t5: revision `main`")
    );
}

/// What cannot be reached is nobody's bad input, whichever command finds out; what is not there is.
#[test]
fn every_command_has_the_same_exit_code_for_a_hub_that_fails() {
    let place = place();
    let rows = "{ jsonl: { train: hf:a/b:*.jsonl, validation: hf:a/b:*.jsonl } }";
    let rows = format!("stages.rte.data.source={rows}");
    // A port where nobody listens any more.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let closed = format!("http://{}", address.unwrap());
    let empty = HubServer::start("models/someone/else", []);
    let home = place.path("hf").display().to_string();
    let pipeline = ["small.yaml", "--set", &rows];
    let question = ["generate", "--model", "hf:someone/mini-t5", "x"];
    for (endpoint, code) in [(closed, 1), (empty.endpoint(), 2)] {
        let variables = [("HF_ENDPOINT", endpoint.as_str()), ("HF_HOME", &home)];
        for command in ["validate", "plan", "graph", "preflight", "run", "report"] {
            // The model is at fault, or rows are.
            let built_in = ["--set", "model=builtin:mini-t5"];
            for args in [
                [&[command][..], &pipeline[..1]].concat(),
                [&[command], &pipeline[..], &built_in].concat(),
            ] {
                let printed = place.run_with_env(&args, &variables);
                assert_eq!(printed.code, Some(code), "{args:?}: {}", printed.all());
                let start = printed.stderr.starts_with("error: `");
                assert!(start, "{}", printed.all());
            }
        }
        let printed = place.run_with_env(&question, &variables);
        assert_eq!(printed.code, Some(code), "{}", printed.all());
        // A mistake in the file is one with the network, too.
        let mistaken = ["validate", "small.yaml", "--set", "seed=x"];
        let printed = place.run_with_env(&mistaken, &variables);
        assert_eq!(printed.code, Some(2), "{}", printed.all());
        assert!(printed.stderr.contains("2 problems"), "{}", printed.all());
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_during_a_download_keeps_what_has_arrived() {
    use std::process::Command;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    let (server, place) = (hub(), place());
    let endpoint = server.endpoint();
    let home = place.path("hf").display().to_string();
    let online = [
        ("HF_ENDPOINT", endpoint.as_str()),
        ("HF_HOME", home.as_str()),
    ];
    // The connection breaks and stays broken, so the program waits to try again.
    server.cut_once("model.safetensors", 1_000_000);
    for _ in 0..3 {
        server.cut_once("model.safetensors", 0);
    }
    let child = place.start_with_env(&["run", "small.yaml"], &online);
    let begun = Instant::now();
    let has_part = || {
        let mut sizes = blobs(&place)
            .into_iter()
            .map(|path| fs::metadata(path).map(|m| m.len()));
        sizes.any(|size| size.is_ok_and(|size| size == 1_000_000))
    };
    while !has_part() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing arrives");
        sleep(Duration::from_millis(20));
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    let expected = "stopped while downloading someone/mini-t5/model.safetensors; what has \
                    arrived is kept\n  hint: run the same command again to go on\n";
    assert!(stderr.ends_with(expected), "{stderr}");

    let goes_on = hub();
    let endpoint = goes_on.endpoint();
    let online = [
        ("HF_ENDPOINT", endpoint.as_str()),
        ("HF_HOME", home.as_str()),
    ];
    place
        .run_with_env(&["run", "small.yaml", "--only", "rte"], &online)
        .success();
    let ranges: Vec<_> = goes_on
        .requests()
        .into_iter()
        .filter(|request| request.of_storage)
        .map(|request| request.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges, [Some("bytes=1000000-".to_owned())]);
}

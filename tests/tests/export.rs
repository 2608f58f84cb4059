//! `export`: what transformers and PEFT are given, and what cannot be exported.

use std::fs;
use std::path::Path;

use promot_tests::Workplace;
use serde_json::Value;

const PIPELINE: &str = "\
version: 1
name: two-steps
model: builtin:mini-t5
stages:
  rte: { data: { task: rte, train_rows: 80, dev_rows: 8 } }
  prompt: { prompt_tune: { on: rte, length: 4, steps: 2, checkpoint_every: 2, batch_size: 4 } }
  tuned: { model_tune: { on: rte, steps: 2, checkpoint_every: 2, batch_size: 4 } }
";

fn finished() -> Workplace {
    let place = Workplace::new();
    place.write("two.yaml", PIPELINE);
    place.run(&["run", "two.yaml"]).success();
    place
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_model_and_its_prompt_are_exported_and_answer_as_before() {
    let place = finished();
    let (model, sharded, prompt) = (
        place.path("model"),
        place.path("sharded"),
        place.path("prompt"),
    );
    let exported = place
        .run(&["export", "two.yaml", "tuned", "model"])
        .success();
    assert_eq!(
        (exported.stdout.as_str(), exported.stderr.as_str()),
        ("", "tuned: model\n")
    );
    assert_eq!(
        names(&model),
        [
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    // transformers 5 takes this as the sign of unscaled logits.
    assert_eq!(
        json(&model.join("config.json"))["tie_word_embeddings"],
        false
    );
    assert_eq!(
        json(&model.join("generation_config.json"))["eos_token_id"],
        1
    );
    assert_eq!(
        json(&model.join("tokenizer_config.json"))["eos_token"],
        "</s>"
    );

    let args = [
        "export",
        "two.yaml",
        "tuned",
        "sharded",
        "--max-shard-size",
        "2MB",
    ];
    place.run(&args).success();
    let index = json(&sharded.join("model.safetensors.index.json"));
    let single = fs::metadata(model.join("model.safetensors")).unwrap().len();
    let total = index["metadata"]["total_size"].as_u64().unwrap();
    assert!(
        total < single && total > single * 9 / 10,
        "{total} of {single}"
    );
    let shards: Vec<String> = names(&sharded);
    let shards: Vec<&String> = shards.iter().filter(|n| n.starts_with("model-")).collect();
    assert!(shards.len() > 2, "{shards:?}");
    for shard in shards {
        assert!(
            fs::metadata(sharded.join(shard)).unwrap().len() < 2_100_000,
            "{shard}"
        );
    }

    place
        .run(&[
            "export",
            "two.yaml",
            "prompt",
            "prompt",
            "--base",
            "some/model",
        ])
        .success();
    assert_eq!(
        names(&prompt),
        ["adapter_config.json", "adapter_model.safetensors"]
    );
    let config = json(&prompt.join("adapter_config.json"));
    assert_eq!(config["base_model_name_or_path"], "some/model");
    assert_eq!(
        (&config["num_virtual_tokens"], &config["token_dim"]),
        (&4.into(), &128.into())
    );

    let artifact = |kind: &str| {
        let path = place.results().into_keys().find(|path| path.contains(kind));
        path.unwrap().rsplit_once('/').unwrap().0.to_owned()
    };
    let answer = |model: &str, prompt: &str| {
        let question = "question: Where does Anna live? answer:";
        let args = ["generate", "--model", model, "--prompt", prompt, question];
        place.run(&args).success().stdout
    };
    let expected = answer(&artifact("model_tune"), &artifact("prompt_tune"));
    assert_eq!(answer("model", "prompt"), expected);
    assert_eq!(answer("sharded", "prompt"), expected);

    // The model that the prompt was tuned on.
    place.run(&["export", "two.yaml", "base", "base"]).success();
    assert_eq!(names(&place.path("base")), names(&model));
    assert_eq!(
        answer("base", "prompt"),
        answer("builtin:mini-t5", "prompt")
    );

    // Over what is there, at half the size.
    let again = [
        "export",
        "two.yaml",
        "tuned",
        "sharded",
        "--precision",
        "bf16",
        "--force",
    ];
    place.run(&again).success();
    assert_eq!(names(&sharded), names(&model));
    let half = fs::metadata(sharded.join("model.safetensors"))
        .unwrap()
        .len();
    assert!(half < single * 6 / 10, "{half} of {single}");
}

#[test]
fn what_cannot_be_exported_is_bad_input() {
    let place = Workplace::new();
    place.write("two.yaml", PIPELINE);
    place.write("full/notes.txt", "mine");
    let refuse = |args: &[&str], expected: &str| {
        let printed = place.run(&[&["export", "two.yaml"], args].concat());
        assert_eq!(printed.code, Some(2), "{}", printed.all());
        assert!(printed.stderr.contains(expected), "{}", printed.stderr);
    };
    refuse(
        &["tuned", "out"],
        "error: stage `tuned` has not been run\n  hint: run it first: promot-pipeline run two.yaml --only tuned",
    );
    refuse(
        &["tunde", "out"],
        "error: unknown stage `tunde`\n  hint: did you mean `tuned`?",
    );
    refuse(
        &["rte", "out"],
        "error: stage `rte` (data) makes no model, prompt or table\n  hint: expected one of ",
    );
    refuse(
        &["tuned", "out", "--base", "x"],
        "error: --base: `tuned` makes no prompt\n  hint: only a prompt has a base model",
    );
    refuse(
        &["tuned", "out", "--max-shard-size", "5"],
        "`5` is no size, expected a number with KB, MB, GB or TB",
    );
    assert!(!place.path("out").exists());

    place
        .run(&["run", "two.yaml", "--only", "prompt"])
        .success();
    refuse(
        &["prompt", "full"],
        "error: full is not empty\n  hint: choose another directory",
    );
    refuse(
        &["prompt", "two.yaml"],
        "error: two.yaml is a file\n  hint: expected a directory",
    );
    let artifact = place
        .results()
        .into_keys()
        .find(|path| path.contains("prompt_tune"));
    let artifact = artifact.unwrap().rsplit_once('/').unwrap().0.to_owned();
    refuse(
        &["prompt", &artifact, "--force"],
        "is in the store\n  hint: export to another directory",
    );
    place
        .run(&["export", "two.yaml", "prompt", "full", "--force"])
        .success();
    let names = names(&place.path("full"));
    assert_eq!(
        names,
        [
            "adapter_config.json",
            "adapter_model.safetensors",
            "notes.txt"
        ]
    );
}

//! The direction of dependencies between our crates.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use promot_tests::root;

#[test]
fn data_and_model_meet_in_core_only() {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let ours = package["dependencies"].as_array().unwrap().iter();
        let ours = ours
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| dependency["name"].as_str().unwrap())
            .filter(|name| name.starts_with("promot-"));
        edges.insert(package["name"].as_str().unwrap(), ours.collect());
    }
    let expected = BTreeMap::from([
        ("promot-amx-emulator", BTreeSet::new()),
        (
            "promot-benches",
            BTreeSet::from(["promot-core", "promot-model"]),
        ),
        ("promot-core", BTreeSet::new()),
        ("promot-cuda-emulator", BTreeSet::new()),
        ("promot-data", BTreeSet::from(["promot-core"])),
        ("promot-model", BTreeSet::from(["promot-core"])),
        (
            "promot-pipeline",
            BTreeSet::from(["promot-core", "promot-data", "promot-model"]),
        ),
        ("promot-tests", BTreeSet::from(["promot-core"])),
    ]);
    assert_eq!(edges, expected);
}

#[test]
fn core_knows_no_tensors_no_yaml_and_no_graphs() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "promot-core",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--offline", "--format", "{lib}"])
        .current_dir(root())
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("serde"), "{tree}");
    for alien in ["dfdx", "serde_yaml", "petgraph", "clap", "tokenizers"] {
        assert!(
            !tree.lines().any(|line| line == alien),
            "{alien} in\n{tree}"
        );
    }
}

//! Which files of a repository are fetched, and which are refused.

use super::*;

#[test]
fn pickles_are_refused_before_anything_is_fetched() {
    let mut files = model_files();
    files.retain(|(name, _)| !name.ends_with(".safetensors"));
    let fixture = Fixture::new(files);
    let error = fixture.error();
    assert_eq!(
        error.to_string(),
        "hf:a/b: has pickled weights only (pytorch_model.bin), no safetensors"
    );
    assert!(error.hint().unwrap().contains("refs/pr/1"));
    assert_eq!(fixture.server.requests().len(), 1);
}

#[test]
fn a_model_without_a_tokenizer_is_refused_before_anything_is_fetched() {
    let mut files = model_files();
    files.retain(|(name, _)| *name != "tokenizer.json");
    let fixture = Fixture::new(files);
    assert_eq!(
        fixture.error().to_string(),
        "hf:a/b: there is no tokenizer.json"
    );
    assert_eq!(fixture.server.requests().len(), 1);
}

fn sharded(index: &str) -> Fixture {
    let mut files = model_files();
    files.retain(|(name, _)| *name != "model.safetensors");
    files.push(("model.safetensors.index.json", index.as_bytes().to_vec()));
    files.push(("one.safetensors", b"one".to_vec()));
    files.push(("two.safetensors", b"two".to_vec()));
    files.push(("unused.safetensors", b"three".to_vec()));
    Fixture::new(files)
}

#[test]
fn shards_are_those_that_the_index_names() {
    let index = r#"{"weight_map": {"x": "one.safetensors", "y": "two.safetensors", "z": "one.safetensors"}}"#;
    // Some editors put a byte order mark before it.
    let fixture = sharded(&format!("\u{feff}{index}"));
    let directory = fixture.fetch(&Hub::new(fixture.settings())).unwrap();
    assert_eq!(fs::read(directory.join("two.safetensors")).unwrap(), b"two");
    assert!(!directory.join("unused.safetensors").exists());
    assert_eq!(fixture.ranges().len(), 2);
    assert_eq!(fixture.fetch(&fixture.offline()).unwrap(), directory);
    // Half of the shards are no model.
    fs::remove_file(directory.join("one.safetensors")).unwrap();
    let error = fixture.fetch(&fixture.offline()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("hf:a/b: one.safetensors is not in"),
        "{error}"
    );
}

#[test]
fn an_index_cannot_name_files_elsewhere() {
    for name in ["../x", "/etc/passwd", "a/b.safetensors", "..\\\\x", ""] {
        let fixture = sharded(&format!(r#"{{"weight_map": {{"x": "{name}"}}}}"#));
        let error = fixture.error();
        assert!(
            matches!(error, HubError::UnsafeName { .. }),
            "{name}: {error}"
        );
        assert!(error.is_bad_input());
    }
    let error = sharded(r#"{"weight_map": {"x": "three.safetensors"}}"#).error();
    assert_eq!(error.to_string(), "hf:a/b: there is no three.safetensors");
    let error = sharded("{").error();
    assert!(
        error
            .to_string()
            .starts_with("model.safetensors.index.json: EOF"),
        "{error}"
    );
}

#[test]
fn files_of_a_data_set_are_chosen_by_pattern() {
    let files = vec![
        ("README.md", b"text".to_vec()),
        ("default/test/0000.parquet", b"test".to_vec()),
        ("default/train/0001.parquet", b"train 1".to_vec()),
        ("default/train/0000.parquet", b"train 0".to_vec()),
    ];
    let fixture = Fixture::of("datasets/a/b", files);
    let repository = Repository::dataset("a/b@refs/convert/parquet").unwrap();
    let fetch = |hub: &Hub, pattern: &str| {
        let files = hub.dataset_files(&repository, pattern)?;
        fixture.watched(|watch| files.fetch(hub, watch))?;
        Ok::<_, HubError>(files.paths())
    };
    let hub = Hub::new(fixture.settings());
    let train = fetch(&hub, "*/train/*.parquet").unwrap();
    let contents: Vec<_> = train.iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(contents, [b"train 0", b"train 1"]);
    assert!(train[0].ends_with(format!("snapshots/{COMMIT}/default/train/0000.parquet")));
    let root = fixture.cache.path().join("datasets--a--b");
    let noted = fs::read_to_string(root.join("refs/refs/convert/parquet")).unwrap();
    assert_eq!(noted, COMMIT);
    #[cfg(unix)]
    assert!(
        fs::read_link(&train[0])
            .unwrap()
            .starts_with("../../../../blobs")
    );
    // Offline the same files; one that was never fetched is missed, not left out.
    assert_eq!(
        fetch(&fixture.offline(), "*/train/*.parquet").unwrap(),
        train
    );
    let error = fetch(&fixture.offline(), "**/*.parquet").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("default/test/0000.parquet is not in"),
        "{error}"
    );
    // `*` does not cross directories.
    let error = fetch(&hub, "*.parquet").unwrap_err();
    assert_eq!(
        error.to_string(),
        "hf:a/b@refs/convert/parquet: no file matches `*.parquet`"
    );
    let error = fetch(&hub, "a/***").unwrap_err();
    assert!(matches!(error, HubError::Pattern { .. }), "{error}");
}

#[test]
fn files_that_a_listing_names_elsewhere_are_refused() {
    let fixture = Fixture::of("datasets/a/b", vec![("../../x.parquet", b"x".to_vec())]);
    let repository = Repository::dataset("a/b").unwrap();
    let hub = Hub::new(fixture.settings());
    let files = hub.dataset_files(&repository, "**/*").unwrap();
    let outcome = fixture.watched(|watch| files.fetch(&hub, watch));
    let error = outcome.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a/b: names \"../../x.parquet\", which is not a file of the repository"
    );
}

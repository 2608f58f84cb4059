//! What is in the cache, and what needs no server.

use super::*;

#[test]
fn files_lie_where_hugging_face_tools_look_for_them() {
    let fixture = Fixture::new(model_files());
    let directory = fixture.fetch(&Hub::new(fixture.settings())).unwrap();
    assert_eq!(directory, fixture.in_cache("snapshots").join(COMMIT));
    assert_eq!(
        fs::read_to_string(fixture.in_cache("refs/main")).unwrap(),
        COMMIT
    );
    let mut names: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        fs::read(directory.join("model.safetensors")).unwrap(),
        weights()
    );
    let digest = |content: &[u8]| Digest::of(content).to_string();
    #[cfg(unix)]
    {
        let target = |name: &str| fs::read_link(directory.join(name)).unwrap();
        let config = digest(b"{\"d_model\": 8}");
        assert_eq!(
            target("config.json"),
            Path::new("../../blobs").join(&config[..40])
        );
        assert_eq!(
            target("model.safetensors"),
            Path::new("../../blobs").join(digest(&weights()))
        );
    }
    // Every download is told from its beginning to its end.
    let told = fixture.told.lock().unwrap();
    let of_weights: Vec<_> = told
        .iter()
        .filter(|(file, ..)| file == "a/b/model.safetensors")
        .map(|&(_, done, total)| (done, total))
        .collect();
    assert_eq!(of_weights.first(), Some(&(0, 400_000)));
    assert_eq!(of_weights.last(), Some(&(400_000, 400_000)));
}

#[test]
fn what_is_cached_is_silent_and_needs_no_server() {
    let fixture = Fixture::new(model_files());
    let first = fixture.fetch(&Hub::new(fixture.settings())).unwrap();
    fixture.told.lock().unwrap().clear();
    fixture.server.forget_requests();
    // With the hub at hand only the revision is asked for, and a commit not even that.
    assert_eq!(fixture.fetch(&Hub::new(fixture.settings())).unwrap(), first);
    assert_eq!(fixture.server.requests().len(), 1);
    let pinned = Repository::model(&format!("a/b@{COMMIT}")).unwrap();
    Hub::new(fixture.settings()).resolve(&pinned).unwrap();
    assert_eq!(fixture.server.requests().len(), 1);
    // Offline, and with a server that is gone.
    assert_eq!(fixture.fetch(&fixture.offline()).unwrap(), first);
    let gone = Hub::new(Settings {
        endpoint: "http://127.0.0.1:1".to_owned(),
        ..fixture.settings()
    });
    assert_eq!(fixture.fetch(&gone).unwrap(), first);
    assert_eq!(fixture.server.requests().len(), 1);
    assert!(fixture.told.lock().unwrap().is_empty());
}

#[test]
fn a_cache_that_only_other_tools_have_filled_is_enough() {
    let fixture = Fixture::new(model_files());
    let first = fixture.fetch(&Hub::new(fixture.settings())).unwrap();
    fs::remove_dir_all(fixture.in_cache(".listings")).unwrap();
    assert_eq!(fixture.fetch(&fixture.offline()).unwrap(), first);
    // Without the weights it says what is missing.
    fs::remove_file(first.join("model.safetensors")).unwrap();
    let error = fixture.fetch(&fixture.offline()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "hf:a/b: model.safetensors is not in the cache {}, and HF_HUB_OFFLINE is set",
            fixture.cache.path().display()
        )
    );
}

#[test]
fn offline_with_an_empty_cache_says_so() {
    let fixture = Fixture::new(model_files());
    let error = fixture.fetch(&fixture.offline()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("hf:a/b: revision `main` is not in the cache "),
        "{text}"
    );
    assert_eq!(
        error.hint().unwrap(),
        "run once with the network, without HF_HUB_OFFLINE"
    );
    assert!(fixture.server.requests().is_empty());
}

//! The client against a server on the loopback interface that answers as the hub does.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use promot_core::{Digest, Event, StopFlag};
use promot_tests::hub_server::{HubServer, Request};
use tempfile::TempDir;

use super::*;

const COMMIT: &str = HubServer::COMMIT;

/// Weights large enough to arrive in several pieces.
fn weights() -> Vec<u8> {
    (0..400_000_u32).map(|i| (i * 31 % 251) as u8).collect()
}

fn model_files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("config.json", b"{\"d_model\": 8}".to_vec()),
        ("generation_config.json", b"{}".to_vec()),
        ("model.safetensors", weights()),
        ("pytorch_model.bin", b"pickle".to_vec()),
        ("tokenizer.json", b"{\"a\": 1}".to_vec()),
    ]
}

/// A server, a cache, and what was told about downloads.
struct Fixture {
    server: HubServer,
    cache: TempDir,
    told: Mutex<Vec<(String, u64, u64)>>,
    stop: StopFlag,
}

impl Fixture {
    fn new(files: Vec<(&str, Vec<u8>)>) -> Self {
        Self::of("models/a/b", files)
    }

    fn of(repository: &str, files: Vec<(&str, Vec<u8>)>) -> Self {
        Self {
            server: HubServer::start(repository, files),
            cache: tempfile::tempdir().unwrap(),
            told: Mutex::new(Vec::new()),
            stop: StopFlag::new(),
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            endpoint: self.server.endpoint(),
            cache: self.cache.path().to_owned(),
            token: None,
            offline: false,
            retry_after: Duration::from_millis(1),
        }
    }

    fn offline(&self) -> Hub {
        Hub::new(Settings {
            offline: true,
            // Nobody listens there.
            endpoint: "http://127.0.0.1:1".to_owned(),
            ..self.settings()
        })
    }

    fn watched<T>(&self, use_of: impl FnOnce(&Watch<'_>) -> T) -> T {
        let events = |event: Event| {
            if let Event::Download { file, done, total } = event {
                self.told.lock().unwrap().push((file, done, total));
            }
        };
        use_of(&Watch {
            events: &events,
            stop: &self.stop,
        })
    }

    /// Resolves and fetches the model `a/b`.
    fn fetch(&self, hub: &Hub) -> Result<std::path::PathBuf, HubError> {
        let snapshot = hub.resolve(&Repository::model("a/b")?)?;
        self.watched(|watch| hub.fetch_model(&snapshot, watch))
    }

    fn error(&self) -> HubError {
        self.fetch(&Hub::new(self.settings())).unwrap_err()
    }

    fn requests(&self, method: &str, of_storage: bool) -> Vec<Request> {
        let mut requests = self.server.requests();
        requests.retain(|request| request.method == method && request.of_storage == of_storage);
        requests
    }

    fn ranges(&self) -> Vec<Option<String>> {
        let requests = self.requests("GET", true);
        let range = |request: &Request| request.headers.get("range").cloned();
        requests.iter().map(range).collect()
    }

    /// Path of a file in the cache's directory of the model.
    fn in_cache(&self, path: &str) -> std::path::PathBuf {
        self.cache.path().join("models--a--b").join(path)
    }
}

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

#[test]
fn a_connection_that_breaks_is_resumed_where_it_broke() {
    let fixture = Fixture::new(model_files());
    fixture.server.cut_once("model.safetensors", 150_000);
    fixture.server.cut_once("model.safetensors", 50_000);
    let directory = fixture.fetch(&Hub::new(fixture.settings())).unwrap();
    assert_eq!(
        fs::read(directory.join("model.safetensors")).unwrap(),
        weights()
    );
    let ranges = [None, Some("bytes=150000-"), Some("bytes=200000-")];
    assert_eq!(
        fixture.ranges(),
        ranges.map(|range| range.map(str::to_owned))
    );
}

#[test]
fn a_server_that_knows_no_ranges_is_heard_from_the_beginning() {
    let fixture = Fixture::new(model_files());
    fixture.server.cut_once("model.safetensors", 150_000);
    fixture.server.ignore_range_once("model.safetensors");
    let directory = fixture.fetch(&Hub::new(fixture.settings())).unwrap();
    let content = fs::read(directory.join("model.safetensors")).unwrap();
    assert!(content == weights());
    assert_eq!(fixture.ranges(), [None, Some("bytes=150000-".to_owned())]);
}

#[test]
fn a_renamed_repository_is_followed_with_the_token() {
    let fixture = Fixture::of("models/new/b", model_files());
    fixture.server.rename_from("models/a/b");
    fixture.server.require_token("hf_secret");
    let hub = Hub::new(Settings {
        token: Some("hf_secret".to_owned()),
        ..fixture.settings()
    });
    let snapshot = hub.resolve(&Repository::model("a/b").unwrap()).unwrap();
    assert_eq!(snapshot.commit(), COMMIT);
    assert_eq!(fixture.server.requests().len(), 2);
}

#[test]
fn a_stopped_download_keeps_its_part_and_the_next_goes_on() {
    let fixture = Fixture::new(model_files());
    let hub = Hub::new(fixture.settings());
    let snapshot = hub.resolve(&Repository::model("a/b").unwrap()).unwrap();
    fixture.server.cut_once("model.safetensors", 150_000);
    // The user stops while the client waits to ask again.
    let stop = StopFlag::new();
    let patient = Hub::new(Settings {
        retry_after: Duration::from_secs(600),
        ..fixture.settings()
    });
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while fixture.ranges().is_empty() {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(100));
            stop.request();
        });
        let watch = Watch {
            events: &|_: Event| {},
            stop: &stop,
        };
        patient
            .fetch(&snapshot, "model.safetensors", &watch)
            .unwrap_err()
    });
    assert!(matches!(error, HubError::Stopped { .. }), "{error}");
    assert!(
        error.to_string().contains("a/b/model.safetensors"),
        "{error}"
    );
    let blob = fixture
        .in_cache("blobs")
        .join(Digest::of(&weights()).to_string());
    let partial = blob.with_extension("incomplete");
    assert_eq!(fs::metadata(&partial).unwrap().len(), 150_000);
    assert!(!blob.exists());

    fixture.server.forget_requests();
    fixture.fetch(&hub).unwrap();
    assert_eq!(fixture.ranges(), [Some("bytes=150000-".to_owned())]);
    assert_eq!(fs::read(&blob).unwrap(), weights());
    assert!(!partial.exists());
    // What was here already is told as being here.
    let told = fixture.told.lock().unwrap();
    assert!(told.contains(&("a/b/model.safetensors".to_owned(), 150_000, 400_000)));
}

#[test]
fn a_stop_between_two_pieces_keeps_what_has_arrived() {
    let fixture = Fixture::new(model_files());
    let hub = Hub::new(fixture.settings());
    let snapshot = hub.resolve(&Repository::model("a/b").unwrap()).unwrap();
    let stop = StopFlag::new();
    let events = |_: Event| stop.request();
    let watch = Watch {
        events: &events,
        stop: &stop,
    };
    let error = hub
        .fetch(&snapshot, "model.safetensors", &watch)
        .unwrap_err();
    assert!(matches!(error, HubError::Stopped { .. }), "{error}");
    assert!(!snapshot.directory().join("model.safetensors").exists());
}

#[test]
fn fewer_bytes_than_promised_are_never_a_file() {
    let fixture = Fixture::new(model_files());
    for _ in 0..5 {
        fixture.server.cut_once("model.safetensors", 0);
    }
    let error = fixture.error();
    assert_eq!(
        error.to_string(),
        "a/b/model.safetensors: 0 of 400000 bytes came, again and again"
    );
    assert!(!error.is_bad_input());
    let path = fixture.in_cache("snapshots").join(COMMIT);
    assert!(!path.join("model.safetensors").exists());
}

#[test]
fn wrong_bytes_are_removed() {
    let fixture = Fixture::new(model_files());
    fixture.server.corrupt_once("model.safetensors");
    let error = fixture.error();
    assert!(matches!(error, HubError::Corrupt { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("a/b/model.safetensors: sha256 is ")
            && text.contains(&Digest::of(&weights()).to_string())
            && text.ends_with("the download was removed"),
        "{text}"
    );
    let blobs = fs::read_dir(fixture.in_cache("blobs")).unwrap();
    let names: Vec<_> = blobs.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().all(|name| name.len() == 40), "{names:?}");
    // The next time it is right.
    fixture.fetch(&Hub::new(fixture.settings())).unwrap();
}

#[test]
fn a_wrong_part_of_an_earlier_run_is_noticed() {
    let fixture = Fixture::new(model_files());
    let partial = format!("blobs/{}.incomplete", Digest::of(&weights()));
    fs::create_dir_all(fixture.in_cache("blobs")).unwrap();
    fs::write(fixture.in_cache(&partial), [9; 1000]).unwrap();
    assert!(matches!(fixture.error(), HubError::Corrupt { .. }));
    assert_eq!(fixture.ranges(), [Some("bytes=1000-".to_owned())]);
    // A part that is longer than the file is no part of it.
    fs::write(fixture.in_cache(&partial), vec![9; 500_000]).unwrap();
    fixture.fetch(&Hub::new(fixture.settings())).unwrap();
}

#[test]
fn the_token_goes_to_the_hub_and_not_to_where_it_redirects() {
    let fixture = Fixture::new(model_files());
    fixture.server.require_token("hf_secret");
    let hub = Hub::new(Settings {
        token: Some("hf_secret".to_owned()),
        ..fixture.settings()
    });
    fixture.fetch(&hub).unwrap();
    let of_hub = fixture.requests("GET", false);
    let sent = |request: &Request| request.headers.get("authorization").cloned();
    assert!(of_hub.len() > 3);
    assert!(
        of_hub
            .iter()
            .all(|r| sent(r).as_deref() == Some("Bearer hf_secret"))
    );
    let of_storage = fixture.requests("GET", true);
    assert_eq!(of_storage.len(), 1);
    assert_eq!(sent(&of_storage[0]), None, "{:?}", of_storage[0]);
}

#[test]
fn without_access_it_says_what_to_do() {
    let fixture = Fixture::new(model_files());
    fixture.server.require_token("hf_secret");
    let error = fixture.error();
    assert_eq!(
        error.to_string(),
        "hf:a/b: access refused (401): private, gated or not there"
    );
    assert!(error.hint().unwrap().contains("set HF_TOKEN"));
    let hub = Hub::new(Settings {
        token: Some("hf_other".to_owned()),
        ..fixture.settings()
    });
    let error = fixture.fetch(&hub).unwrap_err();
    assert!(error.to_string().contains("(403)"), "{error}");
    assert!(
        error
            .hint()
            .unwrap()
            .contains("accept the repository's terms")
    );
}

#[test]
fn what_is_not_there_is_named() {
    let fixture = Fixture::new(model_files());
    let hub = Hub::new(fixture.settings());
    let error = |name: &str| hub.resolve(&Repository::model(name).unwrap()).unwrap_err();
    assert_eq!(
        error("a/c").to_string(),
        "hf:a/c: there is no such repository"
    );
    assert_eq!(
        error("a/b@v2").to_string(),
        "hf:a/b: there is no revision `v2`"
    );
    assert!(error("a/b@v2").is_bad_input());
    let snapshot = hub.resolve(&Repository::model("a/b").unwrap()).unwrap();
    let missing = fixture.watched(|watch| hub.fetch(&snapshot, "x.json", watch).unwrap_err());
    assert_eq!(missing.to_string(), "hf:a/b: there is no x.json");
}

#[test]
fn no_network_is_an_error_that_says_so() {
    // A port where nobody listens any more.
    let port = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let fixture = Fixture::new(model_files());
    let hub = Hub::new(Settings {
        endpoint: format!("http://{port}"),
        ..fixture.settings()
    });
    let error = fixture.fetch(&hub).unwrap_err();
    assert!(matches!(error, HubError::Network { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with(&format!("http://{port}/api/models/a/b/revision/main: ")),
        "{error}"
    );
}

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
    let fixture = sharded(index);
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
fn a_full_disk_has_a_hint() {
    let error = HubError::Io {
        path: "x".into(),
        source: std::io::ErrorKind::StorageFull.into(),
    };
    assert!(error.hint().unwrap().contains("HF_HOME"));
    assert!(!error.is_bad_input());
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

//! Downloads that break, stop or bring wrong bytes.

use super::*;

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

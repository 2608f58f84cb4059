//! Tokens, missing things and broken networks: what is sent where, and what is said.

use super::*;

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
fn a_full_disk_has_a_hint() {
    let error = HubError::Io {
        path: "x".into(),
        source: std::io::ErrorKind::StorageFull.into(),
    };
    assert!(error.hint().unwrap().contains("HF_HOME"));
    assert!(!error.is_bad_input());
}

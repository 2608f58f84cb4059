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

mod access;
mod cache;
mod choice;
mod downloads;

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

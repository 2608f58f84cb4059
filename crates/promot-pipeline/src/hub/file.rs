//! One file of a repository, from the hub into the cache.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use promot_core::{Event, StopFlag};
use ureq::http::header::CONTENT_RANGE;

use super::cache::make_directory;
use super::content::{Content, PIECE};
use super::http::{Client, Metadata, network};
use super::{Hub, HubError, Repository, Snapshot, Watch};

/// So often in a row nothing may arrive.
const ATTEMPTS: u32 = 5;
/// Time between two events of the same download.
const EVENT_INTERVAL: Duration = Duration::from_millis(250);

impl Hub {
    /// A file of a snapshot: from the cache, or else from the hub. It is whole, as long as the hub
    /// says, and large files have the digest that the hub says.
    ///
    /// # Errors
    /// If it cannot be had; what has arrived is kept for the next call, unless it is wrong.
    pub fn fetch(
        &self,
        snapshot: &Snapshot,
        file: &str,
        watch: &Watch<'_>,
    ) -> Result<PathBuf, HubError> {
        self.fetch_at_most(u64::MAX, snapshot, file, watch)
    }

    /// The same, if it has no more than `limit` bytes.
    pub(super) fn fetch_at_most(
        &self,
        limit: u64,
        snapshot: &Snapshot,
        file: &str,
        watch: &Watch<'_>,
    ) -> Result<PathBuf, HubError> {
        let repository = snapshot.repository();
        if !is_path_inside(file) {
            return Err(HubError::UnsafeName {
                file: repository.to_string(),
                name: file.to_owned(),
            });
        }
        let path = snapshot.directory().join(file);
        if path.is_file() {
            return Ok(path);
        }
        if self.offline {
            return Err(self.not_cached(repository, file));
        }
        let path = repository.file_path(snapshot.commit(), file);
        let url = self.client.url(&path);
        let mut patience = Patience::new(&self.client, watch.stop);
        let metadata = loop {
            match self.client.metadata(repository, file, &url) {
                Err(error) => patience.wait_after(error, file)?,
                Ok(metadata) => break metadata,
            }
        };
        let name = format!("{}/{file}", repository.id());
        if metadata.size > limit {
            return Err(HubError::TooLarge {
                file: name,
                size: metadata.size,
                limit,
            });
        }
        let blob = self.cache.blob(repository, &metadata.etag);
        let _lock = self.cache.lock(repository, &metadata.etag, watch.stop)?;
        if fs::metadata(&blob).map(|blob| blob.len()).ok() != Some(metadata.size) {
            let download = Download {
                client: &self.client,
                repository,
                file,
                name,
                url,
                metadata: &metadata,
                watch,
            };
            download.run(&blob)?;
        }
        self.cache
            .link(repository, snapshot.commit(), file, &metadata.etag)
    }

    pub(super) fn not_cached(&self, repository: &Repository, what: &str) -> HubError {
        HubError::Offline {
            repository: repository.to_string(),
            what: what.to_owned(),
            cache: self.cache.root().to_owned(),
        }
    }
}

/// Whether a path of a repository stays inside of a directory, on every system.
pub(super) fn is_path_inside(file: &str) -> bool {
    file.split('/').all(|part| {
        !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']) && part.len() <= 255
    })
}

/// A download that is under way.
struct Download<'a> {
    client: &'a Client,
    repository: &'a Repository,
    file: &'a str,
    /// With the repository, for people.
    name: String,
    url: String,
    metadata: &'a Metadata,
    watch: &'a Watch<'a>,
}

impl Download<'_> {
    /// Brings the content to `blob`.
    fn run(&self, blob: &Path) -> Result<(), HubError> {
        make_directory(blob.parent().expect("a file in the cache"))?;
        let mut partial = blob.as_os_str().to_owned();
        partial.push(".incomplete");
        let size = self.metadata.size;
        let mut content = Content::open(Path::new(&partial), size, self.watch.stop)?;
        self.tell(&content);
        let mut patience = Patience::new(self.client, self.watch.stop);
        while content.length() < size {
            let before = content.length();
            match self.receive(&mut content) {
                Err(error @ HubError::Long { .. }) => {
                    content.discard()?;
                    return Err(error);
                }
                Err(error) => {
                    if content.length() > before {
                        patience.renew();
                    }
                    patience.wait_after(error, &self.name)?;
                }
                Ok(()) => {}
            }
        }
        content.finish(&self.name, self.metadata.sha256(), blob)
    }

    /// One connection's worth of content.
    fn receive(&self, content: &mut Content) -> Result<(), HubError> {
        let size = self.metadata.size;
        let start = content.length();
        let response = self
            .client
            .content(self.repository, self.file, &self.url, start)?;
        let range = response.headers().get(CONTENT_RANGE);
        let range = range.and_then(|range| range.to_str().ok());
        let goes_on = response.status().as_u16() == 206
            && range.is_some_and(|range| range.starts_with(&format!("bytes {start}-")));
        if start > 0 && !goes_on {
            content.restart()?;
        }
        if response.status().as_u16() != 200 && !goes_on {
            return Err(network(&self.url, "not the range that was asked for"));
        }
        let mut body = response.into_body().into_reader();
        let mut piece = vec![0; PIECE];
        let mut told = Instant::now();
        loop {
            if self.watch.stop.is_requested() {
                return Err(HubError::Stopped {
                    file: self.name.clone(),
                });
            }
            let read = match body.read(&mut piece) {
                Ok(read) => read,
                // Less than promised, which is looked at below.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
                Err(error) => return Err(network(&self.url, error)),
            };
            if read == 0 {
                break;
            }
            if content.length() + read as u64 > size {
                return Err(HubError::Long {
                    file: self.name.clone(),
                    expected: size,
                });
            }
            content.append(&piece[..read])?;
            if told.elapsed() >= EVENT_INTERVAL || content.length() == size {
                told = Instant::now();
                self.tell(content);
            }
        }
        if content.length() < size {
            return Err(HubError::Short {
                file: self.name.clone(),
                received: content.length(),
                expected: size,
            });
        }
        Ok(())
    }

    fn tell(&self, content: &Content) {
        self.watch.events.emit(Event::Download {
            file: self.name.clone(),
            done: content.length(),
            total: self.metadata.size,
        });
    }
}

/// How often and how long to wait before asking again.
struct Patience<'a> {
    first: Duration,
    failed: u32,
    stop: &'a StopFlag,
}

impl<'a> Patience<'a> {
    fn new(client: &Client, stop: &'a StopFlag) -> Self {
        Self {
            first: client.settings.retry_after,
            failed: 0,
            stop,
        }
    }

    /// Something arrived.
    fn renew(&mut self) {
        self.failed = 0;
    }

    /// Waits if asking again may help.
    ///
    /// # Errors
    /// The error, if not, or [`HubError::Stopped`].
    fn wait_after(&mut self, error: HubError, file: &str) -> Result<(), HubError> {
        let may_pass = match &error {
            HubError::Network { .. } | HubError::Short { .. } => true,
            HubError::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        };
        self.failed += 1;
        if !may_pass || self.failed >= ATTEMPTS {
            return Err(error);
        }
        let until = Instant::now() + self.first * (1 << (self.failed - 1));
        while Instant::now() < until {
            if self.stop.is_requested() {
                return Err(HubError::Stopped {
                    file: file.to_owned(),
                });
            }
            let left = until.saturating_duration_since(Instant::now());
            thread::sleep(left.min(Duration::from_millis(100)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::is_path_inside;

    #[test]
    fn paths_that_lead_elsewhere_are_known() {
        for inside in ["config.json", "default/train/0000.parquet", "a b/..c"] {
            assert!(is_path_inside(inside), "{inside}");
        }
        for outside in [
            "",
            "../x",
            "a/../../x",
            "/etc/x",
            "a//b",
            "..\\x",
            "c:x",
            "./x",
        ] {
            assert!(!is_path_inside(outside), "{outside}");
        }
    }
}

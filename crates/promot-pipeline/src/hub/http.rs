//! Requests to the hub: who is told the token, which redirects are followed, what an answer means.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, ETAG, HeaderMap, LOCATION, RANGE, USER_AGENT,
};
use ureq::http::{Method, Request, Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::{HubError, Repository, Settings};

/// The longest silence of a server.
const SILENCE: Duration = Duration::from_secs(10);
/// A list of files longer than this is not read: it is held in memory.
const LISTING_LIMIT: u64 = 64 << 20;
const REDIRECTS: usize = 10;

/// Asks the hub.
pub(super) struct Client {
    agent: Agent,
    pub(super) settings: Settings,
}

/// A revision of a repository.
pub(super) struct Listing {
    /// The commit that it is.
    pub(super) commit: String,
    /// Paths of all files.
    pub(super) files: Vec<String>,
}

/// What the hub says about a file before it is downloaded.
pub(super) struct Metadata {
    /// The name of its content in the cache: for large files the SHA-256 digest, for others that
    /// of the Git object.
    pub(super) etag: String,
    /// Bytes.
    pub(super) size: u64,
}

impl Metadata {
    /// The SHA-256 digest of the content, if the hub says it.
    pub(super) fn sha256(&self) -> Option<&str> {
        let is_digest = self.etag.len() == 64 && self.etag.bytes().all(|b| b.is_ascii_hexdigit());
        is_digest.then_some(self.etag.as_str())
    }
}

impl Client {
    pub(super) fn new(settings: Settings) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // Redirects are followed here: the first answer has the digest, and another server
            // must not see the token.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            // Sizes are those of the files, not of something compressed.
            .accept_encoding("identity")
            .build()
            .into();
        Self { agent, settings }
    }

    /// The files of a revision.
    pub(super) fn list(
        &self,
        repository: &Repository,
        revision: &str,
    ) -> Result<Listing, HubError> {
        #[derive(Deserialize)]
        struct Info {
            sha: String,
            #[serde(default)]
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }

        let url = self.url(&repository.listing_path(revision));
        let (_, response) = self.follow(&Method::GET, &url, 0)?;
        check_status(repository, None, &url, &response, self.has_token())?;
        let mut body = Vec::new();
        let mut reader = response.into_body().into_reader().take(LISTING_LIMIT + 1);
        reader
            .read_to_end(&mut body)
            .map_err(|error| network(&url, error))?;
        let protocol = |problem: String| HubError::Protocol {
            url: url.clone(),
            problem,
        };
        if body.len() as u64 > LISTING_LIMIT {
            return Err(protocol("the list of files is too long".to_owned()));
        }
        let info: Info = serde_json::from_slice(&body)
            .map_err(|error| protocol(format!("no list of files: {error}")))?;
        if !is_commit(&info.sha) {
            return Err(protocol(format!("{:?} is no commit", info.sha)));
        }
        Ok(Listing {
            commit: info.sha,
            files: info.siblings.into_iter().map(|s| s.rfilename).collect(),
        })
    }

    /// Digest and size of a file.
    pub(super) fn metadata(
        &self,
        repository: &Repository,
        file: &str,
        url: &str,
    ) -> Result<Metadata, HubError> {
        let (hops, response) = self.follow(&Method::HEAD, url, 0)?;
        if !response.status().is_redirection() {
            check_status(repository, Some(file), url, &response, self.has_token())?;
        }
        let last = response.headers();
        let linked = |name: &str| hops.iter().chain([last]).find_map(|hop| text(hop, name));
        let etag = linked("x-linked-etag").or_else(|| text(last, ETAG.as_str()));
        let size = linked("x-linked-size").or_else(|| text(last, CONTENT_LENGTH.as_str()));
        let etag = etag
            .unwrap_or("")
            .trim_start_matches("W/")
            .trim_matches('"');
        let protocol = |problem: String| HubError::Protocol {
            url: url.to_owned(),
            problem,
        };
        // It becomes the name of a file.
        if etag.is_empty()
            || etag.len() > 128
            || !etag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            return Err(protocol(format!("{etag:?} is no usable ETag")));
        }
        let size = size.and_then(|size| size.parse().ok());
        Ok(Metadata {
            etag: etag.to_owned(),
            size: size.ok_or_else(|| protocol("the answer has no size".to_owned()))?,
        })
    }

    /// The content of a file from byte `start` on.
    pub(super) fn content(
        &self,
        repository: &Repository,
        file: &str,
        url: &str,
        start: u64,
    ) -> Result<Response<Body>, HubError> {
        let (hops, response) = self.follow(&Method::GET, url, start)?;
        let status = response.status();
        if !status.is_success() && status.as_u16() != 416 && !hops.is_empty() {
            // Another server, which knows nothing of repositories.
            return Err(HubError::Status {
                url: url.to_owned(),
                status: status.as_u16(),
            });
        }
        if status.as_u16() != 416 {
            check_status(repository, Some(file), url, &response, self.has_token())?;
        }
        Ok(response)
    }

    fn has_token(&self) -> bool {
        self.settings.token.is_some()
    }

    /// The address of a path of the hub.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.endpoint)
    }

    /// Sends a request to where redirects lead; HEAD requests do not leave the first server.
    /// Returns the headers of the redirects, and the last answer.
    fn follow(
        &self,
        method: &Method,
        url: &str,
        start: u64,
    ) -> Result<(Vec<HeaderMap>, Response<Body>), HubError> {
        let mut hops = Vec::new();
        let mut next = url.to_owned();
        while hops.len() <= REDIRECTS {
            let response = self.send(method, &next, start)?;
            if !response.status().is_redirection() {
                return Ok((hops, response));
            }
            let protocol = |problem: &str| HubError::Protocol {
                url: next.clone(),
                problem: problem.to_owned(),
            };
            let location = text(response.headers(), LOCATION.as_str())
                .and_then(|location| join(&next, location))
                .ok_or_else(|| protocol("a redirect to nowhere"))?;
            if method == Method::HEAD && origin(&location) != origin(&next) {
                return Ok((hops, response));
            }
            if next.starts_with("https://") && !location.starts_with("https://") {
                return Err(protocol("a redirect from https to http"));
            }
            hops.push(response.headers().clone());
            next = location;
        }
        Err(HubError::Protocol {
            url: url.to_owned(),
            problem: format!("more than {REDIRECTS} redirects"),
        })
    }

    fn send(&self, method: &Method, url: &str, start: u64) -> Result<Response<Body>, HubError> {
        let agent = concat!("promot/", env!("CARGO_PKG_VERSION"));
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(USER_AGENT, agent);
        if start > 0 {
            request = request.header(RANGE, format!("bytes={start}-"));
        }
        if let Some(token) = &self.settings.token
            && origin(url) == origin(&self.settings.endpoint)
        {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(()).map_err(|error| network(url, error))?;
        self.agent.run(request).map_err(|error| match error {
            ureq::Error::Io(error) => network(url, error),
            error => network(url, error),
        })
    }
}

/// Whether `text` is a whole commit hash.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn network(url: &str, error: impl ToString) -> HubError {
    HubError::Network {
        // What follows is a signature.
        url: url.split('?').next().unwrap_or(url).to_owned(),
        problem: error.to_string(),
    }
}

/// What an answer that is no success says about the repository, its revision or a file of it.
fn check_status(
    repository: &Repository,
    file: Option<&str>,
    url: &str,
    response: &Response<Body>,
    with_token: bool,
) -> Result<(), HubError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let code = text(response.headers(), "x-error-code");
    let repository_name = repository.to_string();
    Err(match (status.as_u16(), code, file) {
        (status @ (401 | 403), ..) => HubError::NoAccess {
            repository: repository_name,
            status,
            with_token,
        },
        (404, Some("RevisionNotFound"), _) => HubError::UnknownRevision {
            repository: repository.id(),
            revision: repository.revision().to_owned(),
        },
        (404, Some("EntryNotFound"), Some(file)) | (404, None, Some(file)) => {
            HubError::MissingFile {
                repository: repository_name,
                file: file.to_owned(),
            }
        }
        (404, ..) => HubError::NotFound {
            repository: repository_name,
        },
        (status, ..) => HubError::Status {
            url: url.to_owned(),
            status,
        },
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Scheme, host and port: what a token is meant for.
fn origin(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let authority = uri.authority()?.as_str().to_ascii_lowercase();
    Some((scheme, authority))
}

/// Where a `Location` header of `base` leads.
fn join(base: &str, location: &str) -> Option<String> {
    let (scheme, authority) = origin(base)?;
    if location.starts_with("https://") || location.starts_with("http://") {
        Some(location.to_owned())
    } else if location.starts_with("//") {
        Some(format!("{scheme}:{location}"))
    } else if location.starts_with('/') {
        Some(format!("{scheme}://{authority}{location}"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_may_be_relative_to_the_server() {
        let base = "https://hub.example:8443/a/b";
        assert_eq!(join(base, "/c?d").unwrap(), "https://hub.example:8443/c?d");
        assert_eq!(join(base, "//e.example/f").unwrap(), "https://e.example/f");
        assert_eq!(join(base, "http://g/").unwrap(), "http://g/");
        assert_eq!(join(base, "ftp://g/"), None);
    }

    #[test]
    fn another_port_or_scheme_is_another_server() {
        let hub = origin("https://Hub.example/x");
        assert_eq!(hub, origin("HTTPS://hub.example/y?z"));
        for other in [
            "http://hub.example/",
            "https://hub.example:8443/",
            "https://hub.example.evil/",
            "https://hub.example@evil/",
        ] {
            assert_ne!(hub, origin(other), "{other}");
        }
    }
}

//! A server on the loopback interface that answers as the Hugging Face Hub does, for one
//! repository: it lists, redirects large files to a second server, and knows ranges.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use promot_core::Digest;

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// The path with everything behind it.
    pub path: String,
    /// Whether the server with the large files was asked, not the one that redirects to it.
    pub of_storage: bool,
    /// Header values by lower-case name.
    pub headers: BTreeMap<String, String>,
}

/// How the content of a file is sent.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Only so many bytes of an answer, then the connection ends.
    Cut(usize),
    /// As long as promised, and wrong.
    Corrupt,
    /// All of it, whatever range was asked for.
    Whole,
}

struct State {
    /// `models/owner/name` or `datasets/owner/name`.
    repository: String,
    /// An earlier name, of the same kind.
    former: Option<String>,
    revisions: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
    token: Option<String>,
    faults: BTreeMap<String, Vec<Fault>>,
    requests: Vec<Request>,
    storage: SocketAddr,
}

/// Two servers, of the hub and of its large files, until it is dropped.
pub struct HubServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl HubServer {
    /// The commit that every revision is.
    pub const COMMIT: &'static str = "0123456789abcdef0123456789abcdef01234567";

    /// Serves `files` as `repository` (`models/owner/name` or `datasets/owner/name`) with the
    /// revisions `main` and `refs/convert/parquet`. Files whose names end in `.safetensors` or
    /// `.parquet` are large ones.
    ///
    /// # Panics
    /// If there is no loopback interface.
    pub fn start<'a>(
        repository: &str,
        files: impl IntoIterator<Item = (&'a str, Vec<u8>)>,
    ) -> Self {
        let listen = || TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let (hub, storage) = (listen(), listen());
        let address = |listener: &TcpListener| listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State {
            repository: repository.to_owned(),
            former: None,
            revisions: vec![
                "main".to_owned(),
                "refs/convert/parquet".to_owned(),
                Self::COMMIT.to_owned(),
            ],
            files: files
                .into_iter()
                .map(|(name, content)| (name.to_owned(), content))
                .collect(),
            token: None,
            faults: BTreeMap::new(),
            requests: Vec::new(),
            storage: address(&storage),
        }));
        let stopped = Arc::new(AtomicBool::new(false));
        Self {
            address: address(&hub),
            state: Arc::clone(&state),
            stopped: Arc::clone(&stopped),
            threads: [(hub, false), (storage, true)]
                .map(|(listener, of_storage)| {
                    let (state, stopped) = (Arc::clone(&state), Arc::clone(&stopped));
                    thread::spawn(move || {
                        for stream in listener.incoming() {
                            if stopped.load(Ordering::SeqCst) {
                                return;
                            }
                            let state = Arc::clone(&state);
                            // A client that goes away in the middle is no failure of a test.
                            thread::spawn(move || {
                                stream.and_then(|stream| answer(&state, of_storage, &stream))
                            });
                        }
                    })
                })
                .into(),
        }
    }

    /// What `HF_ENDPOINT` has to be.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Nothing is had without this token from now on.
    pub fn require_token(&self, token: &str) {
        self.change(|state| state.token = Some(token.to_owned()));
    }

    /// The next answer with the file's content ends after `bytes` bytes.
    pub fn cut_once(&self, file: &str, bytes: usize) {
        self.fault(file, Fault::Cut(bytes));
    }

    /// The next answer with the file's content is wrong.
    pub fn corrupt_once(&self, file: &str) {
        self.fault(file, Fault::Corrupt);
    }

    /// The next answer with the file's content is all of it, whatever range is asked for.
    pub fn ignore_range_once(&self, file: &str) {
        self.fault(file, Fault::Whole);
    }

    /// The repository had another name before, from which requests are redirected.
    pub fn rename_from(&self, former: &str) {
        self.change(|state| state.former = Some(former.to_owned()));
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.change(|state| state.requests.clone())
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.change(|state| state.requests.clear());
    }

    fn fault(&self, file: &str, fault: Fault) {
        self.change(|state| state.faults.entry(file.to_owned()).or_default().push(fault));
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().expect("no thread panics with it"))
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let storage = self.change(|state| state.storage);
        for address in [self.address, storage] {
            // Wakes the thread that waits for a connection.
            let _ = TcpStream::connect(address);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What is sent: status, headers, and the content of a file.
struct Answer {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    content: Vec<u8>,
    /// The file that it is the content of.
    file: Option<String>,
}

impl Answer {
    fn new(status: &'static str, content: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: content.into(),
            file: None,
        }
    }

    fn error(status: &'static str, code: &str) -> Self {
        Self::new(status, "no").with("X-Error-Code", code)
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

fn answer(state: &Mutex<State>, of_storage: bool, stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        match line.split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let request = Request {
        method,
        path,
        of_storage,
        headers,
    };
    let (mut answer, fault) = {
        let mut state = state.lock().expect("no thread panics with it");
        let answer = if of_storage {
            stored(&state, &request)
        } else {
            of_hub(&state, &request)
        };
        let fault = answer
            .file
            .as_ref()
            .filter(|_| request.method == "GET")
            .and_then(|file| state.faults.get_mut(file))
            .filter(|faults| !faults.is_empty())
            .map(|faults| faults.remove(0));
        state.requests.push(request.clone());
        (answer, fault)
    };
    if answer.file.is_some() && !matches!(fault, Some(Fault::Whole)) {
        answer = ranged(answer, request.headers.get("range"));
    }
    let length = answer.content.len();
    match fault {
        Some(Fault::Cut(bytes)) => answer.content.truncate(bytes),
        Some(Fault::Corrupt) => answer.content.iter_mut().for_each(|byte| *byte ^= 1),
        Some(Fault::Whole) | None => {}
    }
    let mut stream = stream;
    let mut head = format!(
        "HTTP/1.1 {}\r\nConnection: close\r\nContent-Length: {length}\r\n",
        answer.status
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if request.method == "GET" {
        stream.write_all(&answer.content)?;
    }
    stream.flush()
}

/// The part of a file's content that a `Range: bytes=N-` header asks for.
fn ranged(mut answer: Answer, range: Option<&String>) -> Answer {
    let start = range
        .and_then(|range| range.strip_prefix("bytes="))
        .and_then(|range| range.strip_suffix('-'))
        .and_then(|start| start.parse::<usize>().ok());
    let Some(start) = start else { return answer };
    let length = answer.content.len();
    if start >= length {
        return Answer::new("416 Range Not Satisfiable", "");
    }
    answer.status = "206 Partial Content";
    let range = format!("bytes {start}-{}/{length}", length - 1);
    answer.content.drain(..start);
    answer.with("Content-Range", range)
}

fn is_large(file: &str) -> bool {
    file.ends_with(".safetensors") || file.ends_with(".parquet")
}

/// The server of large files: `/blob/<sha256>`.
fn stored(state: &State, request: &Request) -> Answer {
    let found = state
        .files
        .iter()
        .find(|(_, content)| request.path == format!("/blob/{}", Digest::of(content)));
    match found {
        Some((file, content)) => Answer {
            file: Some(file.clone()),
            ..Answer::new("200 OK", content.clone())
        },
        None => Answer::error("404 Not Found", "EntryNotFound"),
    }
}

/// The hub itself: the API that lists a revision, and `resolve`.
fn of_hub(state: &State, request: &Request) -> Answer {
    if let Some(token) = &state.token {
        match request.headers.get("authorization") {
            None => return Answer::error("401 Unauthorized", "GatedRepo"),
            Some(sent) if *sent != format!("Bearer {token}") => {
                return Answer::error("403 Forbidden", "GatedRepo");
            }
            Some(_) => {}
        }
    }
    if let Some(former) = &state.former
        && let Some((before, after)) = request.path.split_once(former.as_str())
    {
        let location = format!("{before}{}{after}", state.repository);
        return Answer::new("307 Temporary Redirect", "renamed").with("Location", location);
    }
    let path = request.path.replace("%2F", "/");
    let api = format!("/api/{}/revision/", state.repository);
    // Models are at the root, data sets below `/datasets`.
    let below = state
        .repository
        .strip_prefix("models/")
        .unwrap_or(&state.repository);
    let resolve = format!("/{below}/resolve/");
    if let Some(revision) = path.strip_prefix(&api) {
        if !state.revisions.iter().any(|known| known == revision) {
            return Answer::error("404 Not Found", "RevisionNotFound");
        }
        let siblings: Vec<String> = state
            .files
            .keys()
            .map(|file| format!("{{\"rfilename\":\"{file}\"}}"))
            .collect();
        let json = format!(
            "{{\"id\":\"{below}\",\"sha\":\"{}\",\"siblings\":[{}]}}",
            HubServer::COMMIT,
            siblings.join(",")
        );
        return Answer::new("200 OK", json).with("Content-Type", "application/json");
    }
    let file = path.strip_prefix(&resolve).and_then(|rest| {
        let revision = state
            .revisions
            .iter()
            .find(|revision| rest.starts_with(*revision));
        rest.strip_prefix(revision?.as_str())?.strip_prefix('/')
    });
    let Some(file) = file else {
        return Answer::error("404 Not Found", "RepoNotFound");
    };
    let Some(content) = state.files.get(file) else {
        return Answer::error("404 Not Found", "EntryNotFound");
    };
    let digest = Digest::of(content).to_string();
    if is_large(file) {
        return Answer::new("302 Found", "elsewhere")
            .with(
                "Location",
                format!("http://{}/blob/{digest}", state.storage),
            )
            .with("X-Repo-Commit", HubServer::COMMIT)
            .with("X-Linked-Size", content.len().to_string())
            .with("X-Linked-Etag", format!("\"{digest}\""));
    }
    Answer {
        file: Some(file.to_owned()),
        ..Answer::new("200 OK", content.clone())
    }
    .with("X-Repo-Commit", HubServer::COMMIT)
    // As long as the digest of a Git object; only the hub knows what it is of.
    .with("ETag", format!("\"{}\"", &digest[..40]))
}

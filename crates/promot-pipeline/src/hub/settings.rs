//! Where the hub is, where its files are kept, and who asks: from the environment variables that
//! Hugging Face's tools read.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::HubError;

/// How to talk to the hub.
#[derive(Clone)]
pub struct Settings {
    /// Its address, without a slash at the end.
    pub endpoint: String,
    /// The directory with `models--owner--name` and the like.
    pub cache: PathBuf,
    /// Who asks; sent to `endpoint` only.
    pub token: Option<String>,
    /// Whether only what is in the cache may be used.
    pub offline: bool,
    /// How long to wait before asking again after a connection broke; doubled each time.
    pub retry_after: Duration,
}

impl fmt::Debug for Settings {
    // The token is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, `HF_TOKEN`,
    /// `HF_TOKEN_PATH` and `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// If the endpoint is no address, the token cannot be sent, or no variable says where the
    /// home directory is.
    pub fn from_environment() -> Result<Self, HubError> {
        Self::from_variables(|name| std::env::var_os(name), std::env::home_dir())
    }

    fn from_variables(
        variable: impl Fn(&str) -> Option<OsString>,
        home: Option<PathBuf>,
    ) -> Result<Self, HubError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| variable(name).map(PathBuf::from);
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        let hf_home = path("HF_HOME")
            .or_else(|| Some(path("XDG_CACHE_HOME")?.join("huggingface")))
            .or_else(|| Some(home?.join(".cache").join("huggingface")));
        let cache = path("HF_HUB_CACHE").or_else(|| Some(hf_home.as_ref()?.join("hub")));
        let cache = cache.ok_or_else(|| HubError::Settings {
            problem: "there is no home directory to keep downloads in".to_owned(),
            hint: "set HF_HOME to a directory",
        })?;
        let endpoint = text("HF_ENDPOINT").unwrap_or("https://huggingface.co".to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
            return Err(HubError::Settings {
                problem: format!("HF_ENDPOINT: expected http:// or https://, found {endpoint:?}"),
                hint: "leave HF_ENDPOINT unset for the public hub",
            });
        }
        let token_file = path("HF_TOKEN_PATH").or_else(|| Some(hf_home?.join("token")));
        let token = text("HF_TOKEN")
            .or_else(|| fs::read_to_string(token_file?).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        if token
            .as_ref()
            .is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(HubError::Settings {
                problem: "the token has characters that no token has".to_owned(),
                hint: "look at HF_TOKEN, or at the file that `hf auth login` wrote",
            });
        }
        let is_set = |value: String| {
            ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
        };
        Ok(Self {
            endpoint,
            cache,
            token,
            offline: text("HF_HUB_OFFLINE").is_some_and(is_set),
            retry_after: Duration::from_secs(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, HubError> {
        let find = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Settings::from_variables(find, Some(PathBuf::from("/home/me")))
    }

    #[test]
    fn the_cache_is_where_hugging_face_tools_have_theirs() {
        let cache = |variables: &[(&str, &str)]| settings(variables).unwrap().cache;
        assert_eq!(cache(&[]), Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!(
            cache(&[("XDG_CACHE_HOME", "/x")]),
            Path::new("/x/huggingface/hub")
        );
        let home = ("HF_HOME", "/hf");
        assert_eq!(
            cache(&[home, ("XDG_CACHE_HOME", "/x")]),
            Path::new("/hf/hub")
        );
        assert_eq!(cache(&[home, ("HF_HUB_CACHE", "/c")]), Path::new("/c"));
        assert!(Settings::from_variables(|_| None, None).is_err());
    }

    #[test]
    fn the_token_comes_from_a_variable_or_a_file_and_is_not_printed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        fs::write(&file, "hf_of_file\n").unwrap();
        let home = ("HF_HOME", directory.path().to_str().unwrap());
        let token = |variables: &[(&str, &str)]| settings(variables).unwrap().token;
        assert_eq!(token(&[home]).as_deref(), Some("hf_of_file"));
        assert_eq!(
            token(&[home, ("HF_TOKEN", "hf_given")]).as_deref(),
            Some("hf_given")
        );
        let elsewhere = ("HF_TOKEN_PATH", "/nowhere/token");
        assert_eq!(token(&[home, elsewhere]), None);
        let printed = format!("{:?}", settings(&[home]).unwrap());
        assert!(!printed.contains("hf_of_file"), "{printed}");
        let error = settings(&[("HF_TOKEN", "a\nb")]).unwrap_err();
        assert!(error.to_string().contains("characters"), "{error}");
    }

    #[test]
    fn offline_and_the_endpoint() {
        assert!(settings(&[("HF_HUB_OFFLINE", "1")]).unwrap().offline);
        assert!(!settings(&[("HF_HUB_OFFLINE", "0")]).unwrap().offline);
        let mirror = settings(&[("HF_ENDPOINT", "http://localhost:8080/")]).unwrap();
        assert_eq!(mirror.endpoint, "http://localhost:8080");
        let error = settings(&[("HF_ENDPOINT", "huggingface.co")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "HF_ENDPOINT: expected http:// or https://, found \"huggingface.co\""
        );
    }
}

//! Models and data sets of the Hugging Face Hub, kept where Hugging Face's own tools keep them.
//!
//! A repository's revision is resolved to a commit first ([`Hub::resolve`]); that is small and can
//! be done without the network for what was resolved before. Files are fetched afterwards:
//!
//! ```no_run
//! use promot_core::{Event, StopFlag};
//! use promot_pipeline::hub::{Hub, Repository, Watch};
//!
//! let hub = Hub::from_environment()?;
//! let snapshot = hub.resolve(&Repository::model("google-t5/t5-small@main")?)?;
//! let print = |event: Event| eprintln!("{event:?}");
//! let watch = Watch {
//!     events: &print,
//!     stop: &StopFlag::new(),
//! };
//! let directory = hub.fetch_model(&snapshot, &watch)?;
//! println!("{} is in {}", snapshot.commit(), directory.display());
//! # Ok::<(), promot_pipeline::hub::HubError>(())
//! ```

mod cache;
mod content;
mod dataset;
mod error;
mod file;
mod http;
mod model;
mod repository;
mod settings;
mod snapshot;
#[cfg(test)]
mod tests;

use promot_core::{EventSink, StopFlag};

pub use dataset::DatasetFiles;
pub use error::HubError;
pub use repository::Repository;
pub use settings::Settings;
pub use snapshot::Snapshot;

use cache::Cache;
use http::Client;

/// A client of the hub with its cache.
pub struct Hub {
    client: Client,
    cache: Cache,
    offline: bool,
}

/// Who follows a download and may end it.
pub struct Watch<'a> {
    /// Takes [`promot_core::Event::Download`].
    pub events: &'a dyn EventSink,
    /// Asks to stop; what has arrived stays, and the next download goes on from there.
    pub stop: &'a StopFlag,
}

impl Hub {
    /// A client as `settings` say. Asks nobody anything yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            cache: Cache::new(settings.cache.clone()),
            offline: settings.offline,
            client: Client::new(settings),
        }
    }

    /// A client as the environment variables of Hugging Face's tools say.
    ///
    /// # Errors
    /// As [`Settings::from_environment`].
    pub fn from_environment() -> Result<Self, HubError> {
        Settings::from_environment().map(Self::new)
    }
}

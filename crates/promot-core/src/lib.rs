//! Plain data shared by every promot crate: digests, seeds, examples, ragged batches, metric
//! records and progress events.
//!
//! This crate knows no tensors, no YAML and no graph; `promot-data` and `promot-model` meet here
//! and nowhere else. Rows of text become [`Example`]s, [`Example`]s become token ids, and token
//! ids travel as ragged [`TokenBatch`]es without any padding:
//!
//! ```
//! use promot_core::{Ragged, Seed, TokenBatch};
//! use rand::Rng as _;
//!
//! // Two sequences of three and one tokens: five offsets would mean four sequences.
//! let inputs = Ragged::from_rows([[5u32, 6, 1].as_slice(), &[1]]);
//! let targets = Ragged::from_rows([[7u32, 1].as_slice(), &[8, 1]]);
//! assert_eq!(inputs.offsets(), [0, 3, 4]);
//! let batch = TokenBatch::new(inputs, targets);
//! assert_eq!(batch.len(), 2);
//! assert_eq!(batch.target_tokens(), 4);
//!
//! // Every purpose has a random stream of its own, so using one more never shifts another.
//! let seed = Seed::new(0);
//! let shuffle: u64 = seed.stream("finetuned", "shuffle").random();
//! let dropout: u64 = seed.stream("finetuned", "dropout").random();
//! assert_ne!(shuffle, dropout);
//! ```

mod atomic;
mod batch;
mod bom;
mod digest;
mod event;
mod example;
mod metric;
mod seed;

pub use atomic::{PARTIAL_SUFFIX, sync_directory, write_atomically};
pub use batch::{BatchSource, Ragged, TokenBatch};
pub use bom::{BYTE_ORDER_MARK, without_bom};
pub use digest::{Digest, Digester};
pub use event::{Event, EventSink, StopFlag};
pub use example::Example;
pub use metric::{MetricKind, MetricRecord};
pub use seed::{Seed, Stream};

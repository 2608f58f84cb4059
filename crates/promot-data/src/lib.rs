//! From rows to prompts, from prompts to token batches, from answers to scores.
//!
//! A [`task::Task`] says how a row becomes a prompt and how an answer is judged; a
//! [`source::Source`] says where rows come from: files (JSON Lines, CSV, TSV, Parquet), or the [`mini`]
//! world, small invented versions of every task that need no files. Neither knows the other.
//!
//! ```
//! use promot_core::Seed;
//! use promot_data::fewshot::FewShot;
//! use promot_data::metric::{Judged, score};
//! use promot_data::source::{Source, load};
//! use promot_data::split::Split;
//! use promot_data::task::find_task;
//!
//! let rte = find_task("rte").unwrap();
//! let train = load(&*rte, &Source::Mini, Split::Train, Some(100))?;
//! let rows = load(&*rte, &Source::Mini, rte.evaluation_split(), Some(4))?;
//!
//! // Prompts with one worked example each, drawn from the training rows.
//! let one_shot = FewShot::new(&*rte, &train, 1, Seed::new(0)).unwrap();
//! let prompt = one_shot.example(&rows[0], 0).unwrap();
//! assert!(prompt.input.ends_with("Is it true or false? answer:"));
//! assert!(["True", "False"].contains(&prompt.target.as_str()));
//!
//! // Somebody who always says True is right about half of the time.
//! let judged: Vec<Judged> = rows
//!     .iter()
//!     .map(|row| Judged {
//!         output: rte.post_process("True, I think").to_owned(),
//!         references: one_shot.example(row, 0).unwrap().references,
//!     })
//!     .collect();
//! let accuracy = score(rte.metric(), &judged).unwrap();
//! assert_eq!(accuracy.samples, 4);
//! # Ok::<(), promot_data::source::DataError>(())
//! ```

mod contained;
pub mod fewshot;
pub mod metric;
pub mod mini;
mod postprocess;
pub mod record;
pub mod source;
pub mod split;
pub mod task;
pub mod tokenizer;
pub mod training;

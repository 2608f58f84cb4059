//! Pipelines: a YAML file becomes a plan, the plan is run stage by stage into a content-addressed
//! store, and what was measured becomes a table.
//!
//! The command line of the same name is a thin layer over this:
//!
//! ```
//! use std::path::Path;
//!
//! use promot_core::{Event, StopFlag};
//! use promot_model::backend::Host;
//! use promot_pipeline::diagnostic::Sources;
//! use promot_pipeline::report::{Report, terminal};
//! use promot_pipeline::run::{Context, Selection, Store, check_inputs, run};
//! use promot_pipeline::{plan, spec};
//!
//! let text = "
//! version: 1
//! name: example
//! model: builtin:mini-t5
//! stages:
//!   rte: { data: { task: rte, source: mini, train_rows: 40, dev_rows: 4 } }
//!   prompt: { prompt_tune: { on: rte, length: 4, steps: 2, batch_size: 4 } }
//!   table:
//!     eval:
//!       models: { Pretrained: base, Tuned prompt: { model: base, prompt: prompt } }
//!       target: rte
//!       rows: 4
//! ";
//! // Every problem of the file at once, each with its line and column.
//! let mut sources = Sources::new("example.yaml", text, &["seed=1".to_owned()]);
//! let spec = spec::parse(&mut sources, Path::new("example.yaml")).expect("YAML");
//! let plan = plan::compile(&spec).expect("a valid pipeline");
//! check_inputs(&plan)?;
//!
//! let directory = tempfile::tempdir().unwrap();
//! let store = Store::new(directory.path());
//! let device = Host::with_precision(plan.precision);
//! let print = |event: Event| eprintln!("{event:?}");
//! let context = Context {
//!     plan: &plan,
//!     device: &device,
//!     store: &store,
//!     events: &print,
//!     stop: &StopFlag::new(),
//! };
//! run(&context, &Selection::default())?;
//!
//! let report = Report::collect(&plan, &store).expect("a finished run");
//! let table = terminal(&report.tables[0].1);
//! assert!(table.contains("RTE (tuned, 0-shot)"));
//! # Ok::<(), promot_pipeline::run::RunError>(())
//! ```

pub mod builtin;
pub mod diagnostic;
pub mod export;
pub mod hub;
pub mod plan;
pub mod preflight;
pub mod report;
pub mod run;
pub mod spec;
mod stages;

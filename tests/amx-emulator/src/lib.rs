//! For tests: runs the instructions of Intel's Advanced Matrix Extensions on processors that lack them.
//!
//! An instruction that a processor does not know ends in a signal. After [`install`] that signal is caught, the
//! instruction is decoded and its work done in memory, and the program goes on behind it. So the very machine
//! code that runs on matrix units is tested where there are none, slowly.
//!
//! Arithmetic is that of Intel's Software Developer's Manual, volume 2, to the bit, but for which NaN comes of
//! a NaN. A configuration or shapes that a processor refuses end the program with a message that says what is
//! wrong. Of all instructions with tiles only those are known that `promot-model` uses: see `instruction.rs`.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod instruction;
mod products;
mod registers;
mod tiles;
mod trap;

pub use trap::{install, is_needed};

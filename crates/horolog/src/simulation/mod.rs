//! The engine's heart over a simulated disk and simulated clocks: what proves the promises of `docs/durability.md`.
//!
//! It is the real machine, the real log and the real recovery. What the threads of an engine do is done by one loop: it takes a
//! job, does it, reports it, lets time pass, crashes. So a run is a list of decisions, and the same list gives the same run,
//! byte for byte.
//!
//! Built for tests, and with the feature `simulation` for the programs of the package `horolog-tests`. Not for users.

pub mod enumerate;
mod node;

pub(crate) use node::{Node, TICK_LEN};

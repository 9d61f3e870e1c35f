//! The test bed of the conformance scenarios: it plays servers and registry, has a runner do what users do, and
//! judges what comes of it. What the two say to each other is in `tests/conformance/README.md`.
#![forbid(unsafe_code)]

mod door;
pub mod names;
pub mod pattern;
pub mod play;
mod port;
pub mod registry;
pub mod results;
pub mod runner;
pub mod scenario;
pub mod server;
pub mod tls;

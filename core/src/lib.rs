//! Plumline: find a service, call it, survive what fails, stay registered.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

// Floor 0
pub mod clock;
pub mod config;
mod error;
pub mod interrupt;
mod model;
pub mod snapshot;

// Floor 1: pure state machines
pub mod balance;
pub mod resilience;

pub use config::Config;
pub use error::{Error, Kind, Result, TraceOutcome, TraceStep};
pub use model::{Change, ChangeKind, Endpoint, EndpointKey, Instance, Labels, Query, default_instance_id};

//! Plumline: service discovery, calls with retries and ejection, and registration.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

// Floor 0
pub mod clock;
pub mod config;
mod error;
mod header;
pub mod interrupt;
pub mod membership;
mod model;
mod nearest;
pub mod sync;
pub mod telemetry;

// Floor 1
pub mod balance;
pub mod resilience;
pub mod runtime;

// Floor 2
pub mod transport;

// Floor 3
mod call;
pub mod registry;

// Floor 4
pub mod catalog;
pub mod registration;

// Floor 5
mod client;

pub use call::{Bounds, CallOptions, Hooks, Outgoing, Request, Response, Transport};
pub use client::{
    Client, ClientBuilder, EndpointExplanation, EndpointStats, Explanation, Pick, ServiceHandle,
    ServiceStats, Stats, Watch,
};
pub use config::Config;
pub use error::{Error, Kind, Result, TraceOutcome, TraceStep};
pub use model::{Change, ChangeKind, Endpoint, EndpointKey, Instance, Labels, Query, default_instance_id};
pub use registration::Registration;
pub use transport::{Answer, Failure, Headers};

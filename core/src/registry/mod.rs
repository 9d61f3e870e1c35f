//! The registries: one file or folder per system, all behind the trait [`Registry`].
//!
//! # Adding a registry
//!
//! 1. Write `registry/<name>.rs` with a type that implements [`Registry`]. Every call runs on the thread of the caller
//!    and ends within its [`WaitLimit`]. If the system cannot be reached, the error is
//!    [`Kind::Unavailable`](crate::error::Kind::Unavailable) or [`Kind::Timeout`](crate::error::Kind::Timeout).
//! 2. In `watch`, report updates and failures to the [`UpdateSink`]. If the system does not push changes, use
//!    [`polling`], which calls `read` at an interval. A read-only registry does not implement `register`, `heartbeat`
//!    and `deregister`.
//! 3. Add the scheme and its parameters to `scheme.rs`, and its constructor to [`open()`].
//!
//! What a registry is responsible for:
//!
//! * It reports exactly what the system lists. The catalog decides whether a missing endpoint is gone, based on
//!   [`RegistryUpdate::epoch`] and [`RegistryUpdate::absence`].
//! * It has no schedule for registrations: the caller calls `register`, `heartbeat` and `deregister` when they are due.
//! * It never shows a secret: logs, errors and `explain` show [`Registry::source`].

pub mod address;
#[cfg(feature = "tokio")]
mod async_bridge;
mod claims;
mod consul;
mod dns;
#[cfg(feature = "etcd")]
mod etcd;
mod failover;
mod file;
#[cfg(feature = "grpc")]
mod grpc;
mod http_host;
#[cfg(any(feature = "etcd", feature = "zookeeper"))]
mod json_record;
mod labels;
mod memory;
#[cfg(feature = "nacos")]
mod nacos;
mod open;
mod plum;
pub mod polling;
#[cfg(feature = "tokio")]
mod protocol_probe;
mod rate_limiter;
pub mod reconnect;
mod record_warnings;
pub mod resolver;
mod scheme;
mod setup;
mod static_list;
#[cfg(any(feature = "etcd", feature = "nacos", feature = "zookeeper"))]
mod timestamp;
mod types;
#[cfg(feature = "zookeeper")]
mod zookeeper;

pub use address::Address;
pub use failover::FailoverRegistry;
pub use labels::{decode_labels, encode_labels};
pub use memory::MemoryRegistry;
pub use open::open;
pub use plum::digest;
pub use setup::{OpenedRegistry, RegistrySetup};
pub use types::{
    Absence, DEFAULT_TTL, HeartbeatResult, Listing, RecordId, Registry, RegistryEntry, RegistryUpdate,
    RemovalReason, RemovedRecord, ReportedHealth, UpdateSink, WaitLimit, WatchHandle,
};

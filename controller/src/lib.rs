//! The Plum controller: a service registry over HTTP.
//!
//! Programs register the endpoints they serve, send heartbeats while they run, and discover the endpoints of others.
//! This crate implements the HTTP contract of the original Plum controller exactly, so that programs written for the
//! original need no change. It adds batch requests and watches, so that clients need not poll.
//!
//! ```
//! use std::io::{Read, Write};
//! use plumline_controller::{Config, Controller};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let controller = Controller::start(Config::new().listen("127.0.0.1:0".parse()?))?;
//!
//! let mut stream = std::net::TcpStream::connect(controller.address())?;
//! stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer)?;
//! assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok"));
//!
//! controller.close(); // or drop it
//! # Ok(())
//! # }
//! ```
//!
//! # What it adds
//!
//! Every response carries `Plum-Features: watch, batch` and `Plum-Service-TTL`, the seconds for which an endpoint stays
//! listed after its last heartbeat.
//!
//! | call | |
//! |---|---|
//! | `POST /v1/watch` | waits until one of the named services changes, and returns its whole endpoint list |
//! | `POST /v1/services/heartbeats` | heartbeats of many instances; returns the instances whose stored endpoints do not match the [digest](mod@plumline_wire::digest) in their heartbeat |
//! | `POST /v1/services/registrations` | up to 500 registrations, stored without a probe |
//! | `generation` in a registration | a random string per registration; `DELETE …&generation=G` removes only that registration and refuses it for 60 s, so that a late heartbeat cannot restore it |
//!
//! A watch response lists each removed endpoint with its five identity fields and `why`:
//! `{"serviceName", "instanceId", "ip", "port", "protocol", "why": "deleted" | "expired"}`. A removal
//! is remembered for ten minutes; a watcher that was away longer receives the full lists instead.
//!
//! # How it is built
//!
//! All requests are served from memory. Each row is indexed twice: by service for discovery, and by instance for
//! heartbeats. A heartbeat writes two atomics and takes only the lock of its instance's shard. Discovery responses are
//! cached as bytes. Leases use a clock that stops while the process is stopped, so a controller that was suspended and
//! continued does not expire endpoints for its own silence.
//!
//! With [`StoreKind::Sqlite`] a key-value write is on disk before it is acknowledged. Registrations are soft state: they
//! are written up to 50 ms later. After a restart they are listed at once, for one more TTL. Nodes are kept in memory
//! only, because they report every few seconds.
//!
//! The `plumline` command (crate `plumline-cli`) runs it as a process.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod clock;
mod config;
mod controller;
mod http;
mod notifier;
mod probe;
mod store;

pub use config::{Config, Limits, StoreKind, TlsFiles};
pub use controller::{Controller, StartError};

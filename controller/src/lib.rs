//! The Plum controller: who exists, over HTTP.
//!
//! Programs register the endpoints they serve, beat while they live, and ask who else is there. This crate is
//! that registry: it speaks the HTTP contract of the original Plum controller to the letter, so that programs
//! written against that one notice nothing, and adds what a client needs to be told rather than to ask.
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
//! Every answer carries `Plum-Features: watch, batch` and `Plum-Service-TTL`, the seconds for which an endpoint is
//! believed after its last beat.
//!
//! | call | |
//! |---|---|
//! | `POST /v1/watch` | waits until one of the named services changes, and tells it in full |
//! | `POST /v1/services/heartbeats` | many instances in one beat; names those whose rows are not what the beat's [digest](mod@plumline_wire::digest) says |
//! | `POST /v1/services/registrations` | up to 500 registrations, stored unprobed |
//! | `generation` in a registration | a random string per registration; `DELETE …&generation=G` removes only that one and keeps it out for 60 s, so that a late beat cannot bring it back |
//!
//! A departure stands in a watch's answer as the endpoint's five identity fields and `why`:
//! `{"serviceName", "instanceId", "ip", "port", "protocol", "why": "deleted" | "expired"}`. It is remembered for ten
//! minutes; a watcher that was away longer is told everything instead.
//!
//! # How it is built
//!
//! All is answered from memory. Rows hang under their service, for those who ask, and under their instance, for
//! those who beat; a heartbeat writes two atomics and touches no other lock than its instance's shard. The
//! answers of discovery are kept as ready bytes. Time is a clock of its own that stands still while the process
//! does, so that a stopped and continued controller holds its silence against nobody.
//!
//! With [`StoreKind::Sqlite`] a key-value write is on disk before it is acknowledged. Registrations are soft state:
//! they are written a moment later, and a restart shows them at once and believes them for one more TTL.
//! Nodes are kept in memory only, as they report themselves every few seconds.
//!
//! The `plumline` command (crate `plumline-cli`) runs it as a process.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod clock;
mod config;
mod controller;
mod http;
mod probe;
mod store;
mod watch;

pub use config::{Config, Limits, StoreKind, TlsFiles};
pub use controller::{Controller, StartError};

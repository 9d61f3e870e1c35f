//! What every window onto the crate needs, whatever language looks through it.
//!
//! ```text
//!  guard      an export runs; a panic in it is an ordinary error
//!  logs       the core's events, queued for the language to drain: no native thread calls into it
//!  exit       the clients that have registered something, closed at an orderly exit
//!  failure    a failed attempt, as hooks are told of it
//!  handles    service handles by name: what a call by name is made with
//!  instance   what a program registers, from fields
//!  method     the verbs of HTTP
//! ```
#![forbid(unsafe_code)]

pub mod exit;
pub mod failure;
pub mod guard;
pub mod handles;
pub mod instance;
pub mod logs;
pub mod method;

/// In the child after a fork: what was inherited is inert, and nothing it holds is touched again.
pub fn forked() {
    plumline::runtime::forked();
    logs::forked();
    exit::forked();
}

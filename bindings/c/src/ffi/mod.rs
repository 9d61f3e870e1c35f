//! Every export, and the only `unsafe` there is.
//!
//! ```text
//!  text input output boundary   the fence: pointers come in and go out here, and nowhere else
//!  process                      fork and exit
//!  all others                   one file per thing of plumline.h
//! ```
//!
//! The exports are safe functions: whatever dereferences a pointer of the caller's goes through the fence. The one
//! thing that cannot be checked is that a pointer is alive and of the type that its function names; the header
//! says so.

mod boundary;
mod input;
mod output;
mod process;
mod text;

mod calling;
mod client;
mod config;
mod endpoint;
mod error;
mod explain;
mod hooks;
mod kinds;
mod library;
mod logs;
mod outgoing;
mod pick;
mod registration;
mod request;
mod response;
mod service;
mod stats;
mod strings;
mod trace;
mod watch;

//! The native library inside the `io.plumline` jar: a window onto the crate, with no behaviour of its own.
//!
//! Every native runs inside [`boundary::boundary`]. What crosses is bytes ([`frame`]): one array with the request,
//! one with the answer, so that no header becomes an object before somebody asks for it. Natives are instance
//! methods: the object that holds the number of a value of ours is reachable while one runs.

mod boundary;
mod client;
mod endpoint;
mod ffi;
mod frame;
mod hooks;
mod library;
mod pick;
mod registration;
mod request;
mod response;
mod service;
mod settings;
mod watch;

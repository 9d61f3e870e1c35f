//! The native library inside the `io.plumline` jar. It calls the core and has no behaviour of its own.
//!
//! Every native function runs inside [`boundary::boundary`]. Requests and responses are byte arrays ([`frame`]), so
//! that Java creates an object for a header only when the program reads it. Native methods are instance methods: the
//! object that holds a handle is reachable while one runs.

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

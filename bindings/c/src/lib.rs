//! The library behind `plumline.h`: a window onto the crate, with no behaviour of its own.
//!
//! ```text
//!  ffi/       every export: one line into boundary() each, and the only `unsafe` there is
//!  shelf      strings that C reads, each with a NUL behind it
//!  settings   dotted keys and text, as `plumline_config_set` takes them
//!  raised     what a callback failed with, on its way out of the call
//! ```
//!
//! The committed header is generated from the files in `ffi/` by `tests/header.rs`.

mod ffi;
mod raised;
mod settings;
mod shelf;

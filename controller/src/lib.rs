//! The Plum controller: who exists, over HTTP.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

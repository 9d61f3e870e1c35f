//! Plumline: find a service, call it, survive what fails, stay registered.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

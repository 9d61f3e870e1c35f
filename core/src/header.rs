//! Validation of headers from requests, the configuration and hooks.

use crate::error::{Error, Result};

/// Refuses an invalid name or value, and headers that Plumline sets itself.
pub(crate) fn check_header(name: &str, value: &str) -> Result<()> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Error::invalid(format!(
            "header name {name:?} may contain only letters, digits and !#$%&'*+-.^_`|~"
        )));
    }
    if value.bytes().any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f) {
        return Err(Error::invalid(format!("header {name}: its value contains a control character")));
    }
    if ["content-length", "transfer-encoding", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own))
    {
        return Err(Error::invalid(format!(
            "header {name} is set by Plumline and cannot be set by the caller"
        )));
    }
    Ok(())
}

/// Whether a byte may stand in a method or a header name (RFC 9110, 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

//! What a header may hold, wherever it comes from: a request, the configuration, a hook.

use crate::error::{Error, Result};

/// Refuses what would break out of its header, and what follows from the request itself.
pub(crate) fn check_header(name: &str, value: &str) -> Result<()> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Error::invalid(format!(
            "header name {name:?} may hold only letters, digits and !#$%&'*+-.^_`|~"
        )));
    }
    if value.bytes().any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f) {
        return Err(Error::invalid(format!("header {name}: its value holds a control character")));
    }
    if ["content-length", "transfer-encoding", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own))
    {
        return Err(Error::invalid(format!("header {name} follows from the request and cannot be set")));
    }
    Ok(())
}

/// Whether a byte may stand in a method or a header name (RFC 9110, 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

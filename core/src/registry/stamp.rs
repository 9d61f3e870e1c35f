//! The time as registries store it, for people to read: RFC 3339 to the nanosecond. Nothing is decided by it.

use std::time::SystemTime;

/// Now.
pub(super) fn now() -> String {
    humantime::format_rfc3339_nanos(SystemTime::now()).to_string()
}

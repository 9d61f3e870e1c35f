//! The wall-clock time that records carry for people to read: RFC 3339 with nanoseconds. No decision depends on it.

use std::time::SystemTime;

/// The current time.
pub(super) fn now() -> String {
    humantime::format_rfc3339_nanos(SystemTime::now()).to_string()
}

//! Warnings about malformed records: one warning for each, and another one when its content changes.
//!
//! The writer of such a record does not learn about the problem, and readers read the list again and again.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::sync::Mutex;

/// How many records are remembered. Beyond that the memory is cleared, and each record is warned about again.
const MAX_REMEMBERED: usize = 1_000;

/// The records of one registry that a warning was logged for.
pub(super) struct RecordWarnings {
    source: Arc<str>,
    /// The hash of the content of each record, by its location.
    warned: Mutex<HashMap<String, u64>>,
}

impl RecordWarnings {
    pub(super) fn new(source: &Arc<str>) -> RecordWarnings {
        RecordWarnings { source: source.clone(), warned: Mutex::default() }
    }

    /// Logs a warning about a record, unless there was one for the same content at this location.
    pub(super) fn warn_once(&self, record: &str, content: &[u8], error: &dyn Display) {
        if self.remember(record, content) {
            tracing::warn!(source = %self.source, record, %error, "skipped a malformed record");
        }
    }

    /// Remembers a record; false if it was remembered before with the same content.
    fn remember(&self, record: &str, content: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let hash = hasher.finish();
        let mut warned = self.warned.lock();
        if warned.len() >= MAX_REMEMBERED && !warned.contains_key(record) {
            warned.clear();
        }
        warned.insert(record.to_owned(), hash) != Some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warns_once_until_the_record_changes() {
        let warnings = RecordWarnings::new(&"etcd://a".into());
        let is_new = |record: &str, content: &str| warnings.remember(record, content.as_bytes());
        assert!(is_new("/orders/1", "{"));
        assert!(!is_new("/orders/1", "{"));
        assert!(is_new("/orders/2", "{"));
        assert!(is_new("/orders/1", "{{"));
        assert!(!is_new("/orders/1", "{{"));
    }

    #[test]
    fn remembers_a_limited_number_of_records() {
        let warnings = RecordWarnings::new(&"etcd://a".into());
        (0..3 * MAX_REMEMBERED).for_each(|number| assert!(warnings.remember(&number.to_string(), b"")));
        assert!(warnings.warned.lock().len() <= MAX_REMEMBERED);
        assert!(!warnings.remember(&(3 * MAX_REMEMBERED - 1).to_string(), b""));
    }
}

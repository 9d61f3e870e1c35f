//! Records that are not as agreed: each is left out with one warning, and with another once it is another one.
//!
//! Whoever writes such a record does not hear of it, and a list is read again and again.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::sync::Mutex;

/// So many are remembered; then all are told of anew.
const MOST: usize = 1_000;

/// What has been warned of at one registry.
pub(super) struct Unreadable {
    source: Arc<str>,
    /// The hash of each record's content, by where it is.
    known: Mutex<HashMap<String, u64>>,
}

impl Unreadable {
    pub(super) fn new(source: &Arc<str>) -> Unreadable {
        Unreadable { source: source.clone(), known: Mutex::default() }
    }

    /// Warns of a record, unless that was done of the same content in this place.
    pub(super) fn warn(&self, record: &str, content: &[u8], error: &dyn Display) {
        if self.is_news(record, content) {
            tracing::warn!(source = %self.source, record, %error, "left out: a record that is not as agreed");
        }
    }

    fn is_news(&self, record: &str, content: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let hash = hasher.finish();
        let mut known = self.known.lock();
        if known.len() >= MOST && !known.contains_key(record) {
            known.clear();
        }
        known.insert(record.to_owned(), hash) != Some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_told_of_once_until_it_is_another() {
        let unreadable = Unreadable::new(&"etcd://a".into());
        let told = |record: &str, content: &str| unreadable.is_news(record, content.as_bytes());
        assert!(told("/orders/1", "{"));
        assert!(!told("/orders/1", "{"));
        assert!(told("/orders/2", "{"));
        assert!(told("/orders/1", "{{"));
        assert!(!told("/orders/1", "{{"));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let unreadable = Unreadable::new(&"etcd://a".into());
        (0..3 * MOST).for_each(|number| assert!(unreadable.is_news(&number.to_string(), b"")));
        assert!(unreadable.known.lock().len() <= MOST);
        assert!(!unreadable.is_news(&(3 * MOST - 1).to_string(), b""));
    }
}

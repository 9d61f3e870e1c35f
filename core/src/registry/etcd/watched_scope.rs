//! The known records of a watched scope, and how to apply a list that was read while the watch is running.

use std::collections::HashMap;

use super::read::FoundRecord;

/// The known state of one scope.
#[derive(Default)]
pub(super) struct WatchedScope {
    /// The id of its watch on the current stream.
    pub(super) id: Option<i64>,
    /// All changes up to this revision of this epoch are known; 0: none.
    pub(super) revision: i64,
    pub(super) epoch: u64,
    pub(super) records: HashMap<Vec<u8>, FoundRecord>,
}

/// How to apply a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ListOutcome {
    /// It is current; the watch goes on.
    Current,
    /// It is current, and the watch must start again from its revision.
    Restart,
    /// Events have overtaken it.
    Overtaken,
}

impl WatchedScope {
    /// Whether a list of this epoch and revision contradicts the known records, so that it is of another cluster.
    pub(super) fn contradicts(
        &self,
        epoch: u64,
        records: &HashMap<Vec<u8>, FoundRecord>,
        revision: i64,
    ) -> bool {
        let known_to_both = self.revision.min(revision);
        // The check is only for an unknown change of the cluster; a change of the epoch is known already.
        self.epoch == epoch
            && records.iter().any(|(key, found)| {
                let differs = |known: &FoundRecord| {
                    known.revision != found.revision && known.revision.max(found.revision) <= known_to_both
                };
                self.records.get(key).is_some_and(differs)
            })
    }

    /// How to apply a list of this epoch and revision. `first`: it is the first one on this stream.
    pub(super) fn list_outcome(&self, epoch: u64, revision: i64, first: bool) -> ListOutcome {
        let is_overtaken = self.id.is_some() && self.revision > revision;
        if self.epoch != epoch {
            // The watch waits for a revision that the new cluster reaches later.
            ListOutcome::Restart
        } else if is_overtaken && first {
            // The known state may be of another cluster, so the events since then may be incomplete.
            ListOutcome::Restart
        } else if is_overtaken {
            ListOutcome::Overtaken
        } else {
            ListOutcome::Current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::json_record::InstanceKey;

    fn found(revision: i64) -> FoundRecord {
        let key = InstanceKey { service: "orders".into(), instance_id: "orders-1".into() };
        FoundRecord { key, revision, endpoints: Vec::new(), ttl: None, is_named: false }
    }

    fn records(written: &[(&str, i64)]) -> HashMap<Vec<u8>, FoundRecord> {
        written.iter().map(|(key, revision)| (key.as_bytes().to_vec(), found(*revision))).collect()
    }

    /// A watched scope, known up to a revision of epoch 1.
    fn watched(revision: i64, written: &[(&str, i64)]) -> WatchedScope {
        WatchedScope { id: Some(2), revision, epoch: 1, records: records(written) }
    }

    #[test]
    fn first_list_of_a_stream_is_applied_even_if_overtaken() {
        let known = watched(9, &[]);
        assert_eq!(known.list_outcome(1, 9, true), ListOutcome::Current);
        assert_eq!(
            known.list_outcome(1, 8, true),
            ListOutcome::Restart,
            "the known state may be of another cluster"
        );
        assert_eq!(known.list_outcome(1, 8, false), ListOutcome::Overtaken);
        assert_eq!(known.list_outcome(2, 12, false), ListOutcome::Restart);
        let unwatched = WatchedScope { id: None, ..watched(9, &[]) };
        assert_eq!(unwatched.list_outcome(1, 8, true), ListOutcome::Current);
    }

    #[test]
    fn two_revisions_of_one_key_indicate_another_cluster() {
        let known = watched(9, &[("a", 4), ("b", 9)]);
        for (listed, revision, is_contradicted) in
            [("a", 4, false), ("a", 5, true), ("a", 3, true), ("a", 10, false), ("new", 3, false)]
        {
            assert_eq!(
                known.contradicts(1, &records(&[(listed, revision)]), 12),
                is_contradicted,
                "{listed} {revision}"
            );
        }
        assert!(!known.contradicts(2, &records(&[("a", 5)]), 12), "the change of the epoch is known");
        // The list is older than the last write of b.
        assert!(!known.contradicts(1, &records(&[("b", 5)]), 8));
        assert!(known.contradicts(1, &records(&[("a", 5)]), 8));
    }
}

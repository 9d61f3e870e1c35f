//! The known records of a watched scope, and how to apply a list that was read while the watch is running.

use std::collections::HashMap;

use super::read::Found;

/// The known state of one scope.
#[derive(Default)]
pub(super) struct Followed {
    /// The id of its watch on the current stream.
    pub(super) id: Option<i64>,
    /// All changes up to this revision of this epoch are known; 0: none.
    pub(super) revision: i64,
    pub(super) epoch: u64,
    pub(super) records: HashMap<Vec<u8>, Found>,
}

/// How to apply a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is current; the watch goes on.
    Taken,
    /// It is current, and the watch must start again from its revision.
    Anew,
    /// Events have overtaken it.
    Behind,
}

impl Followed {
    /// Whether a list of this epoch and revision contradicts the known records, so that it is of another cluster.
    pub(super) fn contradicts(&self, epoch: u64, records: &HashMap<Vec<u8>, Found>, revision: i64) -> bool {
        let known_to_both = self.revision.min(revision);
        // The check is only for an unknown change of the cluster; a change of the epoch is known already.
        self.epoch == epoch
            && records.iter().any(|(key, found)| {
                let differs = |known: &Found| {
                    known.revision != found.revision && known.revision.max(found.revision) <= known_to_both
                };
                self.records.get(key).is_some_and(differs)
            })
    }

    /// How to apply a list of this epoch and revision. `first`: it is the first one on this stream.
    pub(super) fn judge(&self, epoch: u64, revision: i64, first: bool) -> Verdict {
        let is_overtaken = self.id.is_some() && self.revision > revision;
        if self.epoch != epoch {
            // The watch waits for a revision that the new cluster reaches later.
            Verdict::Anew
        } else if is_overtaken && first {
            // The known state may be of another cluster, so the events since then may be incomplete.
            Verdict::Anew
        } else if is_overtaken {
            Verdict::Behind
        } else {
            Verdict::Taken
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::json_record::InstanceKey;

    fn found(revision: i64) -> Found {
        let place = InstanceKey { service: "orders".into(), instance_id: "orders-1".into() };
        Found { place, revision, endpoints: Vec::new(), ttl: None, is_named: false }
    }

    fn records(written: &[(&str, i64)]) -> HashMap<Vec<u8>, Found> {
        written.iter().map(|(key, revision)| (key.as_bytes().to_vec(), found(*revision))).collect()
    }

    /// A watched scope, known up to a revision of epoch 1.
    fn followed(revision: i64, written: &[(&str, i64)]) -> Followed {
        Followed { id: Some(2), revision, epoch: 1, records: records(written) }
    }

    #[test]
    fn first_list_of_a_stream_is_applied_even_if_overtaken() {
        let known = followed(9, &[]);
        assert_eq!(known.judge(1, 9, true), Verdict::Taken);
        assert_eq!(known.judge(1, 8, true), Verdict::Anew, "the known state may be of another cluster");
        assert_eq!(known.judge(1, 8, false), Verdict::Behind);
        assert_eq!(known.judge(2, 12, false), Verdict::Anew);
        let unwatched = Followed { id: None, ..followed(9, &[]) };
        assert_eq!(unwatched.judge(1, 8, true), Verdict::Taken);
    }

    #[test]
    fn two_revisions_of_one_key_indicate_another_cluster() {
        let known = followed(9, &[("a", 4), ("b", 9)]);
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

//! What is known of what is watched, and what becomes of a list that is read beside it.

use std::collections::HashMap;

use super::read::Found;

/// What is known of one scope.
#[derive(Default)]
pub(super) struct Followed {
    /// The watch of it on the present stream.
    pub(super) id: Option<i64>,
    /// Everything up to this revision of this epoch is known; 0: nothing is.
    pub(super) revision: i64,
    pub(super) epoch: u64,
    pub(super) records: HashMap<Vec<u8>, Found>,
}

/// What becomes of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is what there is; what is watched goes on.
    Taken,
    /// It is what there is, and the watch begins anew from it.
    Anew,
    /// Events have told more already.
    Behind,
}

impl Followed {
    /// Whether a list that is of this epoch and revision tells another story than we know.
    pub(super) fn contradicts(&self, epoch: u64, records: &HashMap<Vec<u8>, Found>, revision: i64) -> bool {
        let known_to_both = self.revision.min(revision);
        // Of another epoch we know already.
        self.epoch == epoch
            && records.iter().any(|(key, found)| {
                let differs = |known: &Found| {
                    known.revision != found.revision && known.revision.max(found.revision) <= known_to_both
                };
                self.records.get(key).is_some_and(differs)
            })
    }

    /// What becomes of a list of this epoch and revision, the `first` one on this stream or a later one.
    pub(super) fn judge(&self, epoch: u64, revision: i64, first: bool) -> Verdict {
        let is_overtaken = self.id.is_some() && self.revision > revision;
        if self.epoch != epoch {
            // Its watch waits for what the cluster called the future before it began anew.
            Verdict::Anew
        } else if is_overtaken && first {
            // Events that follow on a past which may be another cluster's tell only what they tell.
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
    use crate::registry::record::Place;

    fn found(revision: i64) -> Found {
        let place = Place { service: "orders".into(), instance_id: "orders-1".into() };
        Found { place, revision, endpoints: Vec::new(), ttl: None, is_named: false }
    }

    fn records(written: &[(&str, i64)]) -> HashMap<Vec<u8>, Found> {
        written.iter().map(|(key, revision)| (key.as_bytes().to_vec(), found(*revision))).collect()
    }

    /// Watched, and known up to a revision of epoch 1.
    fn followed(revision: i64, written: &[(&str, i64)]) -> Followed {
        Followed { id: Some(2), revision, epoch: 1, records: records(written) }
    }

    #[test]
    fn the_first_list_of_a_stream_counts_although_events_have_overtaken_it() {
        let known = followed(9, &[]);
        assert_eq!(known.judge(1, 9, true), Verdict::Taken);
        assert_eq!(known.judge(1, 8, true), Verdict::Anew, "what it shows may be another cluster's");
        assert_eq!(known.judge(1, 8, false), Verdict::Behind);
        assert_eq!(known.judge(2, 12, false), Verdict::Anew);
        let unwatched = Followed { id: None, ..followed(9, &[]) };
        assert_eq!(unwatched.judge(1, 8, true), Verdict::Taken);
    }

    #[test]
    fn a_key_that_was_written_at_two_revisions_of_one_past_tells_of_two_clusters() {
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
        assert!(!known.contradicts(2, &records(&[("a", 5)]), 12), "that it began anew is known");
        // The list is of a time before b was written anew.
        assert!(!known.contradicts(1, &records(&[("b", 5)]), 8));
        assert!(known.contradicts(1, &records(&[("a", 5)]), 8));
    }
}

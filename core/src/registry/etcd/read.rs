//! Lists of endpoints and names, and which epoch they are of.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::line::{Connected, Lines};
use super::proto::{KeyValue, RangeRequest, RangeResponse, ResponseHeader};
use crate::error::Result;
use crate::model::Endpoint;
use crate::registry::record::{Place, Record, path_of};
use crate::registry::resolve::Resolver;
use crate::registry::unreadable::Unreadable;
use crate::registry::{Absence, Listing, RegistryUpdate};
use crate::sync::Mutex;

/// The longest that a record's word about its TTL is taken for.
const LONGEST_TTL: Duration = Duration::from_mins(5);

/// Reads what lies below a prefix.
pub(super) struct Reader {
    source: Arc<str>,
    prefix: String,
    names: Arc<Resolver>,
    resolve_timeout: Duration,
    history: Mutex<History>,
    unreadable: Unreadable,
}

/// What tells one epoch of the cluster from the next.
#[derive(Clone, Copy, Default)]
struct History {
    cluster: u64,
    revision: i64,
    epoch: u64,
}

/// An answer, and what was known when it was asked for.
pub(super) struct Answer {
    pub(super) kvs: Vec<KeyValue>,
    pub(super) header: ResponseHeader,
    asked: History,
}

/// A range of keys: those that begin with `from`.
pub(super) struct Range {
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
}

/// The endpoints of one record, and how long it is kept.
pub(super) struct Found {
    pub(super) place: Place,
    /// When it was written.
    pub(super) revision: i64,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) ttl: Option<Duration>,
    /// Whether its host is a name, whose addresses may change.
    pub(super) is_named: bool,
}

impl Reader {
    pub(super) fn new(
        source: Arc<str>,
        prefix: &str,
        names: Arc<Resolver>,
        resolve_timeout: Duration,
    ) -> Reader {
        let (history, unreadable) = (Mutex::default(), Unreadable::new(&source));
        Reader { source, prefix: prefix.to_owned(), names, resolve_timeout, history, unreadable }
    }

    /// The keys of a service's instances, or of everybody's.
    pub(super) fn range(&self, service: Option<&str>) -> Range {
        let below = service.map_or_else(|| self.prefix.clone(), |service| path_of(&self.prefix, service));
        // '0' follows '/'.
        Range { from: format!("{below}/").into_bytes(), to: format!("{below}0").into_bytes() }
    }

    pub(super) async fn read(&self, lines: &Lines, service: &str) -> Result<RegistryUpdate> {
        let answer = self.list(lines, Some(service)).await?;
        let (mut endpoints, mut ttl) = (Vec::new(), None);
        for kv in &answer.kvs {
            if let Some(found) = self.found(kv).await {
                ttl = ttl.max(found.ttl);
                endpoints.extend(found.endpoints);
            }
        }
        let lists = vec![(service.to_owned(), Listing { endpoints, removed: Vec::new() })];
        Ok(RegistryUpdate { ttl, lists, ..self.heard(&answer) })
    }

    pub(super) async fn names(&self, lines: &Lines) -> Result<Vec<String>> {
        let Range { from, to } = self.range(None);
        let request = RangeRequest { key: from, range_end: to, keys_only: true, ..RangeRequest::default() };
        let answer = self.ask(lines, request).await?;
        let names: BTreeSet<String> =
            answer.kvs.iter().filter_map(|kv| self.place(kv)).map(|place| place.service).collect();
        Ok(names.into_iter().collect())
    }

    /// Everything there is of a service, or of all.
    pub(super) async fn list(&self, lines: &Lines, service: Option<&str>) -> Result<Answer> {
        let Range { from, to } = self.range(service);
        self.ask(lines, RangeRequest { key: from, range_end: to, ..RangeRequest::default() }).await
    }

    /// Only which epoch it is, and which revision.
    pub(super) async fn look(&self, lines: &Lines) -> Result<Answer> {
        let Range { from, to } = self.range(None);
        let request =
            RangeRequest { key: from, range_end: to, limit: 1, keys_only: true, ..RangeRequest::default() };
        self.ask(lines, request).await
    }

    async fn ask(&self, lines: &Lines, request: RangeRequest) -> Result<Answer> {
        let asked = *self.history.lock();
        let question = |connected: Connected| {
            let request = request.clone();
            async move { connected.kv().range(connected.request(request)).await }
        };
        let RangeResponse { header, kvs, .. } = lines.ask(question).await?;
        Ok(Answer { kvs, header: header.unwrap_or_default(), asked })
    }

    /// What an answer says of itself; its lists are left out.
    pub(super) fn heard(&self, answer: &Answer) -> RegistryUpdate {
        let (mut history, header) = (self.history.lock(), &answer.header);
        // A cluster never goes back: one that does was restored or begun anew, and has forgotten. Answers may
        // overtake each other, so each is held against what was known when it was asked for.
        let is_back = history.epoch == answer.asked.epoch && header.revision < answer.asked.revision;
        if history.epoch == 0 || header.cluster_id != history.cluster || is_back {
            *history =
                History { cluster: header.cluster_id, revision: header.revision, epoch: history.epoch + 1 };
        }
        history.revision = history.revision.max(header.revision);
        drop(history);
        self.as_before()
    }

    /// A sign of life: the epoch is the one that was.
    pub(super) fn as_before(&self) -> RegistryUpdate {
        let epoch = Some(format!("{}#{}", self.source, self.epoch()));
        RegistryUpdate { epoch, absence: Absence::WhenSettled, ..RegistryUpdate::default() }
    }

    /// An answer cannot be of the cluster that was: it began anew, and has written more since than we knew of.
    pub(super) fn began_anew(&self, answer: &Answer) {
        let mut history = self.history.lock();
        // Somebody may have noticed already.
        if history.epoch == answer.asked.epoch {
            history.epoch += 1;
        }
    }

    /// Which epoch it is, as far as has been heard.
    pub(super) fn epoch(&self) -> u64 {
        self.history.lock().epoch
    }

    /// Whose key it is; none where it is nobody's.
    pub(super) fn place(&self, kv: &KeyValue) -> Option<Place> {
        Place::at(&self.prefix, std::str::from_utf8(&kv.key).ok()?)
    }

    /// What a key's value says. What is no record is left out with a warning, the first time.
    pub(super) async fn found(&self, kv: &KeyValue) -> Option<Found> {
        let record = Record::read(&kv.value);
        let path = String::from_utf8_lossy(&kv.key);
        let (place, record) = match (self.place(kv), record) {
            (Some(place), Ok(record)) => (place, record),
            (place, record) => {
                let error =
                    record.err().filter(|_| place.is_some()).unwrap_or_else(|| "no place for one".into());
                self.unreadable.warn(&path, &kv.value, &error);
                return None;
            }
        };
        let ips = match self.names.found(record.host(), self.resolve_timeout).await {
            Ok(ips) => ips,
            Err(error) => {
                tracing::debug!(source = %self.source, %path, %error, "left out: its host is not known");
                Vec::new()
            }
        };
        // Whoever registers anew does so under another lease.
        let generation = if kv.lease == 0 { String::new() } else { format!("{:x}", kv.lease) };
        let endpoint = |ip| record.endpoint(&place, ip, &generation, &self.source);
        let endpoints = ips.into_iter().map(endpoint).collect();
        let is_named = record.host().parse::<IpAddr>().is_err();
        let (revision, ttl) = (kv.mod_revision, record.ttl().map(|ttl| ttl.min(LONGEST_TTL)));
        Some(Found { place, revision, endpoints, ttl, is_named })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::open::tests::setup;

    fn reader() -> Reader {
        let names = Arc::new(Resolver::new(&setup()));
        Reader::new("etcd://a:2379".into(), "/services", names, Duration::from_secs(1))
    }

    /// An answer to a question that is asked now.
    fn answer(reader: &Reader, cluster_id: u64, revision: i64) -> Answer {
        let header = ResponseHeader { cluster_id, revision };
        Answer { kvs: Vec::new(), header, asked: *reader.history.lock() }
    }

    #[test]
    fn a_cluster_that_began_anew_is_another_epoch() {
        let reader = reader();
        let told = |cluster, revision| {
            let answer = answer(&reader, cluster, revision);
            reader.heard(&answer).epoch
        };
        let first = told(7, 10);
        assert_eq!(told(7, 10), first);
        assert_eq!(told(7, 12), first);
        let restored = told(7, 3);
        assert_ne!(restored, first, "its revision went back");
        assert_eq!(told(7, 4), restored);
        assert_ne!(told(8, 5), restored, "it is another cluster");
    }

    #[test]
    fn answers_that_overtake_each_other_are_of_one_epoch() {
        let reader = reader();
        let early = answer(&reader, 7, 10);
        reader.heard(&early);
        let (slow, fast) = (answer(&reader, 7, 11), answer(&reader, 7, 20));
        let epoch = reader.heard(&fast).epoch;
        assert_eq!(reader.heard(&slow).epoch, epoch);
    }

    #[test]
    fn a_range_holds_what_is_below_and_nothing_beside() {
        let Range { from, to } = reader().range(Some("orders"));
        let holds = |key: &str| from.as_slice() <= key.as_bytes() && key.as_bytes() < to.as_slice();
        assert!(holds("/services/orders/1") && holds("/services/orders/\u{10ffff}"));
        assert!(!holds("/services/orders") && !holds("/services/orders-2/1") && !holds("/services/order/1"));
    }
}

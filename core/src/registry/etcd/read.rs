//! Reads lists of endpoints and names, and determines their epoch.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::line::{Connected, Lines};
use super::proto::{KeyValue, RangeRequest, RangeResponse, ResponseHeader};
use crate::error::Result;
use crate::model::Endpoint;
use crate::registry::json_record::{InstanceKey, JsonRecord, service_path};
use crate::registry::record_warnings::RecordWarnings;
use crate::registry::resolver::Resolver;
use crate::registry::types::{Absence, Listing, RegistryUpdate};
use crate::sync::Mutex;

/// The longest TTL that is accepted from a record.
const LONGEST_TTL: Duration = Duration::from_mins(5);

/// Reads the records below a prefix.
pub(super) struct Reader {
    source: Arc<str>,
    prefix: String,
    names: Arc<Resolver>,
    resolve_timeout: Duration,
    history: Mutex<History>,
    record_warnings: RecordWarnings,
}

/// The history of the cluster, as far as it is known; it determines the epoch.
#[derive(Clone, Copy, Default)]
struct History {
    cluster: u64,
    revision: i64,
    epoch: u64,
}

/// The response to a range request, and the history known when the request was sent.
pub(super) struct Answer {
    pub(super) kvs: Vec<KeyValue>,
    pub(super) header: ResponseHeader,
    asked: History,
}

/// A range of keys: from `from` up to, but excluding, `to`.
pub(super) struct Range {
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
}

/// A record with its endpoints.
pub(super) struct Found {
    pub(super) place: InstanceKey,
    /// The revision of its last write.
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
        let (history, record_warnings) = (Mutex::default(), RecordWarnings::new(&source));
        Reader { source, prefix: prefix.to_owned(), names, resolve_timeout, history, record_warnings }
    }

    /// The keys of the instances of one service, or of all services.
    pub(super) fn range(&self, service: Option<&str>) -> Range {
        let below =
            service.map_or_else(|| self.prefix.clone(), |service| service_path(&self.prefix, service));
        // '0' is the character after '/'.
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

    /// Lists all records of one service, or of all services.
    pub(super) async fn list(&self, lines: &Lines, service: Option<&str>) -> Result<Answer> {
        let Range { from, to } = self.range(service);
        self.ask(lines, RangeRequest { key: from, range_end: to, ..RangeRequest::default() }).await
    }

    /// Requests the cluster id and the revision only.
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

    /// The update for a response, without lists. Determines the epoch.
    pub(super) fn heard(&self, answer: &Answer) -> RegistryUpdate {
        let (mut history, header) = (self.history.lock(), &answer.header);
        // The revision of a cluster never decreases. If it does, the cluster was restored and has lost registrations.
        // Responses may overtake each other, so each is compared with the history known when its request was sent.
        let is_back = history.epoch == answer.asked.epoch && header.revision < answer.asked.revision;
        if history.epoch == 0 || header.cluster_id != history.cluster || is_back {
            *history =
                History { cluster: header.cluster_id, revision: header.revision, epoch: history.epoch + 1 };
        }
        history.revision = history.revision.max(header.revision);
        drop(history);
        self.as_before()
    }

    /// An update without changes, under the current epoch.
    pub(super) fn as_before(&self) -> RegistryUpdate {
        let epoch = Some(format!("{}#{}", self.source, self.epoch()));
        RegistryUpdate { epoch, absence: Absence::AfterSettling, ..RegistryUpdate::default() }
    }

    /// Starts a new epoch: the list contradicts the known records, so the cluster was restored and has passed our revision.
    pub(super) fn began_anew(&self, answer: &Answer) {
        let mut history = self.history.lock();
        // Another task may have noticed it already.
        if history.epoch == answer.asked.epoch {
            history.epoch += 1;
        }
    }

    /// The current epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.history.lock().epoch
    }

    /// The service and instance id of a key; `None` if it is not the key of a record.
    pub(super) fn place(&self, kv: &KeyValue) -> Option<InstanceKey> {
        InstanceKey::parse(&self.prefix, std::str::from_utf8(&kv.key).ok()?)
    }

    /// The record in a key. A malformed record is skipped, with a warning the first time.
    pub(super) async fn found(&self, kv: &KeyValue) -> Option<Found> {
        let record = JsonRecord::read(&kv.value);
        let path = String::from_utf8_lossy(&kv.key);
        let (place, record) = match (self.place(kv), record) {
            (Some(place), Ok(record)) => (place, record),
            (place, record) => {
                let error = record
                    .err()
                    .filter(|_| place.is_some())
                    .unwrap_or_else(|| "not the path of a record".into());
                self.record_warnings.warn_once(&path, &kv.value, &error);
                return None;
            }
        };
        let ips = match self.names.resolve_async(record.host(), self.resolve_timeout).await {
            Ok(ips) => ips,
            Err(error) => {
                tracing::debug!(source = %self.source, %path, %error, "skipped an endpoint: its host cannot be resolved");
                Vec::new()
            }
        };
        // A new registration uses another lease.
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
    use crate::registry::setup::test_setup;

    fn reader() -> Reader {
        let names = Arc::new(Resolver::new(&test_setup()));
        Reader::new("etcd://a:2379".into(), "/services", names, Duration::from_secs(1))
    }

    /// The response to a request that is sent now.
    fn answer(reader: &Reader, cluster_id: u64, revision: i64) -> Answer {
        let header = ResponseHeader { cluster_id, revision };
        Answer { kvs: Vec::new(), header, asked: *reader.history.lock() }
    }

    #[test]
    fn restored_or_other_cluster_starts_a_new_epoch() {
        let reader = reader();
        let told = |cluster, revision| {
            let answer = answer(&reader, cluster, revision);
            reader.heard(&answer).epoch
        };
        let first = told(7, 10);
        assert_eq!(told(7, 10), first);
        assert_eq!(told(7, 12), first);
        let restored = told(7, 3);
        assert_ne!(restored, first, "its revision decreased");
        assert_eq!(told(7, 4), restored);
        assert_ne!(told(8, 5), restored, "it is another cluster");
    }

    #[test]
    fn responses_out_of_order_keep_the_epoch() {
        let reader = reader();
        let early = answer(&reader, 7, 10);
        reader.heard(&early);
        let (slow, fast) = (answer(&reader, 7, 11), answer(&reader, 7, 20));
        let epoch = reader.heard(&fast).epoch;
        assert_eq!(reader.heard(&slow).epoch, epoch);
    }

    #[test]
    fn range_contains_exactly_the_keys_below_a_service() {
        let Range { from, to } = reader().range(Some("orders"));
        let holds = |key: &str| from.as_slice() <= key.as_bytes() && key.as_bytes() < to.as_slice();
        assert!(holds("/services/orders/1") && holds("/services/orders/\u{10ffff}"));
        assert!(!holds("/services/orders") && !holds("/services/orders-2/1") && !holds("/services/order/1"));
    }
}

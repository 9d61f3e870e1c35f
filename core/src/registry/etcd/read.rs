//! Reads lists of endpoints and names, and determines their epoch.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::connection::{EtcdCluster, EtcdConnection};
use super::proto::{KeyValue, RangeRequest, RangeResponse, ResponseHeader};
use crate::error::Result;
use crate::model::Endpoint;
use crate::registry::json_record::{InstanceKey, JsonRecord, service_path};
use crate::registry::record_warnings::RecordWarnings;
use crate::registry::resolver::Resolver;
use crate::registry::types::{Absence, Listing, RegistryUpdate};
use crate::sync::Mutex;

/// The longest TTL that is accepted from a record.
const MAX_TTL: Duration = Duration::from_mins(5);

/// Reads the records below a prefix.
pub(super) struct EtcdReader {
    source: Arc<str>,
    prefix: String,
    resolver: Arc<Resolver>,
    resolve_timeout: Duration,
    history: Mutex<ClusterHistory>,
    record_warnings: RecordWarnings,
}

/// The history of the cluster, as far as it is known; it determines the epoch.
#[derive(Clone, Copy, Default)]
struct ClusterHistory {
    cluster: u64,
    revision: i64,
    epoch: u64,
}

/// The response to a range request, and the history known when the request was sent.
pub(super) struct RangeAnswer {
    pub(super) kvs: Vec<KeyValue>,
    pub(super) header: ResponseHeader,
    known: ClusterHistory,
}

/// A range of keys: from `from` up to, but excluding, `to`.
pub(super) struct KeyRange {
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
}

/// A record with its endpoints.
pub(super) struct FoundRecord {
    pub(super) key: InstanceKey,
    /// The revision of its last write.
    pub(super) revision: i64,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) ttl: Option<Duration>,
    /// Whether its host is a name, whose addresses may change.
    pub(super) is_named: bool,
}

impl EtcdReader {
    pub(super) fn new(
        source: Arc<str>,
        prefix: &str,
        resolver: Arc<Resolver>,
        resolve_timeout: Duration,
    ) -> EtcdReader {
        let (history, record_warnings) = (Mutex::default(), RecordWarnings::new(&source));
        EtcdReader { source, prefix: prefix.to_owned(), resolver, resolve_timeout, history, record_warnings }
    }

    /// The keys of the instances of one service, or of all services.
    pub(super) fn range(&self, service: Option<&str>) -> KeyRange {
        let below =
            service.map_or_else(|| self.prefix.clone(), |service| service_path(&self.prefix, service));
        // '0' is the character after '/'.
        KeyRange { from: format!("{below}/").into_bytes(), to: format!("{below}0").into_bytes() }
    }

    pub(super) async fn read(&self, cluster: &EtcdCluster, service: &str) -> Result<RegistryUpdate> {
        let response = self.list(cluster, Some(service)).await?;
        let (mut endpoints, mut ttl) = (Vec::new(), None);
        for kv in &response.kvs {
            if let Some(found) = self.read_record(kv).await {
                ttl = ttl.max(found.ttl);
                endpoints.extend(found.endpoints);
            }
        }
        let lists = vec![(service.to_owned(), Listing { endpoints, removed: Vec::new() })];
        Ok(RegistryUpdate { ttl, lists, ..self.update_for(&response) })
    }

    pub(super) async fn service_names(&self, cluster: &EtcdCluster) -> Result<Vec<String>> {
        let KeyRange { from, to } = self.range(None);
        let request = RangeRequest { key: from, range_end: to, keys_only: true, ..RangeRequest::default() };
        let response = self.request_range(cluster, request).await?;
        let names: BTreeSet<String> =
            response.kvs.iter().filter_map(|kv| self.key_of(kv)).map(|key| key.service).collect();
        Ok(names.into_iter().collect())
    }

    /// Lists all records of one service, or of all services.
    pub(super) async fn list(&self, cluster: &EtcdCluster, service: Option<&str>) -> Result<RangeAnswer> {
        let KeyRange { from, to } = self.range(service);
        self.request_range(cluster, RangeRequest { key: from, range_end: to, ..RangeRequest::default() })
            .await
    }

    /// Requests the cluster id and the revision only.
    pub(super) async fn read_header(&self, cluster: &EtcdCluster) -> Result<RangeAnswer> {
        let KeyRange { from, to } = self.range(None);
        let request =
            RangeRequest { key: from, range_end: to, limit: 1, keys_only: true, ..RangeRequest::default() };
        self.request_range(cluster, request).await
    }

    async fn request_range(&self, cluster: &EtcdCluster, request: RangeRequest) -> Result<RangeAnswer> {
        let known = *self.history.lock();
        let send = |connection: EtcdConnection| {
            let request = request.clone();
            async move { connection.kv().range(connection.request(request)).await }
        };
        let RangeResponse { header, kvs, .. } = cluster.request(send).await?;
        Ok(RangeAnswer { kvs, header: header.unwrap_or_default(), known })
    }

    /// The update for a response, without lists. Determines the epoch.
    pub(super) fn update_for(&self, response: &RangeAnswer) -> RegistryUpdate {
        let (mut history, header) = (self.history.lock(), &response.header);
        // The revision of a cluster never decreases. If it does, the cluster was restored and has lost registrations.
        // Responses may overtake each other, so each is compared with the history known when its request was sent.
        let is_back = history.epoch == response.known.epoch && header.revision < response.known.revision;
        if history.epoch == 0 || header.cluster_id != history.cluster || is_back {
            *history = ClusterHistory {
                cluster: header.cluster_id,
                revision: header.revision,
                epoch: history.epoch + 1,
            };
        }
        history.revision = history.revision.max(header.revision);
        drop(history);
        self.unchanged_update()
    }

    /// An update without changes, under the current epoch.
    pub(super) fn unchanged_update(&self) -> RegistryUpdate {
        let epoch = Some(format!("{}#{}", self.source, self.epoch()));
        RegistryUpdate { epoch, absence: Absence::AfterSettling, ..RegistryUpdate::default() }
    }

    /// Starts a new epoch: the list contradicts the known records, so the cluster was restored and has passed our revision.
    pub(super) fn start_new_epoch(&self, response: &RangeAnswer) {
        let mut history = self.history.lock();
        // Another task may have noticed it already.
        if history.epoch == response.known.epoch {
            history.epoch += 1;
        }
    }

    /// The current epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.history.lock().epoch
    }

    /// The service and instance id of a key; `None` if it is not the key of a record.
    pub(super) fn key_of(&self, kv: &KeyValue) -> Option<InstanceKey> {
        InstanceKey::parse(&self.prefix, std::str::from_utf8(&kv.key).ok()?)
    }

    /// The record in a key. A malformed record is skipped, with a warning the first time.
    pub(super) async fn read_record(&self, kv: &KeyValue) -> Option<FoundRecord> {
        let record = JsonRecord::read(&kv.value);
        let path = String::from_utf8_lossy(&kv.key);
        let (key, record) = match (self.key_of(kv), record) {
            (Some(key), Ok(record)) => (key, record),
            (key, record) => {
                let error = record
                    .err()
                    .filter(|_| key.is_some())
                    .unwrap_or_else(|| "not the path of a record".into());
                self.record_warnings.warn_once(&path, &kv.value, &error);
                return None;
            }
        };
        let ips = match self.resolver.resolve_async(record.host(), self.resolve_timeout).await {
            Ok(ips) => ips,
            Err(error) => {
                tracing::debug!(source = %self.source, %path, %error, "skipped an endpoint: its host cannot be resolved");
                Vec::new()
            }
        };
        // A new registration uses another lease.
        let generation = if kv.lease == 0 { String::new() } else { format!("{:x}", kv.lease) };
        let endpoint = |ip| record.endpoint(&key, ip, &generation, &self.source);
        let endpoints = ips.into_iter().map(endpoint).collect();
        let is_named = record.host().parse::<IpAddr>().is_err();
        let (revision, ttl) = (kv.mod_revision, record.ttl().map(|ttl| ttl.min(MAX_TTL)));
        Some(FoundRecord { key, revision, endpoints, ttl, is_named })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::setup::test_setup;

    fn reader() -> EtcdReader {
        let names = Arc::new(Resolver::new(&test_setup()));
        EtcdReader::new("etcd://a:2379".into(), "/services", names, Duration::from_secs(1))
    }

    /// The response to a request that is sent now.
    fn response(reader: &EtcdReader, cluster_id: u64, revision: i64) -> RangeAnswer {
        let header = ResponseHeader { cluster_id, revision };
        RangeAnswer { kvs: Vec::new(), header, known: *reader.history.lock() }
    }

    #[test]
    fn restored_or_other_cluster_starts_a_new_epoch() {
        let reader = reader();
        let reported = |cluster, revision| {
            let response = response(&reader, cluster, revision);
            reader.update_for(&response).epoch
        };
        let first = reported(7, 10);
        assert_eq!(reported(7, 10), first);
        assert_eq!(reported(7, 12), first);
        let restored = reported(7, 3);
        assert_ne!(restored, first, "its revision decreased");
        assert_eq!(reported(7, 4), restored);
        assert_ne!(reported(8, 5), restored, "it is another cluster");
    }

    #[test]
    fn responses_out_of_order_keep_the_epoch() {
        let reader = reader();
        let early = response(&reader, 7, 10);
        reader.update_for(&early);
        let (slow, fast) = (response(&reader, 7, 11), response(&reader, 7, 20));
        let epoch = reader.update_for(&fast).epoch;
        assert_eq!(reader.update_for(&slow).epoch, epoch);
    }

    #[test]
    fn range_contains_exactly_the_keys_below_a_service() {
        let KeyRange { from, to } = reader().range(Some("orders"));
        let holds = |key: &str| from.as_slice() <= key.as_bytes() && key.as_bytes() < to.as_slice();
        assert!(holds("/services/orders/1") && holds("/services/orders/\u{10ffff}"));
        assert!(!holds("/services/orders") && !holds("/services/orders-2/1") && !holds("/services/order/1"));
    }
}

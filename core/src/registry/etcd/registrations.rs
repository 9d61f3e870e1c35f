//! Registrations: records under leases.
//!
//! A lease holds up to 200 records with the same TTL. A heartbeat renews it and requests its keys, so one request and
//! response keep 200 instances alive, and a key that someone deleted or overwrote is still noticed. If a lease is gone
//! (its TTL has expired, or the cluster was restored), its records are unknown; they are written again under a new lease.
//!
//! All operations run one after the other. The claims say which registration owns a key; they change before any request
//! is sent. So a closed registration is not written any more. A key under one of our leases that no registration owns (a
//! write that timed out, a deletion that was given up) is removed by the next heartbeat. Several clients may share a
//! connection; their registrations share the leases.

use super::client::EtcdClient;
use super::connection::EtcdConnection;
use super::leases::{
    EtcdLeases, GrantedLease, MAX_BYTES, MAX_OPERATIONS, PendingPut, RECORDS_PER_LEASE, seconds,
};
use super::proto::compare::{CompareResult, CompareTarget, TargetUnion};
use super::proto::request_op::Request as Op;
use super::proto::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, PutRequest, RequestOp, TxnRequest, TxnResponse,
};
use crate::error::{Error, Kind, Result};
use crate::registry::http_host::is_outage;
use crate::registry::json_record::InstanceKey;
use crate::registry::types::{DEFAULT_TTL, HeartbeatResult, RegistryEntry, fail_all};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

impl EtcdClient {
    pub(super) async fn register(&self, entries: &[RegistryEntry]) -> Vec<Result<()>> {
        let mut leases = self.leases.lock().await;
        let mut outcomes: Vec<Result<()>> = entries.iter().map(|_| Ok(())).collect();
        let mut by_ttl: BTreeMap<i64, Vec<PendingPut<'_>>> = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if !self.claims.is_claimed_by(&InstanceKey::of(entry), entry) {
                outcomes[index] = Err(Error::new(Kind::Closed, "the registration was closed"));
                continue;
            }
            match leases.put(index, entry) {
                Ok(put) => by_ttl.entry(seconds(entry.instance.ttl)).or_default().push(put),
                Err(error) => outcomes[index] = Err(error),
            }
        }
        for (ttl, mut puts) in by_ttl {
            while !puts.is_empty() {
                let written = self.write_some(&mut leases, ttl, &mut puts, &mut outcomes).await;
                if let Err(error) = written {
                    puts.drain(..).for_each(|put| outcomes[put.index] = Err(error.clone()));
                }
            }
        }
        self.update_ttl(&leases);
        outcomes
    }

    /// Writes as many records as fit into one transaction and one lease. An error concerns all that remain.
    async fn write_some(
        &self,
        leases: &mut EtcdLeases,
        ttl: i64,
        puts: &mut Vec<PendingPut<'_>>,
        outcomes: &mut [Result<()>],
    ) -> Result<()> {
        let (lease, room) = match leases.with_room(ttl) {
            Some(found) => found,
            None => (self.grant(leases, ttl).await?, RECORDS_PER_LEASE),
        };
        let (mut bytes, mut keys) = (0, HashSet::new());
        let fits = |put: &&PendingPut<'_>| {
            bytes += put.key.len() + put.value.len();
            // A transaction may write each key only once.
            bytes <= MAX_BYTES + RECORDS_PER_LEASE * 1_024 && keys.insert(put.key.clone())
        };
        let count = puts.iter().take(room.min(MAX_OPERATIONS)).take_while(fits).count().max(1);
        let batch: Vec<PendingPut<'_>> = puts.drain(..count).collect();
        match self.write(lease, &batch).await {
            Ok(()) => {}
            Err(error) if is_lease_lost(&error) => {
                leases.lease_lost(lease);
                puts.splice(..0, batch);
                return Ok(());
            }
            // One rejected record fails the whole transaction: write each one by itself.
            Err(error) if !is_outage(&error) && batch.len() > 1 => {
                for put in batch {
                    let outcome = self.write(lease, std::slice::from_ref(&put)).await;
                    match &outcome {
                        Ok(()) => leases.record_written(put.instance, lease, put.entry),
                        Err(error) if is_outage(error) => return outcome,
                        Err(_) => {}
                    }
                    outcomes[put.index] = outcome;
                }
                return Ok(());
            }
            Err(error) => {
                let is_over = is_outage(&error);
                batch.iter().for_each(|put| outcomes[put.index] = Err(error.clone()));
                return if is_over { Err(error) } else { Ok(()) };
            }
        }
        batch.into_iter().for_each(|put| leases.record_written(put.instance, lease, put.entry));
        Ok(())
    }

    async fn write(&self, lease: i64, puts: &[PendingPut<'_>]) -> Result<()> {
        let put = |put: &PendingPut<'_>| {
            Op::RequestPut(PutRequest { key: put.key.clone(), value: put.value.clone(), lease })
        };
        let success = puts.iter().map(|one| RequestOp { request: Some(put(one)) }).collect();
        self.transact(TxnRequest { success, ..TxnRequest::default() }).await.map(drop)
    }

    async fn transact(&self, request: TxnRequest) -> Result<TxnResponse> {
        let send = |connection: EtcdConnection| {
            let request = request.clone();
            async move { connection.kv().txn(connection.request(request)).await }
        };
        self.cluster.request_within_ttl(send).await
    }

    async fn grant(&self, leases: &mut EtcdLeases, ttl: i64) -> Result<i64> {
        let send = |connection: EtcdConnection| async move {
            connection.lease().lease_grant(connection.request(LeaseGrantRequest { ttl })).await
        };
        let granted = self.cluster.request_within_ttl(send).await?;
        if granted.id == 0 || !granted.error.is_empty() {
            return Err(Error::new(
                Kind::Unavailable,
                format!("etcd did not grant a lease: {}", granted.error),
            ));
        }
        leases.granted.insert(granted.id, GrantedLease { ttl, records: 0 });
        Ok(granted.id)
    }

    pub(super) async fn heartbeat(&self, entries: &[RegistryEntry]) -> Vec<Result<HeartbeatResult>> {
        let mut leases = self.leases.lock().await;
        let ids: Vec<i64> = leases.granted.keys().copied().collect();
        let claimed = self.claims.keys();
        for lease in ids {
            if let Err(error) = self.renew_and_verify(&mut leases, lease, &claimed).await {
                return fail_all(entries, &error);
            }
        }
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            outcomes.push(self.confirm(&mut leases, entry).await);
        }
        self.update_ttl(&leases);
        outcomes
    }

    /// Renews a lease, and compares its keys with the registered records.
    async fn renew_and_verify(
        &self,
        leases: &mut EtcdLeases,
        lease: i64,
        claimed: &HashSet<InstanceKey>,
    ) -> Result<()> {
        if leases.granted.get(&lease).is_some_and(|held| held.records == 0) {
            leases.lease_lost(lease);
            return self.revoke(lease).await;
        }
        let Some(keys) = self.renew(lease).await? else {
            leases.lease_lost(lease);
            return Ok(());
        };
        let mut keys: HashSet<Vec<u8>> = keys.into_iter().collect();
        let ours = leases.written.iter().filter(|(_, written)| written.lease == lease);
        let instances: Vec<InstanceKey> = ours.map(|(instance, _)| instance.clone()).collect();
        for instance in instances {
            if !claimed.contains(&instance) || !keys.contains(instance.path(&leases.prefix).as_bytes()) {
                leases.forget_record(&instance);
            }
        }
        for instance in claimed {
            // A write without a response is repeated by its registration.
            keys.remove(instance.path(&leases.prefix).as_bytes());
        }
        for key in keys {
            self.delete(lease, key).await?;
        }
        Ok(())
    }

    /// Renews a lease and returns its keys; `None` if it is gone.
    async fn renew(&self, lease: i64) -> Result<Option<Vec<Vec<u8>>>> {
        let send = |connection: EtcdConnection| async move {
            let once = tokio_stream::once(LeaseKeepAliveRequest { id: lease });
            let mut responses =
                connection.lease().lease_keep_alive(connection.request(once)).await?.into_inner();
            responses.message().await.map(tonic::Response::new)
        };
        let renewed = self.cluster.request_within_ttl(send).await?;
        if renewed.is_none_or(|renewed| renewed.ttl <= 0) {
            return Ok(None);
        }
        let send = |connection: EtcdConnection| async move {
            let request = LeaseTimeToLiveRequest { id: lease, keys: true };
            connection.lease().lease_time_to_live(connection.request(request)).await
        };
        let held = self.cluster.request_within_ttl(send).await?;
        Ok((held.ttl > 0).then_some(held.keys))
    }

    /// Whether the record of an entry exists. Writes it again if its health has changed.
    async fn confirm(&self, leases: &mut EtcdLeases, entry: &RegistryEntry) -> Result<HeartbeatResult> {
        let written = leases
            .written
            .get(&InstanceKey::of(entry))
            .filter(|_| self.claims.is_claimed_by(&InstanceKey::of(entry), entry));
        let Some(written) = written else { return Ok(HeartbeatResult::Unknown) };
        let (lease, is_healthy) = (written.lease, entry.is_healthy());
        if written.is_healthy != is_healthy {
            let put = leases.put(0, entry)?;
            self.write(lease, std::slice::from_ref(&put)).await?;
            leases.record_written(put.instance, lease, entry);
        }
        Ok(HeartbeatResult::Renewed)
    }

    pub(super) async fn deregister(&self, entry: &RegistryEntry) -> Result<()> {
        let mut leases = self.leases.lock().await;
        let instance = InstanceKey::of(entry);
        if self.claims.is_claimed(&instance) {
            // Another registration owns the record now.
            return Ok(());
        }
        let key = instance.path(&leases.prefix).into_bytes();
        let under = leases.forget_record(&instance);
        // After a write without a response, the record may be under any lease.
        let possible: Vec<i64> =
            under.map_or_else(|| leases.granted.keys().copied().collect(), |lease| vec![lease]);
        for lease in possible {
            if leases.granted.get(&lease).is_some_and(|held| held.records == 0) {
                leases.lease_lost(lease);
                self.revoke(lease).await?;
            } else {
                self.delete(lease, key.clone()).await?;
            }
        }
        self.update_ttl(&leases);
        Ok(())
    }

    /// Deletes a key if it is still under this lease.
    async fn delete(&self, lease: i64, key: Vec<u8>) -> Result<()> {
        let is_ours = Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Lease.into(),
            key: key.clone(),
            target_union: Some(TargetUnion::Lease(lease)),
        };
        let delete = Op::RequestDeleteRange(DeleteRangeRequest { key, ..DeleteRangeRequest::default() });
        let success = vec![RequestOp { request: Some(delete) }];
        self.transact(TxnRequest { compare: vec![is_ours], success, failure: Vec::new() }).await.map(drop)
    }

    async fn revoke(&self, lease: i64) -> Result<()> {
        let send = |connection: EtcdConnection| async move {
            connection.lease().lease_revoke(connection.request(LeaseRevokeRequest { id: lease })).await
        };
        match self.cluster.request_within_ttl(send).await {
            Err(error) if !is_lease_lost(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// The shortest TTL decides how often heartbeats are due, and how long requests may take.
    fn update_ttl(&self, leases: &EtcdLeases) {
        let shortest = leases.granted.values().map(|lease| lease.ttl).min();
        let ttl = shortest.map_or(DEFAULT_TTL, |ttl| Duration::from_secs(ttl.unsigned_abs()));
        self.ttl.store(ttl.as_millis() as u64, Ordering::Relaxed);
    }
}

fn is_lease_lost(error: &Error) -> bool {
    error.message().contains("requested lease not found")
}

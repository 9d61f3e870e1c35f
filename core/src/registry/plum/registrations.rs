//! Registers instances, sends their heartbeats, deregisters them.
//!
//! | | Plumline controller | original Plum controller |
//! |---|---|---|
//! | register | up to 500 entries per request | one `register?replace=true` each; an unhealthy one then by `heartbeat` |
//! | heartbeat | up to 500 entries per request, with a digest per instance | healthy: like register, the only request that registers a lost instance again; unhealthy: `heartbeat` with `health`, then a read to verify that it still exists |
//! | deregister | with the generation, which cannot be registered again | the endpoint, and once more if a heartbeat may be in flight |

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use plumline_wire::MAX_BATCH;
use plumline_wire::body::{
    HeartbeatRequest, HeartbeatsRequest, HeartbeatsResponse, RegistrationsRequest, RegistrationsResponse,
};

use super::client::PlumRegistry;
use super::controller::PlumController;
use super::digest::digest;
use super::wire::{EndpointRow, health_of, register_request};
use crate::error::{Error, Kind, Result};
use crate::interrupt::SLICE;
use crate::registry::http_host::{self, HttpRequest, escape};
use crate::registry::types::{HeartbeatResult, RegistryEntry, ReportedHealth, WaitLimit, fail_all};

impl PlumRegistry {
    pub(super) fn register_at(
        &self,
        controller: &PlumController,
        entries: &[RegistryEntry],
        wait: &WaitLimit<'_>,
    ) -> Vec<Result<()>> {
        if let Err(error) = self.detect_kind(controller, wait) {
            return fail_all(entries, &error);
        }
        if controller.is_plumline() {
            return in_batches(entries, |batch| self.register_batch(controller, batch, wait));
        }
        one_by_one(entries, |entry| self.register_one(controller, entry, wait))
    }

    pub(super) fn heartbeat_at(
        &self,
        controller: &PlumController,
        entries: &[RegistryEntry],
        wait: &WaitLimit<'_>,
    ) -> Vec<Result<HeartbeatResult>> {
        if let Err(error) = self.detect_kind(controller, wait) {
            return fail_all(entries, &error);
        }
        if controller.is_plumline() {
            return in_batches(entries, |batch| self.heartbeat_batch(controller, batch, wait));
        }
        one_by_one(entries, |entry| self.heartbeat_one(controller, entry, wait))
    }

    pub(super) fn deregister_at(
        &self,
        controller: &PlumController,
        entry: &RegistryEntry,
        doubtful: bool,
        wait: &WaitLimit<'_>,
    ) -> Result<()> {
        self.delete(controller, entry, wait)?;
        if doubtful && !controller.is_plumline() {
            // The controller may handle the heartbeat in flight after this deletion: wait a moment, then delete again.
            std::thread::sleep(SLICE.min(wait.remaining().unwrap_or(Duration::ZERO)));
            self.delete(controller, entry, wait)?;
        }
        Ok(())
    }

    // === Plumline controller ===

    fn register_batch(
        &self,
        controller: &PlumController,
        entries: &[RegistryEntry],
        wait: &WaitLimit<'_>,
    ) -> Result<Vec<Result<()>>> {
        let body = http_host::write(&RegistrationsRequest {
            registrations: entries.iter().map(register_request).collect(),
        })?;
        let response =
            self.exchange(controller, &HttpRequest::post("/v1/services/registrations", &body), wait)?;
        if response.status != 200 {
            controller.set_original();
            return Ok(one_by_one(entries, |entry| self.register_one(controller, entry, wait)));
        }
        let refused: RegistrationsResponse<'_> = http_host::read(&response, &controller.label())?;
        let refused: HashSet<&str> = refused.refused.iter().map(|id| &**id).collect();
        let unhealthy: Vec<RegistryEntry> =
            entries.iter().filter(|entry| !entry.is_healthy()).cloned().collect();
        if !unhealthy.is_empty() {
            // A registration always means healthy; the health that the program reported follows at once.
            self.heartbeat_batch(controller, &unhealthy, wait)?;
        }
        let result_for = |entry: &RegistryEntry| {
            let is_refused = refused.contains(&*entry.instance.instance_id);
            if is_refused { Err(closed_error(controller, entry)) } else { Ok(()) }
        };
        Ok(entries.iter().map(result_for).collect())
    }

    fn heartbeat_batch(
        &self,
        controller: &PlumController,
        entries: &[RegistryEntry],
        wait: &WaitLimit<'_>,
    ) -> Result<Vec<Result<HeartbeatResult>>> {
        // One heartbeat per instance id: its digest covers all records of the instance.
        let mut instances: BTreeMap<&str, Vec<&RegistryEntry>> = BTreeMap::new();
        for entry in entries {
            instances.entry(&entry.instance.instance_id).or_default().push(entry);
        }
        let heartbeats = instances.iter().map(|(id, entries)| heartbeat_of(id, entries));
        let body = http_host::write(&HeartbeatsRequest { instances: heartbeats.collect() })?;
        let response =
            self.exchange(controller, &HttpRequest::post("/v1/services/heartbeats", &body), wait)?;
        if response.status != 200 {
            controller.set_original();
            return Ok(one_by_one(entries, |entry| self.heartbeat_one(controller, entry, wait)));
        }
        let renewed: HeartbeatsResponse<'_> = http_host::read(&response, &controller.label())?;
        let unknown: HashSet<&str> = renewed.unknown.iter().map(|id| &**id).collect();
        let result_for = |entry: &RegistryEntry| {
            let is_unknown = unknown.contains(&*entry.instance.instance_id);
            Ok(if is_unknown { HeartbeatResult::Unknown } else { HeartbeatResult::Renewed })
        };
        Ok(entries.iter().map(result_for).collect())
    }

    // === original Plum controller ===

    fn register_one(
        &self,
        controller: &PlumController,
        entry: &RegistryEntry,
        wait: &WaitLimit<'_>,
    ) -> Result<()> {
        let body = http_host::write(&register_request(entry))?;
        let response =
            self.exchange(controller, &HttpRequest::post("/v1/services/register?replace=true", &body), wait)?;
        check_accepted(controller, entry, response.status)?;
        if entry.is_healthy() { Ok(()) } else { self.send_health(controller, entry, false, wait) }
    }

    fn heartbeat_one(
        &self,
        controller: &PlumController,
        entry: &RegistryEntry,
        wait: &WaitLimit<'_>,
    ) -> Result<HeartbeatResult> {
        if entry.is_healthy() {
            return self.register_one(controller, entry, wait).map(|()| HeartbeatResult::Renewed);
        }
        self.send_health(controller, entry, false, wait)?;
        let is_listed = self.is_listed(controller, entry, wait)?;
        Ok(if is_listed { HeartbeatResult::Renewed } else { HeartbeatResult::Unknown })
    }

    fn send_health(
        &self,
        controller: &PlumController,
        entry: &RegistryEntry,
        healthy: bool,
        wait: &WaitLimit<'_>,
    ) -> Result<()> {
        let health = vec![health_of(entry, healthy)];
        let heartbeat = HeartbeatRequest {
            instance_id: entry.instance.instance_id.as_str().into(),
            health,
            ..HeartbeatRequest::default()
        };
        let body = http_host::write(&heartbeat)?;
        let response =
            self.exchange(controller, &HttpRequest::post("/v1/services/heartbeat", &body), wait)?;
        check_accepted(controller, entry, response.status)
    }

    fn is_listed(
        &self,
        controller: &PlumController,
        entry: &RegistryEntry,
        wait: &WaitLimit<'_>,
    ) -> Result<bool> {
        let path = format!("/v1/discovery?service={}&all=true", escape(&entry.instance.service));
        let response = self.exchange(controller, &HttpRequest::get(&path), wait)?;
        let rows: Option<Vec<EndpointRow>> = http_host::read(&response, &controller.label())?;
        Ok(rows.unwrap_or_default().iter().any(|row| row.is_of(entry)))
    }

    // === both ===

    fn delete(&self, controller: &PlumController, entry: &RegistryEntry, wait: &WaitLimit<'_>) -> Result<()> {
        let instance = &entry.instance;
        let path = format!(
            "/v1/services/endpoint?serviceName={}&instanceId={}&ip={}&port={}&protocol={}&generation={}",
            escape(&instance.service),
            escape(&instance.instance_id),
            escape(&instance.host),
            instance.port,
            escape(&instance.protocol),
            escape(&entry.generation),
        );
        let response = self.exchange(controller, &HttpRequest::delete(&path), wait)?;
        // The record is gone already.
        if response.status == 404 { Ok(()) } else { check_accepted(controller, entry, response.status) }
    }
}

fn heartbeat_of<'a>(id: &'a str, entries: &[&'a RegistryEntry]) -> HeartbeatRequest<'a> {
    let has_health = entries.iter().any(|entry| entry.health != ReportedHealth::Unspecified);
    let health = |entry: &&'a RegistryEntry| health_of(entry, entry.is_healthy());
    HeartbeatRequest {
        instance_id: id.into(),
        digest: digest(entries.iter().map(|entry| &entry.instance)).into(),
        // With any health given only those rows are touched, so all of them are named.
        health: if has_health { entries.iter().map(health).collect() } else { Vec::new() },
    }
}

fn check_accepted(controller: &PlumController, entry: &RegistryEntry, status: u16) -> Result<()> {
    match status {
        200..=299 => Ok(()),
        409 => Err(closed_error(controller, entry)),
        other => {
            Err(Error::new(Kind::Protocol, format!("{} answered with status {other}", controller.label())))
        }
    }
}

fn closed_error(controller: &PlumController, entry: &RegistryEntry) -> Error {
    let message = format!(
        "{} rejected {:?}: it was deregistered before with this generation",
        controller.label(),
        entry.instance.instance_id
    );
    Error::new(Kind::Protocol, message).for_service(&entry.instance.service)
}

/// Sends entries in batches. The entries of one instance id stay together: its digest covers all of them.
fn in_batches<T>(
    entries: &[RegistryEntry],
    send: impl Fn(&[RegistryEntry]) -> Result<Vec<Result<T>>>,
) -> Vec<Result<T>> {
    let mut outcomes = Vec::with_capacity(entries.len());
    let mut rest = entries;
    while !rest.is_empty() {
        let (batch, left) = rest.split_at(batch_end(rest));
        match send(batch) {
            Ok(some) => outcomes.extend(some),
            Err(error) => {
                // The remaining batches would fail in the same way.
                outcomes.extend(fail_all(rest, &error));
                break;
            }
        }
        rest = left;
    }
    outcomes
}

/// The end of the first batch. Callers sort entries by instance id; a batch ends where an instance id ends.
fn batch_end(entries: &[RegistryEntry]) -> usize {
    let id = |at: usize| &entries[at].instance.instance_id;
    (1..=entries.len().min(MAX_BATCH))
        .rev()
        .find(|end| *end == entries.len() || id(*end) != id(end - 1))
        .unwrap_or(MAX_BATCH)
}

/// Sends one request per entry. A request without a response fails the remaining entries, too.
fn one_by_one<T>(entries: &[RegistryEntry], send: impl Fn(&RegistryEntry) -> Result<T>) -> Vec<Result<T>> {
    let mut outcomes = Vec::with_capacity(entries.len());
    for (place, entry) in entries.iter().enumerate() {
        let outcome = send(entry);
        let away = outcome.as_ref().err().filter(|error| !matches!(error.kind(), Kind::Protocol)).cloned();
        outcomes.push(outcome);
        if let Some(error) = away {
            outcomes.extend(fail_all(&entries[place + 1..], &error));
            break;
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Instance;

    fn entries(ids: &[&str]) -> Vec<RegistryEntry> {
        let entry = |id: &&str| RegistryEntry {
            instance: Instance::new("orders", 1).instance_id(*id),
            generation: String::new(),
            health: ReportedHealth::Unspecified,
        };
        ids.iter().map(entry).collect()
    }

    #[test]
    fn batch_keeps_entries_of_one_instance_together() {
        let ids: Vec<String> = (0..499).map(|i| format!("a{i:03}")).chain(vec!["b".into(); 3]).collect();
        let all = entries(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(batch_end(&all), 499);
        assert_eq!(batch_end(&all[499..]), 3);
    }

    #[test]
    fn unspecified_health_is_not_sent() {
        let mut all = entries(&["a"]);
        assert!(heartbeat_of("a", &all.iter().collect::<Vec<_>>()).health.is_empty());
        all[0].health = ReportedHealth::Reported(false);
        assert_eq!(heartbeat_of("a", &all.iter().collect::<Vec<_>>()).health.len(), 1);
    }
}

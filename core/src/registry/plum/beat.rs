//! Register, beat, deregister.
//!
//! | | ours | the original |
//! |---|---|---|
//! | register | up to 500 in one request | `register?replace=true` each, the unhealthy then by `heartbeat` |
//! | beat | up to 500 in one request, each with its digest | healthy: as register, the only call that brings a lost one back; unhealthy: `heartbeat` with `health`, and a look whether it is still there |
//! | deregister | with its generation, which cannot come back | the endpoint, and once more if a beat may still be under way |

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use plumline_wire::MAX_BATCH;
use plumline_wire::body::{
    HeartbeatRequest, HeartbeatsRequest, HeartbeatsResponse, RegistrationsRequest, RegistrationsResponse,
};

use super::digest::digest;
use super::wire::{Row, health_of, register_request};
use super::{Plum, Site};
use crate::error::{Error, Kind, Result};
use crate::interrupt::SLICE;
use crate::registry::web::{self, Ask, escape};
use crate::registry::{Entry, Health, HeartbeatResult, Wait, same_for_all};

impl Plum {
    pub(super) fn register_at(&self, site: &Site, entries: &[Entry], wait: &Wait<'_>) -> Vec<Result<()>> {
        if let Err(error) = self.meet(site, wait) {
            return same_for_all(entries, &error);
        }
        if site.is_ours() {
            return in_batches(entries, |batch| self.register_batch(site, batch, wait));
        }
        one_by_one(entries, |entry| self.register_one(site, entry, wait))
    }

    pub(super) fn beat_at(
        &self,
        site: &Site,
        entries: &[Entry],
        wait: &Wait<'_>,
    ) -> Vec<Result<HeartbeatResult>> {
        if let Err(error) = self.meet(site, wait) {
            return same_for_all(entries, &error);
        }
        if site.is_ours() {
            return in_batches(entries, |batch| self.beat_batch(site, batch, wait));
        }
        one_by_one(entries, |entry| self.beat_one(site, entry, wait))
    }

    pub(super) fn deregister_at(
        &self,
        site: &Site,
        entry: &Entry,
        doubtful: bool,
        wait: &Wait<'_>,
    ) -> Result<()> {
        self.delete(site, entry, wait)?;
        if doubtful && !site.is_ours() {
            // The beat that got no answer may be read after this deletion: give it a moment, then delete again.
            std::thread::sleep(SLICE.min(wait.left().unwrap_or(Duration::ZERO)));
            self.delete(site, entry, wait)?;
        }
        Ok(())
    }

    // === ours ===

    fn register_batch(&self, site: &Site, entries: &[Entry], wait: &Wait<'_>) -> Result<Vec<Result<()>>> {
        let body = web::write(&RegistrationsRequest {
            registrations: entries.iter().map(register_request).collect(),
        })?;
        let answer = self.exchange(site, &Ask::post("/v1/services/registrations", &body), wait)?;
        if answer.status != 200 {
            site.is_the_original();
            return Ok(one_by_one(entries, |entry| self.register_one(site, entry, wait)));
        }
        let refused: RegistrationsResponse<'_> = web::read(&answer, &site.label())?;
        let refused: HashSet<&str> = refused.refused.iter().map(|id| &**id).collect();
        let unwell: Vec<Entry> = entries.iter().filter(|entry| !entry.is_well()).cloned().collect();
        if !unwell.is_empty() {
            // Registering says "healthy"; what the program itself says follows at once.
            self.beat_batch(site, &unwell, wait)?;
        }
        let verdict = |entry: &Entry| {
            let is_refused = refused.contains(&*entry.instance.instance_id);
            if is_refused { Err(closed_elsewhere(site, entry)) } else { Ok(()) }
        };
        Ok(entries.iter().map(verdict).collect())
    }

    fn beat_batch(
        &self,
        site: &Site,
        entries: &[Entry],
        wait: &Wait<'_>,
    ) -> Result<Vec<Result<HeartbeatResult>>> {
        // One beat per instance id: its digest covers all its rows.
        let mut instances: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            instances.entry(&entry.instance.instance_id).or_default().push(entry);
        }
        let beats = instances.iter().map(|(id, entries)| heartbeat_of(id, entries));
        let body = web::write(&HeartbeatsRequest { instances: beats.collect() })?;
        let answer = self.exchange(site, &Ask::post("/v1/services/heartbeats", &body), wait)?;
        if answer.status != 200 {
            site.is_the_original();
            return Ok(one_by_one(entries, |entry| self.beat_one(site, entry, wait)));
        }
        let beaten: HeartbeatsResponse<'_> = web::read(&answer, &site.label())?;
        let unknown: HashSet<&str> = beaten.unknown.iter().map(|id| &**id).collect();
        let verdict = |entry: &Entry| {
            let is_unknown = unknown.contains(&*entry.instance.instance_id);
            Ok(if is_unknown { HeartbeatResult::Unknown } else { HeartbeatResult::Renewed })
        };
        Ok(entries.iter().map(verdict).collect())
    }

    // === the original ===

    fn register_one(&self, site: &Site, entry: &Entry, wait: &Wait<'_>) -> Result<()> {
        let body = web::write(&register_request(entry))?;
        let answer = self.exchange(site, &Ask::post("/v1/services/register?replace=true", &body), wait)?;
        accepted(site, entry, answer.status)?;
        if entry.is_well() { Ok(()) } else { self.say_health(site, entry, false, wait) }
    }

    fn beat_one(&self, site: &Site, entry: &Entry, wait: &Wait<'_>) -> Result<HeartbeatResult> {
        if entry.is_well() {
            return self.register_one(site, entry, wait).map(|()| HeartbeatResult::Renewed);
        }
        self.say_health(site, entry, false, wait)?;
        let is_listed = self.is_listed(site, entry, wait)?;
        Ok(if is_listed { HeartbeatResult::Renewed } else { HeartbeatResult::Unknown })
    }

    fn say_health(&self, site: &Site, entry: &Entry, healthy: bool, wait: &Wait<'_>) -> Result<()> {
        let health = vec![health_of(entry, healthy)];
        let beat = HeartbeatRequest {
            instance_id: entry.instance.instance_id.as_str().into(),
            health,
            ..HeartbeatRequest::default()
        };
        let body = web::write(&beat)?;
        let answer = self.exchange(site, &Ask::post("/v1/services/heartbeat", &body), wait)?;
        accepted(site, entry, answer.status)
    }

    fn is_listed(&self, site: &Site, entry: &Entry, wait: &Wait<'_>) -> Result<bool> {
        let path = format!("/v1/discovery?service={}&all=true", escape(&entry.instance.service));
        let answer = self.exchange(site, &Ask::get(&path), wait)?;
        let rows: Option<Vec<Row>> = web::read(&answer, &site.label())?;
        Ok(rows.unwrap_or_default().iter().any(|row| row.is_of(entry)))
    }

    // === both ===

    fn delete(&self, site: &Site, entry: &Entry, wait: &Wait<'_>) -> Result<()> {
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
        let answer = self.exchange(site, &Ask::delete(&path), wait)?;
        // Gone already is what was wanted.
        if answer.status == 404 { Ok(()) } else { accepted(site, entry, answer.status) }
    }
}

fn heartbeat_of<'a>(id: &'a str, entries: &[&'a Entry]) -> HeartbeatRequest<'a> {
    let says_something = entries.iter().any(|entry| entry.health != Health::Unsaid);
    let health = |entry: &&'a Entry| health_of(entry, entry.is_well());
    HeartbeatRequest {
        instance_id: id.into(),
        digest: digest(entries.iter().map(|entry| &entry.instance)).into(),
        // With any health given only those rows are touched, so all of them are named.
        health: if says_something { entries.iter().map(health).collect() } else { Vec::new() },
    }
}

fn accepted(site: &Site, entry: &Entry, status: u16) -> Result<()> {
    match status {
        200..=299 => Ok(()),
        409 => Err(closed_elsewhere(site, entry)),
        other => Err(Error::new(Kind::Protocol, format!("{} answered {other}", site.label()))),
    }
}

fn closed_elsewhere(site: &Site, entry: &Entry) -> Error {
    let message = format!("{} holds {:?} for closed", site.label(), entry.instance.instance_id);
    Error::new(Kind::Protocol, message).for_service(&entry.instance.service)
}

/// Entries of one instance id stay together: its digest needs them all.
fn in_batches<T>(entries: &[Entry], send: impl Fn(&[Entry]) -> Result<Vec<Result<T>>>) -> Vec<Result<T>> {
    let mut outcomes = Vec::with_capacity(entries.len());
    let mut rest = entries;
    while !rest.is_empty() {
        let (batch, left) = rest.split_at(batch_end(rest));
        match send(batch) {
            Ok(some) => outcomes.extend(some),
            Err(error) => {
                // Whatever held up this batch would hold up the others.
                outcomes.extend(same_for_all(rest, &error));
                break;
            }
        }
        rest = left;
    }
    outcomes
}

/// Callers sort entries by their instance id; a batch ends where an id ends.
fn batch_end(entries: &[Entry]) -> usize {
    let id = |at: usize| &entries[at].instance.instance_id;
    (1..=entries.len().min(MAX_BATCH))
        .rev()
        .find(|end| *end == entries.len() || id(*end) != id(end - 1))
        .unwrap_or(MAX_BATCH)
}

/// One request each; one that gets no answer stands for those behind it.
fn one_by_one<T>(entries: &[Entry], send: impl Fn(&Entry) -> Result<T>) -> Vec<Result<T>> {
    let mut outcomes = Vec::with_capacity(entries.len());
    for (place, entry) in entries.iter().enumerate() {
        let outcome = send(entry);
        let away = outcome.as_ref().err().filter(|error| !matches!(error.kind(), Kind::Protocol)).cloned();
        outcomes.push(outcome);
        if let Some(error) = away {
            outcomes.extend(same_for_all(&entries[place + 1..], &error));
            break;
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Instance;

    fn entries(ids: &[&str]) -> Vec<Entry> {
        let entry = |id: &&str| Entry {
            instance: Instance::new("orders", 1).instance_id(*id),
            generation: String::new(),
            health: Health::Unsaid,
        };
        ids.iter().map(entry).collect()
    }

    #[test]
    fn a_batch_does_not_part_what_shares_an_id() {
        let ids: Vec<String> = (0..499).map(|i| format!("a{i:03}")).chain(vec!["b".into(); 3]).collect();
        let all = entries(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(batch_end(&all), 499);
        assert_eq!(batch_end(&all[499..]), 3);
    }

    #[test]
    fn what_is_not_said_of_health_is_not_sent() {
        let mut all = entries(&["a"]);
        assert!(heartbeat_of("a", &all.iter().collect::<Vec<_>>()).health.is_empty());
        all[0].health = Health::Says(false);
        assert_eq!(heartbeat_of("a", &all.iter().collect::<Vec<_>>()).health.len(), 1);
    }
}

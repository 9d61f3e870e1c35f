//! Register with a TTL check, renew it, deregister.
//!
//! The check's status is the instance's health: whoever stops beating becomes critical after its TTL, and is
//! listed no more.

use super::record::{Registration, check_id};
use super::{Consul, is_about, judge};
use crate::error::{Error, Kind, Result};
use crate::registry::web::{self, Ask, Host, escape};
use crate::registry::{Entry, Health, HeartbeatResult, Wait};

impl Consul {
    pub(super) fn register_at(&self, agent: &Host, entry: &Entry, wait: &Wait<'_>) -> Result<()> {
        let body = web::write(&Registration::of(entry)?)?;
        let answer = self.exchange(
            agent,
            &Ask::put("/v1/agent/service/register?replace-existing-checks=true", &body),
            wait,
        )?;
        match answer.status {
            200 => {
                self.claims.make(entry.instance.instance_id.clone(), entry);
                // Over a check that it has, an agent keeps what the check said: whoever was silent for too long, or
                // was just loaded by an agent that starts, would stay unwell until the next beat.
                self.beat_at(agent, entry, wait).map(drop)
            }
            status => {
                let message = format!("{} answered a registration with {status}", agent.label());
                Err(Error::new(Kind::Protocol, message))
            }
        }
    }

    pub(super) fn beat_at(&self, agent: &Host, entry: &Entry, wait: &Wait<'_>) -> Result<HeartbeatResult> {
        if self.claims.is_taken(&entry.instance.instance_id, entry) {
            return Ok(HeartbeatResult::Unknown);
        }
        // A check that fails without a word looks like one that an agent has just loaded.
        let (word, note) = match entry.health {
            Health::Says(false) => ("fail", "?note=said%20by%20the%20program"),
            _ => ("pass", ""),
        };
        let path = format!("/v1/agent/check/{word}/{}{note}", escape(&check_id(&entry.instance.instance_id)));
        let wait = wait.at_most(self.request_timeout());
        let answer = agent.exchange(&Ask::put(&path, b""), self.credentials(), &self.resolver, &wait)?;
        // Agents before 1.13 say 500 of a check they do not know.
        let is_unknown = answer.status == 404 || is_about(&answer, "does not have associated TTL");
        if is_unknown {
            Ok(HeartbeatResult::Unknown)
        } else {
            judge(agent, answer).map(|_| HeartbeatResult::Renewed)
        }
    }

    pub(super) fn deregister_at(&self, agent: &Host, entry: &Entry, wait: &Wait<'_>) -> Result<()> {
        // An agent knows nothing of an instance but its id.
        if !self.claims.drop(&entry.instance.instance_id, entry) {
            return Ok(());
        }
        let path = format!("/v1/agent/service/deregister/{}", escape(&entry.instance.instance_id));
        self.exchange(agent, &Ask::put(&path, b""), wait).map(drop)
    }
}

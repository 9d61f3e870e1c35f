//! Registers an instance with a TTL check, renews the check, deregisters the instance.
//!
//! The status of the check is the health of the instance: without a heartbeat it becomes critical after the TTL, and the
//! instance is not listed any more.

use super::client::{ConsulRegistry, body_contains, checked_response};
use super::record::{RegisterBody, check_id};
use crate::error::{Error, Kind, Result};
use crate::registry::http_host::{self, HttpHost, HttpRequest, escape};
use crate::registry::types::{HeartbeatResult, RegistryEntry, ReportedHealth, WaitLimit};

impl ConsulRegistry {
    pub(super) fn register_at(
        &self,
        agent: &HttpHost,
        entry: &RegistryEntry,
        wait: &WaitLimit<'_>,
    ) -> Result<()> {
        let body = http_host::write(&RegisterBody::of(entry)?)?;
        let response = self.exchange(
            agent,
            &HttpRequest::put("/v1/agent/service/register?replace-existing-checks=true", &body),
            wait,
        )?;
        match response.status {
            200 => {
                self.claims.claim(entry.instance.instance_id.clone(), entry);
                // An agent keeps the status of a check that it already has. Without this heartbeat, an instance that had
                // missed heartbeats, or was just loaded by a starting agent, would stay critical until the next one.
                self.heartbeat_at(agent, entry, wait).map(drop)
            }
            status => {
                let message = format!("{} answered the registration with status {status}", agent.label());
                Err(Error::new(Kind::Protocol, message))
            }
        }
    }

    pub(super) fn heartbeat_at(
        &self,
        agent: &HttpHost,
        entry: &RegistryEntry,
        wait: &WaitLimit<'_>,
    ) -> Result<HeartbeatResult> {
        if self.claims.is_claimed_by_other(&entry.instance.instance_id, entry) {
            return Ok(HeartbeatResult::Unknown);
        }
        // The output is needed: a critical check without output looks like one that an agent has just loaded.
        let (word, note) = match entry.health {
            ReportedHealth::Reported(false) => ("fail", "?note=reported%20by%20the%20program"),
            _ => ("pass", ""),
        };
        let path = format!("/v1/agent/check/{word}/{}{note}", escape(&check_id(&entry.instance.instance_id)));
        let wait = wait.at_most(self.request_timeout());
        let response =
            agent.exchange(&HttpRequest::put(&path, b""), self.credentials(), &self.resolver, &wait)?;
        // Agents before 1.13 answer 500 for an unknown check.
        let is_unknown = response.status == 404 || body_contains(&response, "does not have associated TTL");
        if is_unknown {
            Ok(HeartbeatResult::Unknown)
        } else {
            checked_response(agent, response).map(|_| HeartbeatResult::Renewed)
        }
    }

    pub(super) fn deregister_at(
        &self,
        agent: &HttpHost,
        entry: &RegistryEntry,
        wait: &WaitLimit<'_>,
    ) -> Result<()> {
        // The agent knows an instance only by its id.
        if !self.claims.release(&entry.instance.instance_id, entry) {
            return Ok(());
        }
        let path = format!("/v1/agent/service/deregister/{}", escape(&entry.instance.instance_id));
        self.exchange(agent, &HttpRequest::put(&path, b""), wait).map(drop)
    }
}

//! Reads lists of endpoints and service names.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::Deserialize;
use serde_json::Value;

use super::client::{ConsulRegistry, index_of};
use super::record::{CheckStatus, KvMetadata, ListedService, check_name};
use crate::error::{Kind, Result};
use crate::model::Endpoint;
use crate::registry::http_host::{self, HttpHost, HttpRequest, escape};
use crate::registry::types::{
    Absence, Listing, RecordId, RegistryUpdate, RemovalReason, RemovedRecord, WaitLimit,
};
use crate::transport::Answer;

impl ConsulRegistry {
    /// The query for all instances of a service, including the unhealthy ones: an instance that reports itself as
    /// unhealthy must not look like one that is silent after an outage.
    pub(super) fn service_query_path(&self, service: &str) -> String {
        format!("/v1/health/service/{}?{}", escape(service), self.filters.trim_start_matches('&'))
    }

    pub(super) fn read_at(
        &self,
        agent: &HttpHost,
        service: &str,
        epoch: u64,
        wait: &WaitLimit<'_>,
    ) -> Result<RegistryUpdate> {
        check_name(service)?;
        let response = self.exchange(agent, &HttpRequest::get(&self.service_query_path(service)), wait)?;
        index_of(agent, &response)?;
        self.update_for(agent, service, &response, epoch, wait)
    }

    pub(super) fn services_at(&self, agent: &HttpHost, wait: &WaitLimit<'_>) -> Result<Vec<String>> {
        let response = self.exchange(agent, &HttpRequest::get(&self.names_path()), wait)?;
        index_of(agent, &response)?;
        names(agent, &response)
    }

    /// The query for the names of all services.
    pub(super) fn names_path(&self) -> String {
        format!("/v1/catalog/services?{}", self.filters.trim_start_matches('&'))
    }

    /// The update for a list of instances.
    pub(super) fn update_for(
        &self,
        agent: &HttpHost,
        service: &str,
        response: &Answer,
        epoch: u64,
        wait: &WaitLimit<'_>,
    ) -> Result<RegistryUpdate> {
        let rows: Vec<Value> = http_host::read(response, &agent.label())?;
        let listed: Vec<ListedService> = rows.iter().filter_map(|row| self.record(service, row)).collect();
        let metadata = if listed.iter().any(ListedService::is_incomplete) {
            self.kv_metadata(agent, service, wait)?
        } else {
            HashMap::new()
        };
        let (unconfirmed, confirmed): (Vec<&ListedService>, Vec<&ListedService>) =
            listed.iter().partition(|listed| listed.check_status() == CheckStatus::Unconfirmed);
        let all = |some: Vec<&ListedService>| -> Vec<Endpoint> {
            let endpoints = |one: &ListedService| self.endpoints_of(one, metadata.get(one.id()), wait);
            some.into_iter().flat_map(endpoints).collect()
        };
        let expired = |endpoint: &Endpoint| RemovedRecord {
            id: RecordId::of(endpoint),
            reason: RemovalReason::Expired,
        };
        let listing =
            Listing { endpoints: all(confirmed), removed: all(unconfirmed).iter().map(expired).collect() };
        Ok(RegistryUpdate {
            epoch: Some(self.epoch_name(epoch)),
            ttl: None,
            absence: Absence::AfterSettling,
            lists: vec![(service.to_owned(), listing)],
            confirms_all: false,
        })
    }

    /// Deserializes one instance. A malformed one is skipped with a warning.
    fn record(&self, service: &str, row: &Value) -> Option<ListedService> {
        let listed = ListedService::deserialize(row).inspect_err(|error| {
            let record = &row["Service"];
            let content = record.to_string();
            self.record_warnings.warn_once(&format!("{service}/{}", record["ID"]), content.as_bytes(), error);
        });
        listed.ok()
    }

    /// The metadata that older writers keep in the key-value store, by instance id. Without permission to read it, the
    /// endpoints are listed without it. Any other failure fails the read, because version and protocol must not come and go.
    fn kv_metadata(
        &self,
        agent: &HttpHost,
        service: &str,
        wait: &WaitLimit<'_>,
    ) -> Result<HashMap<String, KvMetadata>> {
        let path = format!("/v1/kv/{}/{}/?recurse=true", self.prefix_path(), escape(service));
        let pairs: Vec<KvPair> = match self.exchange(agent, &HttpRequest::get(&path), wait) {
            Ok(response) if response.status == 404 => Vec::new(),
            Ok(response) => http_host::read(&response, &agent.label())?,
            Err(error) if matches!(error.kind(), Kind::PermissionDenied | Kind::Unauthenticated) => {
                tracing::debug!(source = %self.source, service, %error, "no permission to read the metadata in the key-value store");
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let within = format!("{}/{service}/", self.prefix);
        let metadata = |pair: &KvPair| {
            let id = pair.key.strip_prefix(&within)?.strip_suffix("/metadata")?;
            let value = BASE64.decode(pair.value.as_ref()?).ok()?;
            let metadata = serde_json::from_slice(&value)
                .inspect_err(|error| self.record_warnings.warn_once(&pair.key, &value, error));
            Some((id.to_owned(), metadata.ok()?))
        };
        Ok(pairs.iter().filter_map(metadata).collect())
    }

    fn prefix_path(&self) -> String {
        self.prefix.split('/').map(escape).collect::<Vec<_>>().join("/")
    }

    /// One endpoint per address of the host; none if the host cannot be resolved.
    fn endpoints_of(
        &self,
        listed: &ListedService,
        metadata: Option<&KvMetadata>,
        wait: &WaitLimit<'_>,
    ) -> Vec<Endpoint> {
        match self.resolver.resolve(listed.host(), wait) {
            Ok(ips) => ips.into_iter().map(|ip| listed.endpoint(ip, metadata, &self.source)).collect(),
            Err(error) => {
                tracing::debug!(source = %self.source, id = listed.id(), %error, "skipped an endpoint: its host cannot be resolved");
                Vec::new()
            }
        }
    }

    /// The address of the agent as its cluster knows it.
    pub(super) fn member_ip(&self, agent: &HttpHost, wait: &WaitLimit<'_>) -> Option<IpAddr> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct AgentSelf {
            member: AgentMember,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct AgentMember {
            addr: IpAddr,
        }
        let response = self.exchange(agent, &HttpRequest::get("/v1/agent/self"), wait).ok()?;
        http_host::read::<AgentSelf>(&response, &agent.label()).ok().map(|agent| agent.member.addr)
    }
}

/// The names in a response to the query for all services.
pub(super) fn names(agent: &HttpHost, response: &Answer) -> Result<Vec<String>> {
    let services: BTreeMap<String, Value> = http_host::read(response, &agent.label())?;
    Ok(services.into_keys().collect())
}

/// An entry of the key-value store.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KvPair {
    key: String,
    value: Option<String>,
}

//! Reads lists of endpoints and service names.

use std::net::IpAddr;
use std::sync::Arc;

use plumline_wire::body::{WatchRequest, WatchWait};

use super::client::PlumRegistry;
use super::controller::PlumController;
use super::wire::{EndpointRow, PlumWatchResponse, epoch_of};
use crate::error::Result;
use crate::model::Endpoint;
use crate::registry::http_host::{self, HttpRequest};
use crate::registry::types::{Absence, Listing, RegistryUpdate, WaitLimit};

impl PlumRegistry {
    pub(super) fn read_at(
        &self,
        controller: &Arc<PlumController>,
        service: &str,
        wait: &WaitLimit<'_>,
    ) -> Result<RegistryUpdate> {
        // An unknown controller gets the request of a Plumline controller, which returns more; an original rejects it at once.
        if !controller.is_original()
            && let Some(update) = self.read_by_watch(controller, service, wait)?
        {
            return Ok(update);
        }
        let path = format!("/v1/discovery?service={}", http_host::escape(service));
        let response = self.exchange(controller, &HttpRequest::get(&path), wait)?;
        let rows: Option<Vec<EndpointRow>> = http_host::read(&response, &controller.label())?;
        let endpoints = self.endpoints(&rows.unwrap_or_default(), wait);
        let (epoch, absence) = (Some(controller.label()), Absence::AfterSettlingIfFew);
        let lists = vec![(service.to_owned(), Listing { endpoints, removed: Vec::new() })];
        Ok(RegistryUpdate { epoch, ttl: Some(controller.ttl()), absence, lists, confirms_all: false })
    }

    /// Reads by a watch request without a wait: the response includes unhealthy endpoints and the epoch.
    fn read_by_watch(
        &self,
        controller: &Arc<PlumController>,
        service: &str,
        wait: &WaitLimit<'_>,
    ) -> Result<Option<RegistryUpdate>> {
        let request = WatchRequest {
            services: Some(vec![service.into()]),
            fresh: vec![service.into()],
            since: "".into(),
            wait: Some(WatchWait::Text("0s".into())),
        };
        let body = http_host::write(&request)?;
        let response = self.exchange(controller, &HttpRequest::post("/v1/watch", &body), wait)?;
        if response.status != 200 {
            controller.set_original();
            return Ok(None);
        }
        let response: PlumWatchResponse = http_host::read(&response, &controller.label())?;
        controller.record_since(&response.since);
        Ok(Some(RegistryUpdate { confirms_all: false, ..self.update_for(controller, &response, wait) }))
    }

    pub(super) fn services_at(
        &self,
        controller: &Arc<PlumController>,
        wait: &WaitLimit<'_>,
    ) -> Result<Vec<String>> {
        let response = self.exchange(controller, &HttpRequest::get("/v1/services/list"), wait)?;
        let names: Option<Vec<String>> = http_host::read(&response, &controller.label())?;
        Ok(names.unwrap_or_default())
    }

    /// The update for the response to a watch request.
    pub(super) fn update_for(
        &self,
        controller: &PlumController,
        response: &PlumWatchResponse,
        wait: &WaitLimit<'_>,
    ) -> RegistryUpdate {
        let lists = response
            .services
            .iter()
            .map(|(name, watched)| (name.clone(), watched.listing(self.endpoints(&watched.endpoints, wait))));
        let epoch = Some(epoch_at(controller, response.epoch()));
        RegistryUpdate {
            epoch,
            ttl: Some(controller.ttl()),
            absence: Absence::AfterSettling,
            lists: lists.collect(),
            confirms_all: true,
        }
    }

    /// The update for a watch request without changes.
    pub(super) fn unchanged_update(controller: &PlumController, since: &str) -> RegistryUpdate {
        RegistryUpdate {
            epoch: Some(epoch_at(controller, epoch_of(since))),
            ttl: Some(controller.ttl()),
            confirms_all: true,
            ..RegistryUpdate::default()
        }
    }

    fn endpoints(&self, rows: &[EndpointRow], wait: &WaitLimit<'_>) -> Vec<Endpoint> {
        rows.iter().flat_map(|row| self.endpoints_of(row, wait)).collect()
    }

    /// One endpoint per address. A record without an address, or with a host that cannot be resolved, is skipped.
    fn endpoints_of(&self, row: &EndpointRow, wait: &WaitLimit<'_>) -> Vec<Endpoint> {
        if let Ok(ip) = row.ip.parse::<IpAddr>() {
            return row.endpoint(ip, &self.source).into_iter().collect();
        }
        if row.ip.is_empty() {
            tracing::debug!(source = %self.source, ?row, "skipped an endpoint: it was registered without an address");
            return Vec::new();
        }
        match self.resolver.resolve(&row.ip, wait) {
            Ok(addresses) => addresses.into_iter().filter_map(|ip| row.endpoint(ip, &self.source)).collect(),
            Err(error) => {
                tracing::debug!(source = %self.source, ?row, %error, "skipped an endpoint: its host cannot be resolved");
                Vec::new()
            }
        }
    }
}

/// The epoch of a response. Independent stores never share an epoch.
fn epoch_at(controller: &PlumController, epoch: &str) -> String {
    format!("{}#{epoch}", controller.label())
}

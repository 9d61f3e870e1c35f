//! Reads lists of endpoints and service names.

use std::net::IpAddr;
use std::sync::Arc;

use plumline_wire::body::{WatchRequest, WatchWait};

use super::wire::{Row, WatchAnswer, epoch_of};
use super::{Plum, Site};
use crate::error::Result;
use crate::model::Endpoint;
use crate::registry::http_host::{self, HttpRequest};
use crate::registry::types::{Absence, Listing, RegistryUpdate, WaitLimit};

impl Plum {
    pub(super) fn read_at(
        &self,
        site: &Arc<Site>,
        service: &str,
        wait: &WaitLimit<'_>,
    ) -> Result<RegistryUpdate> {
        // An unknown controller gets the request of a Plumline controller, which returns more; an original rejects it at once.
        if !site.is_original()
            && let Some(heard) = self.look(site, service, wait)?
        {
            return Ok(heard);
        }
        let path = format!("/v1/discovery?service={}", http_host::escape(service));
        let answer = self.exchange(site, &HttpRequest::get(&path), wait)?;
        let rows: Option<Vec<Row>> = http_host::read(&answer, &site.label())?;
        let endpoints = self.endpoints(&rows.unwrap_or_default(), wait);
        let (epoch, absence) = (Some(site.label()), Absence::AfterSettlingIfFew);
        let lists = vec![(service.to_owned(), Listing { endpoints, removed: Vec::new() })];
        Ok(RegistryUpdate { epoch, ttl: Some(site.ttl()), absence, lists, confirms_all: false })
    }

    /// Reads by a watch request without a wait: the response includes unhealthy endpoints and the epoch.
    fn look(&self, site: &Arc<Site>, service: &str, wait: &WaitLimit<'_>) -> Result<Option<RegistryUpdate>> {
        let ask = WatchRequest {
            services: Some(vec![service.into()]),
            fresh: vec![service.into()],
            since: "".into(),
            wait: Some(WatchWait::Text("0s".into())),
        };
        let body = http_host::write(&ask)?;
        let answer = self.exchange(site, &HttpRequest::post("/v1/watch", &body), wait)?;
        if answer.status != 200 {
            site.is_the_original();
            return Ok(None);
        }
        let told: WatchAnswer = http_host::read(&answer, &site.label())?;
        site.note_since(&told.since);
        Ok(Some(RegistryUpdate { confirms_all: false, ..self.heard(site, &told, wait) }))
    }

    pub(super) fn services_at(&self, site: &Arc<Site>, wait: &WaitLimit<'_>) -> Result<Vec<String>> {
        let answer = self.exchange(site, &HttpRequest::get("/v1/services/list"), wait)?;
        let names: Option<Vec<String>> = http_host::read(&answer, &site.label())?;
        Ok(names.unwrap_or_default())
    }

    /// The update for the response to a watch request.
    pub(super) fn heard(&self, site: &Site, told: &WatchAnswer, wait: &WaitLimit<'_>) -> RegistryUpdate {
        let lists = told
            .services
            .iter()
            .map(|(name, watched)| (name.clone(), watched.listing(self.endpoints(&watched.endpoints, wait))));
        let epoch = Some(epoch_at(site, told.epoch()));
        RegistryUpdate {
            epoch,
            ttl: Some(site.ttl()),
            absence: Absence::AfterSettling,
            lists: lists.collect(),
            confirms_all: true,
        }
    }

    /// The update for a watch request without changes.
    pub(super) fn heard_nothing(site: &Site, since: &str) -> RegistryUpdate {
        RegistryUpdate {
            epoch: Some(epoch_at(site, epoch_of(since))),
            ttl: Some(site.ttl()),
            confirms_all: true,
            ..RegistryUpdate::default()
        }
    }

    fn endpoints(&self, rows: &[Row], wait: &WaitLimit<'_>) -> Vec<Endpoint> {
        rows.iter().flat_map(|row| self.endpoints_of(row, wait)).collect()
    }

    /// One endpoint per address. A record without an address, or with a host that cannot be resolved, is skipped.
    fn endpoints_of(&self, row: &Row, wait: &WaitLimit<'_>) -> Vec<Endpoint> {
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
fn epoch_at(site: &Site, epoch: &str) -> String {
    format!("{}#{epoch}", site.label())
}

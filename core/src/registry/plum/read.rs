//! Lists of endpoints, read once.

use std::net::IpAddr;
use std::sync::Arc;

use plumline_wire::body::{WatchRequest, WatchWait};

use super::wire::{Row, WatchAnswer, epoch_of};
use super::{Plum, Site};
use crate::error::Result;
use crate::model::Endpoint;
use crate::registry::web::{self, Ask};
use crate::registry::{Absence, Listing, RegistryUpdate, Wait};

impl Plum {
    pub(super) fn read_at(&self, site: &Arc<Site>, service: &str, wait: &Wait<'_>) -> Result<RegistryUpdate> {
        // Who has not been met yet is asked as ours: it tells more, and the original says no at once.
        if !site.is_original()
            && let Some(heard) = self.look(site, service, wait)?
        {
            return Ok(heard);
        }
        let path = format!("/v1/discovery?service={}", web::escape(service));
        let answer = self.exchange(site, &Ask::get(&path), wait)?;
        let rows: Option<Vec<Row>> = web::read(&answer, &site.label())?;
        let endpoints = self.endpoints(&rows.unwrap_or_default(), wait);
        let (epoch, absence) = (Some(site.label()), Absence::WhenSettledAndFew);
        let lists = vec![(service.to_owned(), Listing { endpoints, removed: Vec::new() })];
        Ok(RegistryUpdate { epoch, ttl: Some(site.ttl()), absence, lists, confirms_all: false })
    }

    /// A watch that does not wait: it lists the unhealthy too, and tells the epoch.
    fn look(&self, site: &Arc<Site>, service: &str, wait: &Wait<'_>) -> Result<Option<RegistryUpdate>> {
        let ask = WatchRequest {
            services: Some(vec![service.into()]),
            fresh: vec![service.into()],
            since: "".into(),
            wait: Some(WatchWait::Text("0s".into())),
        };
        let body = web::write(&ask)?;
        let answer = self.exchange(site, &Ask::post("/v1/watch", &body), wait)?;
        if answer.status != 200 {
            site.is_the_original();
            return Ok(None);
        }
        let told: WatchAnswer = web::read(&answer, &site.label())?;
        site.note_since(&told.since);
        Ok(Some(RegistryUpdate { confirms_all: false, ..self.heard(site, &told, wait) }))
    }

    pub(super) fn services_at(&self, site: &Arc<Site>, wait: &Wait<'_>) -> Result<Vec<String>> {
        let answer = self.exchange(site, &Ask::get("/v1/services/list"), wait)?;
        let names: Option<Vec<String>> = web::read(&answer, &site.label())?;
        Ok(names.unwrap_or_default())
    }

    /// What a watch of ours told.
    pub(super) fn heard(&self, site: &Site, told: &WatchAnswer, wait: &Wait<'_>) -> RegistryUpdate {
        let lists = told
            .services
            .iter()
            .map(|(name, watched)| (name.clone(), watched.listing(self.endpoints(&watched.endpoints, wait))));
        let epoch = Some(epoch_at(site, told.epoch()));
        RegistryUpdate {
            epoch,
            ttl: Some(site.ttl()),
            absence: Absence::WhenSettled,
            lists: lists.collect(),
            confirms_all: true,
        }
    }

    /// What it means that nothing has changed since.
    pub(super) fn heard_nothing(site: &Site, since: &str) -> RegistryUpdate {
        RegistryUpdate {
            epoch: Some(epoch_at(site, epoch_of(since))),
            ttl: Some(site.ttl()),
            confirms_all: true,
            ..RegistryUpdate::default()
        }
    }

    fn endpoints(&self, rows: &[Row], wait: &Wait<'_>) -> Vec<Endpoint> {
        rows.iter().flat_map(|row| self.endpoints_of(row, wait)).collect()
    }

    /// One endpoint per address. Who registered without an address, or under a name that nobody knows, is left out.
    fn endpoints_of(&self, row: &Row, wait: &Wait<'_>) -> Vec<Endpoint> {
        if let Ok(ip) = row.ip.parse::<IpAddr>() {
            return row.endpoint(ip, &self.source).into_iter().collect();
        }
        if row.ip.is_empty() {
            tracing::debug!(source = %self.source, ?row, "left out: registered without an address");
            return Vec::new();
        }
        match self.resolver.resolve(&row.ip, wait) {
            Ok(addresses) => addresses.into_iter().filter_map(|ip| row.endpoint(ip, &self.source)).collect(),
            Err(error) => {
                tracing::debug!(source = %self.source, ?row, %error, "left out: its host is not known");
                Vec::new()
            }
        }
    }
}

/// Independent stores never share an epoch.
fn epoch_at(site: &Site, epoch: &str) -> String {
    format!("{}#{epoch}", site.label())
}

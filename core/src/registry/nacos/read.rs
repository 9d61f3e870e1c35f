//! Reads lists of endpoints and service names.

use std::sync::Arc;

use super::hub::Hub;
use super::link::{Flavour, Link};
use super::message::{self, Info, PAGE, Page, Told};
use super::names;
use super::record::Listed;
use crate::error::{Error, Kind, Result};
use crate::model::Endpoint;
use crate::registry::http_host::is_outage;
use crate::registry::types::{Absence, Listing, RegistryUpdate};

impl Hub {
    /// Reads all endpoints of a service; once more if the connection breaks during the request.
    pub(super) async fn read(&self, service: &str) -> Result<RegistryUpdate> {
        let name = names::escape(service)?;
        let look = async |link: Arc<Link>| {
            let told: Told = self.ask_for(&link, &self.space.query(&name)).await?;
            let listing = self.listing(&link, service, told.service_info.unwrap_or_default()).await;
            Ok(self.heard(&link, service, listing))
        };
        match look(self.link_again().await?).await {
            Err(error) if is_outage(&error) => look(self.link_again().await?).await,
            outcome => outcome,
        }
    }

    /// The update for the list of one service.
    pub(super) fn heard(&self, link: &Link, service: &str, listing: Listing) -> RegistryUpdate {
        RegistryUpdate {
            epoch: Some(self.epoch_of(link)),
            absence: Absence::AfterSettling,
            lists: vec![(service.to_owned(), listing)],
            ..RegistryUpdate::default()
        }
    }

    /// The names of all services.
    pub(super) async fn services(&self) -> Result<Vec<String>> {
        let link = self.link_again().await?;
        self.services_of(&link).await
    }

    pub(super) async fn services_of(&self, link: &Link) -> Result<Vec<String>> {
        let (mut all, group) = (Vec::new(), format!("{}@@", self.space.group));
        for page in 1..=message::MOST_PAGES {
            let answer: Page = self.ask_for(link, &self.space.list(page)).await?;
            let names = answer.service_names.unwrap_or_default();
            let is_last = names.len() < PAGE || page * PAGE >= answer.count;
            all.extend(names.iter().map(|name| names::unescape(name.strip_prefix(&group).unwrap_or(name))));
            if is_last {
                all.sort_unstable();
                all.dedup();
                return Ok(all);
            }
        }
        Err(Error::new(
            Kind::Protocol,
            format!(
                "{}: the list of service names does not end after {} full pages",
                link.label(),
                message::MOST_PAGES
            ),
        ))
    }

    /// The endpoints in a list. Host names are resolved.
    pub(super) async fn listing(&self, link: &Link, service: &str, info: Info) -> Listing {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for row in info.hosts.unwrap_or_default() {
            let listed = match Listed::read(&row) {
                Ok(listed) => listed,
                Err(error) => {
                    let record = format!("{service} at {}:{}", row["ip"], row["port"]);
                    self.record_warnings.warn_once(&record, row.to_string().as_bytes(), &error);
                    continue;
                }
            };
            let is_half_told = link.flavour == Flavour::Rnacos && listed.is_bare();
            if is_half_told || !listed.is_shown(self.cluster.as_deref()) {
                continue;
            }
            match self.names.resolve_async(listed.host(), self.timeout).await {
                Ok(ips) => {
                    endpoints.extend(ips.into_iter().map(|ip| listed.endpoint(service, ip, &self.source)));
                }
                Err(error) => {
                    tracing::debug!(source = %self.source, service, %error, "skipped an endpoint: its host cannot be resolved");
                }
            }
        }
        Listing { endpoints, removed: Vec::new() }
    }
}

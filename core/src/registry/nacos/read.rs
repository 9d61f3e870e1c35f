//! What a server lists: endpoints of a service, and the names of all.

use std::sync::Arc;

use super::hub::Hub;
use super::link::{Flavour, Link};
use super::message::{self, Info, PAGE, Page, Told};
use super::names;
use super::record::Listed;
use crate::error::{Error, Kind, Result};
use crate::model::Endpoint;
use crate::registry::web::is_away;
use crate::registry::{Absence, Listing, RegistryUpdate};

impl Hub {
    /// All endpoints of a service, asked for once; once more where the connection breaks under the question.
    pub(super) async fn read(&self, service: &str) -> Result<RegistryUpdate> {
        let name = names::escape(service)?;
        let look = async |link: Arc<Link>| {
            let told: Told = self.ask_for(&link, &self.space.query(&name)).await?;
            let listing = self.listing(&link, service, told.service_info.unwrap_or_default()).await;
            Ok(self.heard(&link, service, listing))
        };
        match look(self.link_again().await?).await {
            Err(error) if is_away(&error) => look(self.link_again().await?).await,
            outcome => outcome,
        }
    }

    /// What there is to be told of one service.
    pub(super) fn heard(&self, link: &Link, service: &str, listing: Listing) -> RegistryUpdate {
        RegistryUpdate {
            epoch: Some(self.epoch_of(link)),
            absence: Absence::WhenSettled,
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
        Err(Error::new(Kind::Protocol, format!("{}: full pages of names, and no end of them", link.label())))
    }

    /// The endpoints in a list; names become addresses.
    pub(super) async fn listing(&self, link: &Link, service: &str, info: Info) -> Listing {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for row in info.hosts.unwrap_or_default() {
            let listed = match Listed::read(&row) {
                Ok(listed) => listed,
                Err(error) => {
                    let record = format!("{service} at {}:{}", row["ip"], row["port"]);
                    self.unreadable.warn(&record, row.to_string().as_bytes(), &error);
                    continue;
                }
            };
            let is_half_told = link.flavour == Flavour::Rnacos && listed.is_bare();
            if is_half_told || !listed.is_shown(self.cluster.as_deref()) {
                continue;
            }
            match self.names.found(listed.host(), self.timeout).await {
                Ok(ips) => {
                    endpoints.extend(ips.into_iter().map(|ip| listed.endpoint(service, ip, &self.source)));
                }
                Err(error) => {
                    tracing::debug!(source = %self.source, service, %error, "left out: its host is not known");
                }
            }
        }
        Listing { endpoints, removed: Vec::new() }
    }
}

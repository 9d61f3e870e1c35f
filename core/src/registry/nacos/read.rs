//! Reads lists of endpoints and service names.

use std::sync::Arc;

use super::client::NacosClient;
use super::connection::{NacosConnection, ServerKind};
use super::message::{self, NamesPage, PAGE_SIZE, ServiceInfo, ServiceInfoResponse};
use super::names;
use super::record::ListedInstance;
use crate::error::{Error, Kind, Result};
use crate::model::Endpoint;
use crate::registry::http_host::is_outage;
use crate::registry::types::{Absence, Listing, RegistryUpdate};

impl NacosClient {
    /// Reads all endpoints of a service; once more if the connection breaks during the request.
    pub(super) async fn read(&self, service: &str) -> Result<RegistryUpdate> {
        let name = names::escape(service)?;
        let read_once = async |connection: Arc<NacosConnection>| {
            let response: ServiceInfoResponse =
                self.request_as(&connection, &self.scope.query(&name)).await?;
            let listing = self.listing(&connection, service, response.service_info.unwrap_or_default()).await;
            Ok(self.update_for(&connection, service, listing))
        };
        match read_once(self.connection_after_failure().await?).await {
            Err(error) if is_outage(&error) => read_once(self.connection_after_failure().await?).await,
            outcome => outcome,
        }
    }

    /// The update for the list of one service.
    pub(super) fn update_for(
        &self,
        connection: &NacosConnection,
        service: &str,
        listing: Listing,
    ) -> RegistryUpdate {
        RegistryUpdate {
            epoch: Some(self.epoch_of(connection)),
            absence: Absence::AfterSettling,
            lists: vec![(service.to_owned(), listing)],
            ..RegistryUpdate::default()
        }
    }

    /// The names of all services.
    pub(super) async fn services(&self) -> Result<Vec<String>> {
        let connection = self.connection_after_failure().await?;
        self.services_of(&connection).await
    }

    pub(super) async fn services_of(&self, connection: &NacosConnection) -> Result<Vec<String>> {
        let (mut all, group) = (Vec::new(), format!("{}@@", self.scope.group));
        for page in 1..=message::MAX_PAGES {
            let response: NamesPage = self.request_as(connection, &self.scope.list(page)).await?;
            let names = response.service_names.unwrap_or_default();
            let is_last = names.len() < PAGE_SIZE || page * PAGE_SIZE >= response.count;
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
                connection.label(),
                message::MAX_PAGES
            ),
        ))
    }

    /// The endpoints in a list. Host names are resolved.
    pub(super) async fn listing(
        &self,
        connection: &NacosConnection,
        service: &str,
        info: ServiceInfo,
    ) -> Listing {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for row in info.hosts.unwrap_or_default() {
            let listed = match ListedInstance::read(&row) {
                Ok(listed) => listed,
                Err(error) => {
                    let record = format!("{service} at {}:{}", row["ip"], row["port"]);
                    self.record_warnings.warn_once(&record, row.to_string().as_bytes(), &error);
                    continue;
                }
            };
            let is_incomplete = connection.server_kind == ServerKind::Rnacos && listed.is_announcement();
            if is_incomplete || !listed.is_visible(self.cluster.as_deref()) {
                continue;
            }
            match self.resolver.resolve_async(listed.host(), self.timeout).await {
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

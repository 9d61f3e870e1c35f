//! Queries over all services: discovery lists, and the changes since a revision.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::service::{Filter, Service, write_key};
use super::services::Services;

/// What a watcher asks for.
#[derive(Debug)]
pub(crate) struct WatchQuery<'a> {
    /// `None` means every service.
    pub(crate) names: Option<&'a [Cow<'a, str>]>,
    /// Services that the watcher does not know yet: they are returned whether they changed or not.
    pub(crate) fresh: &'a [Cow<'a, str>],
    /// The revision it has seen; `None` if it has none, or one of another start.
    pub(crate) since: Option<u64>,
}

/// When a watcher must get its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PendingUpdate {
    /// Nothing has changed.
    None,
    /// Changes, which are sent after the pauses that limit the rate of responses.
    Changes,
    /// At once: the watcher knows nothing yet, or asks for a service that it does not know.
    AtOnce,
}

impl Services {
    /// The names of all services that have an endpoint, sorted.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        let services: Vec<_> = self.by_name.read().values().map(Arc::clone).collect();
        let with_rows = services.iter().filter(|service| !service.lock().rows.is_empty());
        let mut names: Vec<_> = with_rows.map(|service| Arc::clone(&service.name)).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn discover(&self, name: &str, filter: Filter<'_>, limit: Option<usize>) -> Bytes {
        match (self.find_service(name), limit) {
            (None, _) | (_, Some(0)) => Bytes::from_static(b"[]"),
            (Some(service), None) => service.view(filter),
            (Some(service), Some(limit)) => service.first(filter, limit),
        }
    }

    pub(crate) fn all_of(&self, name: &str) -> Bytes {
        self.find_service(name).map_or(Bytes::from_static(b"[]"), |service| service.all())
    }

    pub(crate) fn random(&self, name: &str, filter: Filter<'_>) -> Option<Bytes> {
        self.find_service(name)?.random(filter)
    }

    pub(crate) fn lazy(&self, name: &str, filter: Filter<'_>) -> Option<Bytes> {
        self.find_service(name)?.lazy(filter)
    }

    pub(crate) fn revision(&self) -> u64 {
        self.changes.revision()
    }

    /// The current revision, and the services that changed after `since`.
    pub(crate) fn changed_after(&self, since: u64) -> (u64, Vec<Arc<Service>>) {
        self.changes.after(since)
    }

    /// Whether there is an update for the watcher, and when it must be sent.
    pub(crate) fn pending_update(&self, query: &WatchQuery<'_>) -> PendingUpdate {
        let since = self.resumable_since(query);
        match since {
            None => PendingUpdate::AtOnce,
            Some(_) if !query.fresh.is_empty() => PendingUpdate::AtOnce,
            Some(since) if self.changed(query, since).is_empty() => PendingUpdate::None,
            Some(_) => PendingUpdate::Changes,
        }
    }

    /// The update for the watcher: the revision that it covers, and `{"name":{…},…}`.
    /// The revision is read before the services. So a change in between is sent twice rather than never.
    pub(crate) fn watch_update(&self, query: &WatchQuery<'_>) -> (u64, Vec<u8>) {
        let revision = self.revision();
        let Some(since) = self.resumable_since(query) else {
            return (revision, write_services(&self.everything(query), None));
        };
        let mut services = self.changed(query, since);
        for name in query.fresh {
            services.insert((&**name).into(), self.find_service(name));
        }
        (revision, write_services(&services, Some(since)))
    }

    /// The revision of the watcher, if all changes since are still known.
    fn resumable_since(&self, query: &WatchQuery<'_>) -> Option<u64> {
        query.since.filter(|since| *since <= self.revision() && !self.has_forgotten(query, *since))
    }

    fn has_forgotten(&self, query: &WatchQuery<'_>, since: u64) -> bool {
        if since >= self.changes.floor() {
            return false;
        }
        // A service that does not exist may have been removed after `since`; that is no longer known.
        query.names.is_none_or(|names| {
            let forgot =
                |name: &Cow<'_, str>| self.find_service(name).is_none_or(|s| s.has_forgotten_since(since));
            names.iter().any(forgot)
        })
    }

    fn everything(&self, query: &WatchQuery<'_>) -> ServiceMap {
        let named = query.names.unwrap_or_default().iter().chain(query.fresh);
        let mut services: ServiceMap =
            named.map(|name| ((&**name).into(), self.find_service(name))).collect();
        if query.names.is_none() {
            let all = self.by_name.read();
            services.extend(all.iter().map(|(name, service)| (Arc::clone(name), Some(Arc::clone(service)))));
        }
        services
    }

    fn changed(&self, query: &WatchQuery<'_>, since: u64) -> ServiceMap {
        let changed: Vec<_> = match query.names {
            None => self.changes.after(since).1,
            Some(names) => {
                let known = names.iter().filter_map(|name| self.find_service(name));
                known.filter(|service| service.changed_at() > since).collect()
            }
        };
        changed.into_iter().map(|service| (Arc::clone(&service.name), Some(service))).collect()
    }
}

/// By name, so that the same state gives the same response; `None` is a service that does not exist.
type ServiceMap = BTreeMap<Arc<str>, Option<Arc<Service>>>;

fn write_services(services: &ServiceMap, since: Option<u64>) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (index, (name, service)) in services.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_key(&mut out, name);
        match service {
            Some(service) => service.write_watched(&mut out, since),
            None => out.extend_from_slice(b"{\"endpoints\":[],\"removed\":[]}"),
        }
    }
    out.push(b'}');
    out
}

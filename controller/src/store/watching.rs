//! What readers ask of the services: discovery's lists, and what changed since a revision.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::service::{Filter, Service, write_key};
use super::services::Services;

/// What a watcher wants to know.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// `None` is every service.
    pub(crate) names: Option<&'a [Cow<'a, str>]>,
    /// Names that the asker does not know yet: answered in full whatever changed.
    pub(crate) fresh: &'a [Cow<'a, str>],
    /// The revision it has seen; `None` is none, or one of another start.
    pub(crate) since: Option<u64>,
}

/// How urgently a watcher must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owed {
    Nothing,
    /// After the pauses that keep a busy registry from answering all the time.
    Changes,
    /// It knows nothing yet, or of some service nothing.
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

    /// The services that changed after `since`, by name.
    pub(crate) fn changed_after(&self, since: u64) -> (u64, Vec<Arc<Service>>) {
        self.changes.after(since)
    }

    /// Whether the watcher is owed anything, and how urgently.
    pub(crate) fn owed(&self, wanted: &Wanted<'_>) -> Owed {
        let since = self.tellable(wanted);
        match since {
            None => Owed::AtOnce,
            Some(_) if !wanted.fresh.is_empty() => Owed::AtOnce,
            Some(since) if self.changed(wanted, since).is_empty() => Owed::Nothing,
            Some(_) => Owed::Changes,
        }
    }

    /// What the watcher is owed: the revision up to which this tells everything, and `{"name":{…},…}`.
    /// The revision is read before the services: what changes in between is told now and once more, never not
    /// at all.
    pub(crate) fn news(&self, wanted: &Wanted<'_>) -> (u64, Vec<u8>) {
        let revision = self.revision();
        let Some(since) = self.tellable(wanted) else {
            return (revision, write_services(&self.everything(wanted), None));
        };
        let mut told = self.changed(wanted, since);
        for name in wanted.fresh {
            told.insert((&**name).into(), self.find_service(name));
        }
        (revision, write_services(&told, Some(since)))
    }

    /// The watcher's revision, if all that happened since is still known.
    fn tellable(&self, wanted: &Wanted<'_>) -> Option<u64> {
        wanted.since.filter(|since| *since <= self.revision() && !self.has_forgotten(wanted, *since))
    }

    fn has_forgotten(&self, wanted: &Wanted<'_>, since: u64) -> bool {
        if since >= self.changes.floor() {
            return false;
        }
        // A name that is not there may have been retired after `since`; nothing tells any more.
        wanted.names.is_none_or(|names| {
            let forgot =
                |name: &Cow<'_, str>| self.find_service(name).is_none_or(|s| s.has_forgotten_since(since));
            names.iter().any(forgot)
        })
    }

    fn everything(&self, wanted: &Wanted<'_>) -> Told {
        let named = wanted.names.unwrap_or_default().iter().chain(wanted.fresh);
        let mut told: Told = named.map(|name| ((&**name).into(), self.find_service(name))).collect();
        if wanted.names.is_none() {
            let all = self.by_name.read();
            told.extend(all.iter().map(|(name, service)| (Arc::clone(name), Some(Arc::clone(service)))));
        }
        told
    }

    fn changed(&self, wanted: &Wanted<'_>, since: u64) -> Told {
        let changed: Vec<_> = match wanted.names {
            None => self.changes.after(since).1,
            Some(names) => {
                let known = names.iter().filter_map(|name| self.find_service(name));
                known.filter(|service| service.changed_at() > since).collect()
            }
        };
        changed.into_iter().map(|service| (Arc::clone(&service.name), Some(service))).collect()
    }
}

/// By name, so that the answer is the same for the same state; `None` is a service that is not there.
type Told = BTreeMap<Arc<str>, Option<Arc<Service>>>;

fn write_services(told: &Told, since: Option<u64>) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (index, (name, service)) in told.iter().enumerate() {
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

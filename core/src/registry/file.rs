//! `file:///path/services.yaml` (or `.json`, `.toml`): endpoints in a file, which is read again when it changes.
//!
//! The file maps services to lists of endpoints. Only `host` and `port` are required:
//!
//! ```yaml
//! orders:
//!   - { host: 10.0.0.7, port: 8080, version: v2, weight: 10 }
//!   - { host: orders.internal, port: 8080, protocol: https, zone: a, labels: { env: production } }
//! billing:
//!   - { host: 10.0.0.9, port: 9000, protocol: grpc, healthy: false, instance_id: b-1 }
//! ```
//!
//! In TOML a service is `[[orders]]`. `"10.0.0.7:8080"` is short for host and port.
//! A change is detected within a second by the modification time, size or inode of the file. If the new content cannot be
//! read, the last valid list stays, and the mistake is logged and shown as the last error of the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::Mutex;
use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::interrupt::Never;
use crate::model::{Endpoint, Labels, default_instance_id};
use crate::registry::address::Address;
use crate::registry::resolver::Resolver;
use crate::registry::setup::RegistrySetup;
use crate::registry::types::{
    Absence, Listing, Registry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle,
};
use crate::runtime::{Priority, Runtime, TaskQueue};

/// How often the file is checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// A registry in a file.
pub(super) struct FileRegistry {
    source: Arc<str>,
    path: PathBuf,
    queue: Arc<TaskQueue>,
    resolver: Resolver,
    runtime: Runtime,
    timeout: Duration,
    loaded: Mutex<LoadedFile>,
}

type FileServices = BTreeMap<String, Vec<FileEndpoint>>;

/// The result of the last read.
#[derive(Default)]
struct LoadedFile {
    stamp: Option<FileStamp>,
    services: Option<Arc<FileServices>>,
    /// The number of lists so far that differed from the one before.
    version: u64,
    error: Option<Error>,
}

/// Identifies one state of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    modified: (i64, i64),
    size: u64,
    inode: u64,
}

/// The fields of one endpoint in the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointFields {
    host: String,
    port: u16,
    #[serde(default = "http")]
    protocol: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    labels: Labels,
    #[serde(default = "one")]
    weight: u32,
    #[serde(default)]
    zone: String,
    #[serde(default = "yes")]
    healthy: bool,
    #[serde(default)]
    instance_id: String,
}

/// An endpoint: `host: …, port: …`, or `"host:port"` for short.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawEndpoint")]
struct FileEndpoint(EndpointFields);

#[derive(Deserialize)]
#[serde(untagged)]
enum RawEndpoint {
    Short(String),
    Long(serde_json::Value),
}

impl TryFrom<RawEndpoint> for FileEndpoint {
    type Error = String;

    fn try_from(raw: RawEndpoint) -> std::result::Result<FileEndpoint, String> {
        let value = match raw {
            RawEndpoint::Long(value) => value,
            RawEndpoint::Short(text) => {
                let address = Address::parse(&format!("static://{text}")).map_err(|e| e.to_string())?;
                let [host] = &address.hosts[..] else { return Err(format!("{text:?} is not host:port")) };
                serde_json::json!({ "host": host.host, "port": host.port })
            }
        };
        // Deserialized in a second step, so that the error names the mistake instead of "matches no variant".
        serde_json::from_value(value).map(FileEndpoint).map_err(|error| error.to_string())
    }
}

fn http() -> String {
    "http".into()
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

impl FileRegistry {
    /// The registry of this address. The file need not exist yet.
    pub(super) fn new(address: &Address, setup: &RegistrySetup) -> Result<FileRegistry> {
        let path = PathBuf::from(&address.path);
        format_of(&path)?;
        Ok(FileRegistry {
            source: address.source().into(),
            path,
            queue: TaskQueue::new(1),
            resolver: Resolver::new(setup),
            runtime: setup.runtime.clone(),
            timeout: setup.timeout,
            loaded: Mutex::default(),
        })
    }

    /// Checks the file. Returns the list in effect, its version, and the error of the last read.
    fn reload(&self) -> (Option<Arc<FileServices>>, u64, Option<Error>) {
        let mut loaded = self.loaded.lock();
        let stamp = FileStamp::of(&self.path);
        if stamp.is_none() || stamp != loaded.stamp {
            loaded.stamp = stamp;
            self.apply(&mut loaded, read(&self.path));
        }
        (loaded.services.clone(), loaded.version, loaded.error.clone())
    }

    fn apply(&self, loaded: &mut LoadedFile, read: Result<FileServices>) {
        match read {
            Ok(services) => {
                loaded.version += u64::from(loaded.services.as_deref() != Some(&services));
                loaded.services = Some(Arc::new(services));
                loaded.error = None;
            }
            Err(error) => {
                if loaded.error.as_ref().map(Error::message) != Some(error.message()) {
                    let kept = loaded.services.is_some();
                    tracing::warn!(source = %self.source, %error, kept, "the registry file cannot be read");
                }
                loaded.error = Some(error);
            }
        }
    }

    fn listing(&self, services: &FileServices, service: &str, wait: &WaitLimit<'_>) -> Listing {
        let rows = services.get(service).into_iter().flatten();
        let endpoints = rows.flat_map(|FileEndpoint(fields)| {
            let addresses = self.resolver.resolve(&fields.host, wait).unwrap_or_else(|error| {
                tracing::debug!(source = %self.source, host = %fields.host, %error, "skipped an endpoint: its host cannot be resolved");
                Vec::new()
            });
            addresses.into_iter().map(|ip| self.endpoint(service, fields, ip)).collect::<Vec<_>>()
        });
        Listing { endpoints: endpoints.collect(), removed: Vec::new() }
    }

    fn endpoint(&self, service: &str, fields: &EndpointFields, ip: IpAddr) -> Endpoint {
        let named = !fields.instance_id.is_empty();
        Endpoint {
            instance_id: if named {
                fields.instance_id.clone()
            } else {
                default_instance_id(service, &fields.host, fields.port)
            },
            host: fields.host.clone(),
            protocol: fields.protocol.clone(),
            version: fields.version.clone(),
            labels: fields.labels.clone(),
            weight: fields.weight,
            zone: fields.zone.clone(),
            healthy: fields.healthy,
            source: self.source.to_string(),
            ..Endpoint::new(service, ip, fields.port)
        }
    }

    fn update_with(lists: Vec<(String, Listing)>) -> RegistryUpdate {
        RegistryUpdate { absence: Absence::Authoritative, lists, ..RegistryUpdate::default() }
    }
}

impl FileStamp {
    fn of(path: &Path) -> Option<FileStamp> {
        let meta = std::fs::metadata(path).ok()?;
        Some(FileStamp { modified: (meta.mtime(), meta.mtime_nsec()), size: meta.size(), inode: meta.ino() })
    }
}

#[derive(Clone, Copy)]
enum FileFormat {
    Json,
    Toml,
    Yaml,
}

fn format_of(path: &Path) -> Result<FileFormat> {
    match path.extension().and_then(|ending| ending.to_str()).unwrap_or_default() {
        "json" => Ok(FileFormat::Json),
        "toml" => Ok(FileFormat::Toml),
        "yaml" | "yml" => Ok(FileFormat::Yaml),
        _ => Err(Error::invalid(format!(
            "{}: the name of a registry file must end in .yaml, .json or .toml",
            path.display()
        ))),
    }
}

fn read(path: &Path) -> Result<FileServices> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::new(Kind::Unavailable, format!("{}: {error}", path.display())))?;
    parse(format_of(path)?, &text)
        .map_err(|what| Error::new(Kind::Protocol, format!("{}: {what}", path.display())))
}

fn parse(format: FileFormat, text: &str) -> std::result::Result<FileServices, String> {
    let services: Option<FileServices> = match format {
        FileFormat::Json => serde_json::from_str(text).map_err(|error| error.to_string())?,
        FileFormat::Toml => toml::from_str(text).map_err(|error| error.to_string())?,
        // An empty YAML document is null.
        FileFormat::Yaml => serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?,
    };
    Ok(services.unwrap_or_default())
}

impl Registry for FileRegistry {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn queue(&self) -> &Arc<TaskQueue> {
        &self.queue
    }

    fn read(&self, service: &str, wait: &WaitLimit<'_>) -> Result<RegistryUpdate> {
        match self.reload() {
            (Some(services), ..) => Ok(FileRegistry::update_with(vec![(
                service.to_owned(),
                self.listing(&services, service, wait),
            )])),
            (None, _, error) => {
                Err(error
                    .unwrap_or_else(|| Error::new(Kind::Unavailable, "the registry file does not exist")))
            }
        }
    }

    fn services(&self, _: &WaitLimit<'_>) -> Result<Vec<String>> {
        let (services, _, error) = self.reload();
        match (services, error) {
            (Some(services), _) => Ok(services.keys().cloned().collect()),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Vec::new()),
        }
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
        let watcher = Arc::new(FileWatcher { file: self, sink, subscriptions: Mutex::default() });
        watcher.schedule_check();
        Box::new(FileWatchHandle(watcher))
    }

    fn read_only_error(&self) -> Error {
        Error::new(Kind::Unsupported, format!("{} is a file: instances cannot register there", self.source))
    }

    fn local_ip(&self, _: &WaitLimit<'_>) -> Option<IpAddr> {
        None
    }
}

/// A watch: checks the file twice a second.
struct FileWatcher {
    file: Arc<FileRegistry>,
    sink: Arc<dyn UpdateSink>,
    subscriptions: Mutex<FileSubscriptions>,
}

#[derive(Default)]
struct FileSubscriptions {
    services: BTreeSet<String>,
    all: bool,
    version: u64,
    was_invalid: bool,
}

struct FileWatchHandle(Arc<FileWatcher>);

impl FileWatcher {
    fn schedule_check(self: &Arc<Self>) {
        let watcher = Arc::downgrade(self);
        self.file
            .runtime
            .after(CHECK_INTERVAL, &self.file.queue, Priority::Poll, move || FileWatcher::check(&watcher));
    }

    fn check(watcher: &Weak<FileWatcher>) {
        let Some(watcher) = watcher.upgrade() else { return };
        let (services, version, error) = watcher.file.reload();
        let (changed, recovered, failed) = watcher.compare(version, error.is_some());
        if let (Some(services), true) = (&services, changed || recovered) {
            watcher.report(services, &watcher.names(services));
        }
        if let (Some(error), true) = (error, failed) {
            watcher.sink.on_failure(error);
        }
        watcher.schedule_check();
    }

    /// Whether the list has changed, whether the file can be read again, and whether it can no longer be read.
    fn compare(&self, version: u64, is_invalid: bool) -> (bool, bool, bool) {
        let mut subscriptions = self.subscriptions.lock();
        let changed = std::mem::replace(&mut subscriptions.version, version) != version;
        let was_invalid = std::mem::replace(&mut subscriptions.was_invalid, is_invalid);
        (changed, was_invalid && !is_invalid, is_invalid && !was_invalid)
    }

    fn names(&self, services: &FileServices) -> BTreeSet<String> {
        let mut subscriptions = self.subscriptions.lock();
        if subscriptions.all {
            subscriptions.services.extend(services.keys().cloned());
        }
        subscriptions.services.clone()
    }

    fn report(&self, services: &FileServices, names: &BTreeSet<String>) {
        let wait = WaitLimit::new(self.file.timeout, &Never);
        let lists = names.iter().map(|name| (name.clone(), self.file.listing(services, name, &wait)));
        self.sink.on_update(FileRegistry::update_with(lists.collect()));
    }
}

impl WatchHandle for FileWatchHandle {
    fn subscribe(&self, service: &str) {
        self.0.subscriptions.lock().services.insert(service.to_owned());
        self.refresh(service);
    }

    fn unsubscribe(&self, service: &str) {
        self.0.subscriptions.lock().services.remove(service);
    }

    fn subscribe_all(&self) {
        self.0.subscriptions.lock().all = true;
        let watcher = self.0.clone();
        self.0.file.runtime.post(&self.0.file.queue, Priority::Poll, move || {
            if let (Some(services), ..) = watcher.file.reload() {
                watcher.report(&services, &watcher.names(&services));
            }
        });
    }

    fn refresh(&self, service: &str) {
        let (watcher, service) = (self.0.clone(), service.to_owned());
        self.0.file.runtime.post(&self.0.file.queue, Priority::Poll, move || match watcher.file.reload() {
            (Some(services), ..) => watcher.report(&services, &BTreeSet::from([service])),
            (None, _, Some(error)) => watcher.sink.on_failure(error),
            (None, ..) => {}
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str =
        "orders:\n  - { host: 10.0.0.7, port: 8080, version: v2, weight: 10 }\n  - 10.0.0.8:81\n";
    const JSON: &str =
        r#"{"orders": [{"host": "10.0.0.7", "port": 8080, "version": "v2", "weight": 10}, "10.0.0.8:81"]}"#;
    const TOML: &str =
        "orders = [{ host = '10.0.0.7', port = 8080, version = 'v2', weight = 10 }, '10.0.0.8:81']";

    #[test]
    fn json_toml_and_yaml_parse_to_the_same_list() {
        let yaml = parse(FileFormat::Yaml, YAML).unwrap();
        assert_eq!(parse(FileFormat::Json, JSON).unwrap(), yaml);
        assert_eq!(parse(FileFormat::Toml, TOML).unwrap(), yaml);
        assert_eq!(yaml["orders"][0].0.weight, 10);
        assert_eq!((yaml["orders"][1].0.port, yaml["orders"][1].0.protocol.as_str()), (81, "http"));
        assert!(parse(FileFormat::Yaml, "").unwrap().is_empty());
    }

    #[test]
    fn names_the_mistake_in_a_file() {
        for (text, says) in [
            ("orders: [{ host: a, prot: 1 }]", "prot"),
            ("orders: [{ host: a, port: 99999 }]", "99999"),
            ("orders: [ 'a:b' ]", "the port must be a number"),
            ("orders: [ { port: 1 } ]", "host"),
        ] {
            let error = parse(FileFormat::Yaml, text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn keeps_the_last_valid_list_after_a_broken_edit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("services.yaml");
        std::fs::write(&path, YAML).unwrap();
        let address = Address::parse(&format!("file://{}", path.display())).unwrap();
        let file = FileRegistry::new(&address, &crate::registry::setup::test_setup()).unwrap();
        let count = || {
            let update = file.read("orders", &WaitLimit::new(Duration::from_secs(1), &Never)).unwrap();
            update.lists[0].1.endpoints.len()
        };
        assert_eq!(count(), 2);
        std::fs::write(&path, "orders: [ {").unwrap();
        assert_eq!(count(), 2);
        assert!(file.reload().2.is_some());
        std::fs::write(&path, "orders: [ 10.0.0.1:1 ]").unwrap();
        assert_eq!((count(), file.reload().2.is_none()), (1, true));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(count(), 1);
    }
}

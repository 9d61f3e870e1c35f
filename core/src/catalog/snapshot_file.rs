//! The file format of the snapshot on disk, for a start while the registry is unavailable.
//!
//! One file: a header line with the format version and the checksum, then the lists by registry and service. It is written
//! to a temporary file and renamed, so that a reader finds the old or the new file. A truncated, altered or foreign
//! file is ignored with a warning.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use crate::model::Endpoint;

const FORMAT: u32 = 1;

/// Lists by registry, then service.
pub(super) type Lists = BTreeMap<String, BTreeMap<String, Vec<Arc<Endpoint>>>>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    plumline_snapshot: u32,
    xxh64: String,
    /// Unix seconds; used for messages only.
    written: u64,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    registries: BTreeMap<String, BTreeMap<String, Vec<Endpoint>>>,
}

/// Writes the lists so that a crash leaves the old file or the new one.
pub(super) fn write(path: &Path, lists: &Lists) -> std::io::Result<()> {
    let body = serde_json::to_vec(&serde_json::json!({ "registries": shown(lists) }))?;
    let written = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let head = Head { plumline_snapshot: FORMAT, xxh64: checksum(&body), written };
    let beside = beside(path);
    let mut file = File::create(&beside)?;
    serde_json::to_writer(&mut file, &head)?;
    file.write_all(b"\n")?;
    file.write_all(&body)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    // The rename is durable once its folder is synced.
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The temporary file. Its name contains the process id, because two processes may share the snapshot.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    name.into()
}

type Shown<'a> = BTreeMap<&'a str, Vec<&'a Endpoint>>;

fn shown(lists: &Lists) -> BTreeMap<&str, Shown<'_>> {
    lists.iter().map(|(source, services)| (&**source, services_shown(services))).collect()
}

fn services_shown(services: &BTreeMap<String, Vec<Arc<Endpoint>>>) -> Shown<'_> {
    services.iter().map(|(name, list)| (&**name, list.iter().map(|endpoint| &**endpoint).collect())).collect()
}

/// Reads the lists; empty if there is no valid file.
pub(super) fn read(path: &Path) -> Lists {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Lists::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read the snapshot; starting without it");
            return Lists::new();
        }
    };
    match parse(&bytes) {
        Ok((stored, age)) => {
            tracing::info!(path = %path.display(), age_s = age.as_secs(), "read the snapshot");
            let shared = |list: Vec<Endpoint>| list.into_iter().map(Arc::new).collect();
            let services = |services: BTreeMap<String, Vec<Endpoint>>| {
                services.into_iter().map(|(name, list)| (name, shared(list))).collect()
            };
            stored.registries.into_iter().map(|(source, lists)| (source, services(lists))).collect()
        }
        Err(reason) => {
            tracing::warn!(path = %path.display(), reason, "ignoring the snapshot");
            Lists::new()
        }
    }
}

fn parse(bytes: &[u8]) -> Result<(Stored, Duration), &'static str> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it is not a snapshot, or is truncated")?;
    let (head, body) = (&bytes[..end], &bytes[end + 1..]);
    let head: Head = serde_json::from_slice(head).map_err(|_| "it is not a Plumline snapshot")?;
    if head.plumline_snapshot != FORMAT {
        return Err("it has another format version");
    }
    if head.xxh64 != checksum(body) {
        return Err("its checksum does not match: it is truncated or altered");
    }
    let stored = serde_json::from_slice(body).map_err(|_| "its lists cannot be parsed")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((stored, now.saturating_sub(Duration::from_secs(head.written))))
}

fn checksum(body: &[u8]) -> String {
    format!("{:016x}", xxh64(body, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lists {
        let endpoint = Arc::new(Endpoint::new("orders", "10.0.0.7".parse().unwrap(), 80));
        BTreeMap::from([("plum://a:1".into(), BTreeMap::from([("orders".into(), vec![endpoint])]))])
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot");
        assert!(read(&path).is_empty());
        write(&path, &lists()).unwrap();
        assert_eq!(read(&path), lists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn ignores_truncated_altered_and_foreign_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot");
        write(&path, &lists()).unwrap();
        let good = std::fs::read(&path).unwrap();
        for length in 0..good.len() {
            assert!(parse(&good[..length]).is_err(), "cut after {length} bytes");
        }
        let mut altered = good.clone();
        *altered.last_mut().unwrap() ^= 1;
        assert!(parse(&altered).is_err());
        for foreign in
            ["", "\n", "{}\n{}", "root:x:0:0\n", "{\"plumline_snapshot\":2,\"xxh64\":\"\",\"written\":0}\n"]
        {
            assert!(parse(foreign.as_bytes()).is_err(), "{foreign:?}");
        }
    }
}

//! One registered endpoint, as it is stored.
//!
//! A row has three parts with three speeds. Its `Identity` never changes. Its `Content` is replaced as a
//! whole by a new registration. Its `Lease` (alive until when, healthy or not) changes with every heartbeat and
//! is therefore made of atomics that a beat writes without any lock on the service.
//! All of the row's JSON but health and time is written once, when the row is made.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU64,
    Ordering::{Relaxed, Release},
};

use super::Now;
use plumline_wire::Labels;
use plumline_wire::digest::DigestRow;

/// Which endpoint this is: writing the same identity again replaces it.
/// The order of the fields is the order in which endpoints are listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity {
    pub(crate) service: Arc<str>,
    pub(crate) instance: Arc<str>,
    pub(crate) ip: Box<str>,
    pub(crate) port: i64,
    pub(crate) protocol: Box<str>,
}

impl Identity {
    pub(crate) fn is(&self, service: &str, ip: &str, port: i64, protocol: &str) -> bool {
        self.port == port && *self.service == *service && *self.ip == *ip && *self.protocol == *protocol
    }

    /// The identity's five fields as the inside of a JSON object.
    pub(crate) fn write_fields(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"serviceName\":");
        write_text(out, &self.service);
        out.extend_from_slice(b",\"instanceId\":");
        write_text(out, &self.instance);
        self.write_address(out);
    }

    fn write_address(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"ip\":");
        write_text(out, &self.ip);
        out.extend_from_slice(b",\"port\":");
        out.extend_from_slice(itoa::Buffer::new().format(self.port).as_bytes());
        out.extend_from_slice(b",\"protocol\":");
        write_text(out, &self.protocol);
    }
}

/// What a registration says about an endpoint beyond its identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Content {
    pub(crate) node: Box<str>,
    pub(crate) version: Box<str>,
    pub(crate) labels: Option<Labels>,
    /// The random string of the `register()` that wrote it; empty for clients that know nothing of it.
    pub(crate) generation: Box<str>,
}

/// How long an endpoint is believed, and whether it is well.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) identity: Arc<Identity>,
    /// Lease time after which it is expired.
    deadline: AtomicU64,
    /// Unix seconds of the last sign of life.
    last_seen: AtomicI64,
    healthy: AtomicBool,
    expired: AtomicBool,
    /// Shared with the service: its ready bodies show an old `lastSeen`.
    touched: Arc<AtomicBool>,
    /// Where the lease stands among the deadlines; written only under their lock.
    pub(super) place: AtomicU64,
}

impl Lease {
    pub(super) fn new(identity: Arc<Identity>, healthy: bool, touched: Arc<AtomicBool>) -> Self {
        Self {
            identity,
            deadline: AtomicU64::new(0),
            last_seen: AtomicI64::new(0),
            healthy: AtomicBool::new(healthy),
            expired: AtomicBool::new(false),
            touched,
            place: AtomicU64::new(0),
        }
    }

    /// A sign of life: believed for another `ttl`.
    pub(super) fn touch(&self, now: Now, ttl: u64) {
        self.deadline.store(now.lease + ttl, Relaxed);
        if self.last_seen.swap(now.unix, Relaxed) != now.unix {
            self.touched.store(true, Release);
        }
    }

    pub(super) fn restore(&self, last_seen: i64, deadline: u64, expired: bool) {
        self.last_seen.store(last_seen, Relaxed);
        self.deadline.store(deadline, Relaxed);
        self.expired.store(expired, Relaxed);
    }

    pub(super) fn deadline(&self) -> u64 {
        self.deadline.load(Relaxed)
    }

    pub(crate) fn last_seen(&self) -> i64 {
        self.last_seen.load(Relaxed)
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Relaxed)
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.expired.load(Relaxed)
    }

    pub(super) fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Relaxed);
    }

    pub(super) fn set_expired(&self, expired: bool) {
        self.expired.store(expired, Relaxed);
    }
}

/// A stored endpoint.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) content: Content,
    pub(crate) lease: Arc<Lease>,
    /// The JSON up to and including `"healthy":`.
    head: Box<[u8]>,
    /// The JSON from `,"generation":` to the closing brace, for watchers.
    tail: Box<[u8]>,
}

impl Row {
    pub(super) fn new(content: Content, lease: Arc<Lease>) -> Self {
        let head = write_head(&lease.identity, &content);
        let mut tail = b",\"generation\":".to_vec();
        write_text(&mut tail, &content.generation);
        tail.push(b'}');
        Self { content, lease, head: head.into(), tail: tail.into() }
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.lease.identity
    }

    /// Healthy and within its time: what plain discovery lists.
    pub(super) fn is_usable(&self) -> bool {
        self.lease.is_healthy() && !self.lease.is_expired()
    }

    /// The endpoint object of the contract.
    pub(super) fn write_endpoint(&self, out: &mut Vec<u8>) {
        self.write_common(out);
        out.push(b'}');
    }

    /// The same with the generation.
    pub(super) fn write_watched(&self, out: &mut Vec<u8>) {
        self.write_common(out);
        out.extend_from_slice(&self.tail);
    }

    fn write_common(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(if self.lease.is_healthy() { b"true" } else { b"false" });
        out.extend_from_slice(b",\"lastSeen\":");
        out.extend_from_slice(itoa::Buffer::new().format(self.lease.last_seen()).as_bytes());
    }

    pub(super) fn digest_row(&self) -> DigestRow<'_> {
        let identity = self.identity();
        DigestRow {
            service: &identity.service,
            ip: &identity.ip,
            port: identity.port,
            protocol: &identity.protocol,
            version: &self.content.version,
            node: &self.content.node,
            labels: self.content.labels.as_ref(),
        }
    }
}

fn write_head(identity: &Identity, content: &Content) -> Vec<u8> {
    let mut head = b"{\"serviceName\":".to_vec();
    write_text(&mut head, &identity.service);
    head.extend_from_slice(b",\"instanceId\":");
    write_text(&mut head, &identity.instance);
    head.extend_from_slice(b",\"nodeId\":");
    write_text(&mut head, &content.node);
    identity.write_address(&mut head);
    head.extend_from_slice(b",\"version\":");
    write_text(&mut head, &content.version);
    head.extend_from_slice(b",\"labels\":");
    serde_json::to_writer(&mut head, &content.labels).expect("a map of texts always serialises");
    head.extend_from_slice(b",\"healthy\":");
    head
}

/// A JSON string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text always serialises");
}

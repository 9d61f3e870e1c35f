//! One registered endpoint, as it is stored.
//!
//! A row has three parts that change at different rates. Its `Identity` never changes. Its content is replaced as a whole
//! by a new registration. Its `Lease` (deadline and health) changes with every heartbeat, so it consists of atomics that a
//! heartbeat writes without a lock on the service. The JSON of a row, except health and time, is written once, when the
//! row is created.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU64,
    Ordering::{Relaxed, Release},
};

use plumline_wire::Labels;
use plumline_wire::digest::DigestRow;

use super::Now;

/// Identifies an endpoint: a registration with the same identity replaces it.
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
    pub(crate) fn matches(&self, service: &str, ip: &str, port: i64, protocol: &str) -> bool {
        self.port == port && *self.service == *service && *self.ip == *ip && *self.protocol == *protocol
    }

    /// Writes the five fields as the inside of a JSON object.
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

/// What a registration contains besides the identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RowContent {
    pub(crate) node: Box<str>,
    pub(crate) version: Box<str>,
    pub(crate) labels: Option<Labels>,
    /// The random string of the registration; empty if the client sent none.
    pub(crate) generation: Box<str>,
}

/// How long an endpoint stays listed, and whether it is healthy.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) identity: Arc<Identity>,
    /// The lease time at which it expires.
    deadline: AtomicU64,
    /// Unix seconds of the last heartbeat.
    last_seen: AtomicI64,
    healthy: AtomicBool,
    expired: AtomicBool,
    /// Shared with the service: set when its cached bodies contain an old `lastSeen`.
    last_seen_changed: Arc<AtomicBool>,
    /// The lease time of its entry in `Deadlines`; written only under their lock.
    pub(super) scheduled_for: AtomicU64,
}

impl Lease {
    pub(super) fn new(identity: Arc<Identity>, healthy: bool, last_seen_changed: Arc<AtomicBool>) -> Self {
        Self {
            identity,
            deadline: AtomicU64::new(0),
            last_seen: AtomicI64::new(0),
            healthy: AtomicBool::new(healthy),
            expired: AtomicBool::new(false),
            last_seen_changed,
            scheduled_for: AtomicU64::new(0),
        }
    }

    /// Renews the lease for another `ttl`.
    pub(super) fn touch(&self, now: Now, ttl: u64) {
        self.deadline.store(now.lease + ttl, Relaxed);
        if self.last_seen.swap(now.unix, Relaxed) != now.unix {
            self.last_seen_changed.store(true, Release);
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
    pub(crate) content: RowContent,
    pub(crate) lease: Arc<Lease>,
    /// The JSON up to and including `"healthy":`.
    head: Box<[u8]>,
    /// The JSON from `,"generation":` to the closing brace, for watchers.
    tail: Box<[u8]>,
}

impl Row {
    pub(super) fn new(content: RowContent, lease: Arc<Lease>) -> Self {
        let head = write_head(&lease.identity, &content);
        let mut tail = b",\"generation\":".to_vec();
        write_text(&mut tail, &content.generation);
        tail.push(b'}');
        Self { content, lease, head: head.into(), tail: tail.into() }
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.lease.identity
    }

    /// Healthy and not expired, so discovery lists it.
    pub(super) fn is_usable(&self) -> bool {
        self.lease.is_healthy() && !self.lease.is_expired()
    }

    /// Writes the endpoint as the contract defines it.
    pub(super) fn write_endpoint(&self, out: &mut Vec<u8>) {
        self.write_common(out);
        out.push(b'}');
    }

    /// Writes the endpoint with its generation, for watchers.
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

fn write_head(identity: &Identity, content: &RowContent) -> Vec<u8> {
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
    serde_json::to_writer(&mut head, &content.labels).expect("a map of strings always serialises");
    head.extend_from_slice(b",\"healthy\":");
    head
}

/// A JSON string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string always serialises");
}

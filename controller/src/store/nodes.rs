//! The nodes that send heartbeats, and their health.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use plumline_wire::Labels;
use serde::Serialize;

use super::Now;
use super::expiry::FORGET_AFTER;

/// How many of the longest silent nodes each heartbeat checks, to forget those silent for a day.
const FORGET_AT_ONCE: usize = 2;

#[derive(Debug, Default)]
pub(crate) struct Nodes {
    state: Mutex<NodeTable>,
}

#[derive(Debug, Default)]
struct NodeTable {
    by_id: BTreeMap<String, Node>,
    /// The nodes by the time of their last heartbeat, oldest first.
    by_age: BTreeSet<(u64, String)>,
}

#[derive(Debug, Clone)]
struct Node {
    ip: String,
    labels: Option<Labels>,
    unix: i64,
    heartbeat_at: u64,
}

/// A node as `GET /v1/nodes/{id}` returns it.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeView {
    node_id: String,
    ip: String,
    labels: Option<Labels>,
    last_seen: i64,
}

/// A node in the list of all.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedNode {
    health: &'static str,
    #[serde(flatten)]
    node: NodeView,
}

impl Nodes {
    pub(crate) fn heartbeat(&self, id: String, ip: String, labels: Option<Labels>, now: Now) {
        let mut state = self.state.lock();
        state.forget_silent(now);
        let node = Node { ip, labels, unix: now.unix, heartbeat_at: now.lease };
        if let Some(previous) = state.by_id.insert(id.clone(), node) {
            state.by_age.remove(&(previous.heartbeat_at, id.clone()));
        }
        state.by_age.insert((now.lease, id));
    }

    /// All nodes by id. A node is healthy if it sent a heartbeat within `ttl` lease milliseconds.
    pub(crate) fn list(&self, ttl: u64, now: Now) -> Vec<ListedNode> {
        let state = self.state.lock();
        let listed = |(id, node): (&String, &Node)| {
            let silent_for = now.lease.saturating_sub(node.heartbeat_at);
            ListedNode { health: health_of(silent_for, ttl), node: node.view(id) }
        };
        state.by_id.iter().map(listed).collect()
    }

    pub(crate) fn get(&self, id: &str) -> Option<NodeView> {
        self.state.lock().by_id.get(id).map(|node| node.view(id))
    }

    pub(crate) fn delete(&self, id: &str) {
        let mut state = self.state.lock();
        if let Some(node) = state.by_id.remove(id) {
            state.by_age.remove(&(node.heartbeat_at, id.to_owned()));
        }
    }
}

impl NodeTable {
    fn forget_silent(&mut self, now: Now) {
        for _ in 0..FORGET_AT_ONCE {
            if self.by_age.first().is_none_or(|(heartbeat_at, _)| heartbeat_at + FORGET_AFTER > now.lease) {
                return;
            }
            if let Some((_, id)) = self.by_age.pop_first() {
                self.by_id.remove(&id);
            }
        }
    }
}

impl Node {
    fn view(&self, id: &str) -> NodeView {
        NodeView {
            node_id: id.to_owned(),
            ip: self.ip.clone(),
            labels: self.labels.clone(),
            last_seen: self.unix,
        }
    }
}

/// A node is `Unknown` after ten times its TTL without a heartbeat.
fn health_of(silent_for: u64, ttl: u64) -> &'static str {
    match silent_for {
        silent if silent <= ttl => "Healthy",
        silent if silent <= ttl.saturating_mul(10) => "Unhealthy",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lease: u64) -> Now {
        Now { lease, unix: 1_000 + (lease / 1_000) as i64 }
    }

    #[test]
    fn silent_node_becomes_unhealthy_then_unknown() {
        let nodes = Nodes::default();
        nodes.heartbeat("n1".into(), String::new(), None, at(0));
        let health = |lease| nodes.list(3_000, at(lease))[0].health;
        assert_eq!([health(3_000), health(3_001), health(30_001)], ["Healthy", "Unhealthy", "Unknown"]);
    }

    #[test]
    fn heartbeats_evict_nodes_silent_for_a_day() {
        let nodes = Nodes::default();
        for number in 0..100 {
            nodes.heartbeat(format!("old-{number}"), String::new(), None, at(0));
        }
        for _ in 0..50 {
            nodes.heartbeat("new".into(), String::new(), None, at(FORGET_AFTER));
        }
        assert_eq!(nodes.list(3_000, at(FORGET_AFTER)).len(), 1);
    }
}

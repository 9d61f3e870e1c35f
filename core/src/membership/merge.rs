//! What is listed now, laid over what was there: endpoints that stay keep their cells.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Delta, ListedEndpoint, Member};
use crate::model::{Endpoint, EndpointKey};

/// Keeps one record per protocol and address: the first, with the largest weight of all of them.
pub(super) fn one_per_key(listed: Vec<ListedEndpoint>) -> Vec<(EndpointKey, ListedEndpoint)> {
    let mut keyed: Vec<(EndpointKey, ListedEndpoint)> =
        listed.into_iter().map(|listed| (listed.endpoint.key(), listed)).collect();
    keyed.sort_by(|(a, _), (b, _)| (a.address, &a.protocol).cmp(&(b.address, &b.protocol)));
    keyed.dedup_by(|(dropped, twin), (kept, first)| {
        let same = dropped == kept;
        if same {
            first.unconfirmed &= twin.unconfirmed;
            if twin.endpoint.weight > first.endpoint.weight {
                Arc::make_mut(&mut first.endpoint).weight = twin.endpoint.weight;
            }
        }
        same
    });
    keyed
}

/// The members from now on, and what that changes.
pub(super) fn merge(before: &[Member], listed: Vec<(EndpointKey, ListedEndpoint)>) -> (Vec<Member>, Delta) {
    let mut old: HashMap<EndpointKey, &Member> =
        before.iter().map(|member| (member.endpoint.key(), member)).collect();
    let mut delta = Delta::default();
    let members = listed
        .into_iter()
        .map(|(key, listed)| {
            let Some(known) = old.remove(&key) else {
                delta.added.push(listed.endpoint.clone());
                return Member {
                    endpoint: listed.endpoint,
                    state: Arc::default(),
                    unconfirmed: listed.unconfirmed,
                };
            };
            if !known.endpoint.same_as(&listed.endpoint) {
                delta.updated.push(listed.endpoint.clone());
            }
            if is_restarted(&known.endpoint, &listed.endpoint) {
                known.state.begin_anew();
            }
            if is_renamed(&known.endpoint, &listed.endpoint) {
                known.state.connections.store(None);
            }
            Member { endpoint: listed.endpoint, state: known.state.clone(), unconfirmed: listed.unconfirmed }
        })
        .collect();
    delta.removed = before
        .iter()
        .filter(|member| old.contains_key(&member.endpoint.key()))
        .map(|member| member.endpoint.clone())
        .collect();
    (members, delta)
}

/// Whether another process stands behind the address now.
fn is_restarted(before: &Endpoint, after: &Endpoint) -> bool {
    !before.generation.is_empty() && !after.generation.is_empty() && before.generation != after.generation
}

/// Whether the names have changed under which it is spoken to: they are part of every connection.
fn is_renamed(before: &Endpoint, after: &Endpoint) -> bool {
    let tls_name = |endpoint: &Endpoint| endpoint.labels.get("tls_server_name").cloned();
    before.host != after.host || tls_name(before) != tls_name(after)
}

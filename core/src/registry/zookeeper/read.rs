//! Reads lists of endpoints: the nodes below a service, and the record in each of them.

use std::sync::Arc;

use super::Core;
use super::jute::Stat;
use super::line::{Fault, Line, TOGETHER};
use crate::error::{Error, Kind, Result};
use crate::model::Endpoint;
use crate::registry::json_record::{InstanceKey, JsonRecord, service_path, unescape};
use crate::registry::types::{Absence, Listing, RegistryUpdate};

/// The result of reading a node.
#[derive(Clone)]
pub(super) enum Look {
    /// The node does not exist.
    Gone,
    /// The node contains no valid record, or must not be read.
    LeftOut,
    Found(Arc<Found>),
}

/// A node with the record of an instance.
pub(super) struct Found {
    place: InstanceKey,
    record: JsonRecord,
    /// Identifies the registration: the session of the node, or the zxid of its creation.
    generation: String,
}

impl Found {
    /// Whether its host is a name.
    pub(super) fn has_name(&self) -> bool {
        self.record.host().parse::<std::net::IpAddr>().is_err()
    }
}

impl Core {
    pub(super) async fn read(&self, service: &str) -> Result<RegistryUpdate> {
        let line = self.line().await?;
        let steps = match line.children(&service_path(&self.prefix, service), false).await {
            Err(Fault::NoNode) => Vec::new(),
            listed => listed?,
        };
        let nodes: Vec<_> = steps.into_iter().map(|step| (service.to_owned(), step)).collect();
        let looks = self.look(&line, &nodes, false).await?;
        let listing = self.listing(looks.iter()).await;
        Ok(self.heard(&line, vec![(service.to_owned(), listing)], false))
    }

    pub(super) async fn services(&self) -> Result<Vec<String>> {
        let line = self.line().await?;
        let steps = match line.children(&self.prefix, false).await {
            Err(Fault::NoNode) => return Ok(Vec::new()),
            listed => listed?,
        };
        let mut names = Vec::with_capacity(steps.len());
        for together in steps.chunks(TOGETHER) {
            let path = |step: &String| format!("{}/{step}", self.prefix);
            let asked: Vec<_> = together.iter().map(|step| line.exists(&path(step), false)).collect();
            for (step, stat) in together.iter().zip(asked) {
                // Parent nodes stay after their last instance has gone.
                if stat.await?.is_some_and(|stat| stat.children > 0) {
                    names.push(unescape(step));
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads nodes, each given by its service and its last path segment; the results are in the same order.
    pub(super) async fn look(
        &self,
        line: &Arc<Line>,
        nodes: &[(String, String)],
        watch: bool,
    ) -> Result<Vec<Look>> {
        let mut looks = Vec::with_capacity(nodes.len());
        for together in nodes.chunks(TOGETHER) {
            let path = |service: &str, step: &str| format!("{}/{step}", service_path(&self.prefix, service));
            let asked: Vec<_> = together.iter().map(|(s, step)| line.data(&path(s, step), watch)).collect();
            for ((service, step), asked) in together.iter().zip(asked) {
                looks.push(match asked.await {
                    Ok((data, stat)) => self.judge(service, step, &data, stat),
                    Err(Fault::NoNode) => Look::Gone,
                    Err(Fault::Other(error)) if error.kind() == Kind::PermissionDenied => {
                        self.leave_out(service, step, &[], error.message())
                    }
                    Err(fault) => return Err(fault.into()),
                });
            }
        }
        Ok(looks)
    }

    fn judge(&self, service: &str, step: &str, data: &[u8], stat: Stat) -> Look {
        let generation = if stat.owner == 0 { stat.created } else { stat.owner };
        match JsonRecord::read(data) {
            Ok(record) => Look::Found(Arc::new(Found {
                place: InstanceKey { service: service.to_owned(), instance_id: unescape(step) },
                record,
                generation: format!("{generation:x}"),
            })),
            Err(why) => self.leave_out(service, step, data, &why),
        }
    }

    fn leave_out(&self, service: &str, step: &str, data: &[u8], why: &str) -> Look {
        self.record_warnings.warn_once(&format!("{service}/{}", unescape(step)), data, &why);
        Look::LeftOut
    }

    /// The endpoints of these nodes, one per address. A host that cannot be resolved has none.
    pub(super) async fn listing<'a>(&self, looks: impl Iterator<Item = &'a Look>) -> Listing {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for look in looks {
            let Look::Found(found) = look else { continue };
            let Found { place, record, generation } = &**found;
            match self.terms.names.resolve_async(record.host(), self.terms.request_timeout).await {
                Ok(ips) => {
                    let endpoint = |ip| record.endpoint(place, ip, generation, &self.source);
                    endpoints.extend(ips.into_iter().map(endpoint));
                }
                Err(error) => {
                    tracing::debug!(source = %self.source, id = place.instance_id, %error, "skipped an endpoint: its host cannot be resolved");
                }
            }
        }
        Listing { endpoints, removed: Vec::new() }
    }

    /// The update for lists that were read on a connection.
    pub(super) fn heard(
        &self,
        line: &Line,
        lists: Vec<(String, Listing)>,
        confirms_all: bool,
    ) -> RegistryUpdate {
        RegistryUpdate {
            epoch: Some(format!("{}#{:x}", self.source, line.session)),
            ttl: Some(line.timeout),
            absence: Absence::AfterSettling,
            lists,
            confirms_all,
        }
    }
}

/// Whether an error concerns a single service only.
pub(super) fn is_about_one(error: &Error) -> bool {
    matches!(error.kind(), Kind::PermissionDenied | Kind::InvalidArgument)
}

//! Lists of endpoints: the nodes below a service, asked for together, each with its record.

use std::sync::Arc;

use super::Core;
use super::jute::Stat;
use super::line::{Fault, Line, TOGETHER};
use crate::error::{Error, Kind, Result};
use crate::model::Endpoint;
use crate::registry::record::{Place, Record, path_of, unescape};
use crate::registry::{Absence, Listing, RegistryUpdate};

/// What lies at a node.
#[derive(Clone)]
pub(super) enum Look {
    /// Nothing: it is gone.
    Gone,
    /// Something that is no record of an instance.
    LeftOut,
    Found(Arc<Found>),
}

/// An instance that was found.
pub(super) struct Found {
    place: Place,
    record: Record,
    /// Tells one registration from the next: the session that it lives with, or the change that it began with.
    generation: String,
}

impl Found {
    /// Whether it says where it is by a name.
    pub(super) fn has_name(&self) -> bool {
        self.record.host().parse::<std::net::IpAddr>().is_err()
    }
}

impl Core {
    pub(super) async fn read(&self, service: &str) -> Result<RegistryUpdate> {
        let line = self.line().await?;
        let steps = match line.children(&path_of(&self.prefix, service), false).await {
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
                // Parents are left behind by whoever has gone.
                if stat.await?.is_some_and(|stat| stat.children > 0) {
                    names.push(unescape(step));
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Looks at nodes, each named by its service and its last step; in their order.
    pub(super) async fn look(
        &self,
        line: &Arc<Line>,
        nodes: &[(String, String)],
        watch: bool,
    ) -> Result<Vec<Look>> {
        let mut looks = Vec::with_capacity(nodes.len());
        for together in nodes.chunks(TOGETHER) {
            let path = |service: &str, step: &str| format!("{}/{step}", path_of(&self.prefix, service));
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
        match Record::read(data) {
            Ok(record) => Look::Found(Arc::new(Found {
                place: Place { service: service.to_owned(), instance_id: unescape(step) },
                record,
                generation: format!("{generation:x}"),
            })),
            Err(why) => self.leave_out(service, step, data, &why),
        }
    }

    fn leave_out(&self, service: &str, step: &str, data: &[u8], why: &str) -> Look {
        self.unreadable.warn(&format!("{service}/{}", unescape(step)), data, &why);
        Look::LeftOut
    }

    /// One endpoint per address of each; a name that nobody knows has none.
    pub(super) async fn listing<'a>(&self, looks: impl Iterator<Item = &'a Look>) -> Listing {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for look in looks {
            let Look::Found(found) = look else { continue };
            let Found { place, record, generation } = &**found;
            match self.terms.names.found(record.host(), self.terms.request_timeout).await {
                Ok(ips) => {
                    let endpoint = |ip| record.endpoint(place, ip, generation, &self.source);
                    endpoints.extend(ips.into_iter().map(endpoint));
                }
                Err(error) => {
                    tracing::debug!(source = %self.source, id = place.instance_id, %error, "left out: its host is not known");
                }
            }
        }
        Listing { endpoints, removed: Vec::new() }
    }

    /// What a line has told.
    pub(super) fn heard(
        &self,
        line: &Line,
        lists: Vec<(String, Listing)>,
        confirms_all: bool,
    ) -> RegistryUpdate {
        RegistryUpdate {
            epoch: Some(format!("{}#{:x}", self.source, line.session)),
            ttl: Some(line.timeout),
            absence: Absence::WhenSettled,
            lists,
            confirms_all,
        }
    }
}

/// Whether others would be refused as well.
pub(super) fn is_about_one(error: &Error) -> bool {
    matches!(error.kind(), Kind::PermissionDenied | Kind::InvalidArgument)
}

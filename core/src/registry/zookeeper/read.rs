//! Reads lists of endpoints: the nodes below a service, and the record in each of them.

use std::sync::Arc;

use super::client::ZooKeeperClient;
use super::connection::{MAX_IN_FLIGHT, ZooKeeperConnection, ZooKeeperError};
use super::jute::NodeStat;
use crate::error::{Error, Kind, Result};
use crate::model::Endpoint;
use crate::registry::json_record::{InstanceKey, JsonRecord, service_path, unescape};
use crate::registry::types::{Absence, Listing, RegistryUpdate};

/// The result of reading a node.
#[derive(Clone)]
pub(super) enum NodeRead {
    /// The node does not exist.
    Gone,
    /// The node contains no valid record, or must not be read.
    Unreadable,
    Found(Arc<InstanceNode>),
}

/// A node with the record of an instance.
pub(super) struct InstanceNode {
    key: InstanceKey,
    record: JsonRecord,
    /// Identifies the registration: the session of the node, or the zxid of its creation.
    generation: String,
}

impl InstanceNode {
    /// Whether its host is a name.
    pub(super) fn has_name(&self) -> bool {
        self.record.host().parse::<std::net::IpAddr>().is_err()
    }
}

impl ZooKeeperClient {
    pub(super) async fn read(&self, service: &str) -> Result<RegistryUpdate> {
        let connection = self.connection().await?;
        let segments = match connection.children(&service_path(&self.prefix, service), false).await {
            Err(ZooKeeperError::NoNode) => Vec::new(),
            listed => listed?,
        };
        let nodes: Vec<_> = segments.into_iter().map(|segment| (service.to_owned(), segment)).collect();
        let reads = self.read_nodes(&connection, &nodes, false).await?;
        let listing = self.listing(reads.iter()).await;
        Ok(self.update_for(&connection, vec![(service.to_owned(), listing)], false))
    }

    pub(super) async fn services(&self) -> Result<Vec<String>> {
        let connection = self.connection().await?;
        let segments = match connection.children(&self.prefix, false).await {
            Err(ZooKeeperError::NoNode) => return Ok(Vec::new()),
            listed => listed?,
        };
        let mut names = Vec::with_capacity(segments.len());
        for batch in segments.chunks(MAX_IN_FLIGHT) {
            let path = |segment: &String| format!("{}/{segment}", self.prefix);
            let asked: Vec<_> =
                batch.iter().map(|segment| connection.exists(&path(segment), false)).collect();
            for (segment, stat) in batch.iter().zip(asked) {
                // Parent nodes stay after their last instance has gone.
                if stat.await?.is_some_and(|stat| stat.children > 0) {
                    names.push(unescape(segment));
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads nodes, each given by its service and its last path segment; the results are in the same order.
    pub(super) async fn read_nodes(
        &self,
        connection: &Arc<ZooKeeperConnection>,
        nodes: &[(String, String)],
        watch: bool,
    ) -> Result<Vec<NodeRead>> {
        let mut reads = Vec::with_capacity(nodes.len());
        for batch in nodes.chunks(MAX_IN_FLIGHT) {
            let path =
                |service: &str, segment: &str| format!("{}/{segment}", service_path(&self.prefix, service));
            let asked: Vec<_> =
                batch.iter().map(|(s, segment)| connection.data(&path(s, segment), watch)).collect();
            for ((service, segment), asked) in batch.iter().zip(asked) {
                reads.push(match asked.await {
                    Ok((data, stat)) => self.to_node_read(service, segment, &data, stat),
                    Err(ZooKeeperError::NoNode) => NodeRead::Gone,
                    Err(ZooKeeperError::Other(error)) if error.kind() == Kind::PermissionDenied => {
                        self.skip(service, segment, &[], error.message())
                    }
                    Err(failure) => return Err(failure.into()),
                });
            }
        }
        Ok(reads)
    }

    fn to_node_read(&self, service: &str, segment: &str, data: &[u8], stat: NodeStat) -> NodeRead {
        let generation = if stat.owner == 0 { stat.created } else { stat.owner };
        match JsonRecord::read(data) {
            Ok(record) => NodeRead::Found(Arc::new(InstanceNode {
                key: InstanceKey { service: service.to_owned(), instance_id: unescape(segment) },
                record,
                generation: format!("{generation:x}"),
            })),
            Err(why) => self.skip(service, segment, data, &why),
        }
    }

    fn skip(&self, service: &str, segment: &str, data: &[u8], why: &str) -> NodeRead {
        self.record_warnings.warn_once(&format!("{service}/{}", unescape(segment)), data, &why);
        NodeRead::Unreadable
    }

    /// The endpoints of these nodes, one per address. A host that cannot be resolved has none.
    pub(super) async fn listing<'a>(&self, reads: impl Iterator<Item = &'a NodeRead>) -> Listing {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for read in reads {
            let NodeRead::Found(found) = read else { continue };
            let InstanceNode { key, record, generation } = &**found;
            match self.config.resolver.resolve_async(record.host(), self.config.request_timeout).await {
                Ok(ips) => {
                    let endpoint = |ip| record.endpoint(key, ip, generation, &self.source);
                    endpoints.extend(ips.into_iter().map(endpoint));
                }
                Err(error) => {
                    tracing::debug!(source = %self.source, id = key.instance_id, %error, "skipped an endpoint: its host cannot be resolved");
                }
            }
        }
        Listing { endpoints, removed: Vec::new() }
    }

    /// The update for lists that were read on a connection.
    pub(super) fn update_for(
        &self,
        connection: &ZooKeeperConnection,
        lists: Vec<(String, Listing)>,
        confirms_all: bool,
    ) -> RegistryUpdate {
        RegistryUpdate {
            epoch: Some(format!("{}#{:x}", self.source, connection.session)),
            ttl: Some(connection.timeout),
            absence: Absence::AfterSettling,
            lists,
            confirms_all,
        }
    }
}

/// Whether an error concerns a single service only.
pub(super) fn concerns_one_service(error: &Error) -> bool {
    matches!(error.kind(), Kind::PermissionDenied | Kind::InvalidArgument)
}

//! Every registry with its real server: how soon a change is seen, what a death costs, what staying registered costs.

mod deaths;
mod propagation;
mod steady;
mod wire;

use plumline::Client;
use plumline_servers::Server;
use plumline_servers::consul::Consul;
use plumline_servers::etcd::{Etcd, New};
use plumline_servers::nacos::Nacos;
use plumline_servers::zookeeper::ZooKeeper;
use serde_json::{Value, json};

pub use deaths::failover;
pub use propagation::propagation;
pub use steady::registrations;

/// What a registry lists for a service, asked without Plumline: ports.
type ListedEndpoint = dyn Fn(&str) -> Vec<u16>;

/// A registry that runs.
struct Place {
    name: &'static str,
    address: String,
    listed: Box<ListedEndpoint>,
}

/// One after the other, so that only one runs at a time.
fn places() -> impl Iterator<Item = Place> {
    let start: [fn() -> Place; 4] = [
        || place::<Etcd<New>>("etcd"),
        || place::<Consul>("Consul"),
        || place::<Nacos>("Nacos"),
        || place::<ZooKeeper>("ZooKeeper"),
    ];
    start.into_iter().map(|start| start())
}

fn place<S: Server + 'static>(name: &'static str) -> Place {
    let server = S::start();
    Place { name, address: server.address(), listed: Box::new(move |service| server.listed(service)) }
}

/// A client of this registry with these settings, whose instances are registered without a look at their ports; a
/// stranger to every other one, as one in another process is.
fn client(address: &str, settings: Value) -> Client {
    let mut config = settings;
    config["registration"] = json!({"wait_listening": "0s"});
    plumline_tests::client(address, config)
}

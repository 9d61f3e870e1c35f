//! Every registry's address, pointed at each of the others' servers by mistake: what answers there is named.

use plumline::{Client, Kind};
use plumline_servers::Server;
use plumline_servers::consul::Consul;
use plumline_servers::etcd::{Etcd, New};
use plumline_servers::nacos::Nacos;
use plumline_servers::zookeeper::ZooKeeper;

/// The address under which clients of a scheme turn to this port.
fn address(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{}", if scheme == "nacos" { port - 1000 } else { port })
}

#[test]
fn address_of_another_system_is_reported() {
    let (etcd, consul, nacos, zookeeper) =
        (Etcd::<New>::start(), Consul::start(), Nacos::start(), ZooKeeper::start());
    let ports = [
        ("etcd", etcd.port),
        ("consul", consul.http),
        ("zookeeper", zookeeper.port),
        ("nacos over HTTP", nacos.http),
        ("nacos", nacos.http + 1000),
    ];
    for scheme in ["etcd", "consul", "nacos", "zookeeper", "plum"] {
        for (system, port) in ports.into_iter().filter(|(system, _)| *system != scheme) {
            let plum = Client::new(&address(scheme, port)).unwrap();
            let error = plum.discover("orders").expect_err("it is no registry of this kind");
            // ZooKeeper hangs up on whatever it does not understand; a server that starts does the same.
            let is_named = match system {
                "zookeeper" => error.kind() == Kind::Unavailable && error.message().contains("without a"),
                _ => error.kind() == Kind::Protocol,
            };
            assert!(is_named, "{scheme} at {system}: {error}");
        }
    }
}

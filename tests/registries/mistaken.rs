//! Every registry's address, pointed at each of the others' servers by mistake: what answers there is named.

use plumline::{Client, Kind};
use plumline_servers::consul::Consul;
use plumline_servers::etcd::{Etcd, New};
use plumline_servers::nacos::Nacos;
use plumline_servers::zookeeper::ZooKeeper;
use plumline_servers::{Server, among_others};

/// The address under which clients of a scheme turn to this port.
fn address(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{}", if scheme == "nacos" { port - 1000 } else { port })
}

#[test]
fn an_address_that_leads_to_another_system_says_so() {
    let _turn = among_others();
    let (etcd, consul, nacos, zookeeper) =
        (Etcd::<New>::start(), Consul::start(), Nacos::start(), ZooKeeper::start());
    let servers =
        [("etcd", etcd.address()), ("consul", consul.address()), ("zookeeper", zookeeper.address())];
    let port = |address: &str| {
        let behind = address.rsplit(':').next().unwrap();
        behind.split(['/', '?']).next().unwrap().parse::<u16>().unwrap()
    };
    let mut ports: Vec<_> = servers.iter().map(|(system, address)| (*system, port(address))).collect();
    ports.extend([("nacos over HTTP", nacos.http), ("nacos", nacos.http + 1000)]);
    for scheme in ["etcd", "consul", "nacos", "zookeeper", "plum"] {
        for (system, port) in ports.iter().filter(|(system, _)| *system != scheme) {
            let plum = Client::new(&address(scheme, *port)).unwrap();
            let error = plum.discover("orders").expect_err("it is no registry of this kind");
            // ZooKeeper hangs up on whatever it does not understand; a server that starts does the same.
            let is_named = match *system {
                "zookeeper" => error.kind() == Kind::Unavailable && error.message().contains("without a"),
                _ => error.kind() == Kind::Protocol,
            };
            assert!(is_named, "{scheme} at {system}: {error}");
        }
    }
}

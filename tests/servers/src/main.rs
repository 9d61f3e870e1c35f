//! Has everything that tests start beside Plumline, before the first of them: a test may run where nothing can be
//! downloaded, because it sets every proxy to a closed port. With `--serve`: runs the servers that tests share.

use std::path::PathBuf;

use plumline_servers::consul::Consul;
use plumline_servers::etcd::{Etcd, New, Old, Version};
use plumline_servers::nacos::Nacos;
use plumline_servers::zookeeper::ZooKeeper;
use plumline_servers::{Server, consul, nacos, nsd, toxiproxy, zookeeper};

/// Has one of them, if need be; where it lies.
type Have = fn() -> PathBuf;

fn main() {
    match std::env::args().nth(1).as_deref() {
        None => have_all(),
        Some("--serve") => serve(),
        Some(other) => panic!("unknown argument {other:?}; the only one is --serve"),
    }
}

/// Starts the servers that tests share, prints the value of [`plumline_servers::SHARED`] that names them, and keeps them until its input
/// ends.
fn serve() {
    let (etcd, consul) = (Etcd::<New>::start(), Consul::start());
    let (nacos, zookeeper) = (Nacos::start(), ZooKeeper::start());
    println!("etcd={},consul={},nacos={},zookeeper={}", etcd.port, consul.http, nacos.http, zookeeper.port);
    std::io::stdin().lines().for_each(drop);
}

fn have_all() {
    let all: [(&str, Have); 10] = [
        ("etcd 3.6", New::program),
        ("etcd 3.4", Old::program),
        ("Consul", consul::consul),
        ("rnacos", nacos::rnacos),
        ("Nacos' Java client", nacos::own_clients_jars),
        ("ZooKeeper 3.9", || zookeeper::jar(zookeeper::NEW)),
        ("ZooKeeper 3.4", || zookeeper::jar(zookeeper::OLD)),
        ("kazoo", zookeeper::kazoo),
        ("NSD", nsd::nsd),
        ("toxiproxy", toxiproxy::toxiproxy),
    ];
    for (name, have) in all {
        println!("{name}: {}", have().display());
    }
}

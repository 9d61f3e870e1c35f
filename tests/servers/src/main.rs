//! Has everything that tests start beside Plumline, before the first of them: a test may run where nothing can be
//! downloaded, for it has pointed every proxy nowhere.

use std::path::PathBuf;

use plumline_servers::etcd::{New, Old, Version};
use plumline_servers::{consul, nacos, nsd, toxiproxy, zookeeper};

/// Has one of them, if need be; where it lies.
type Have = fn() -> PathBuf;

fn main() {
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

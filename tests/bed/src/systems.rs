//! The registries that others make, each by its real server: started when a scenario first wants it, and shared by
//! all scenarios after that.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use plumline_servers::Server;
use plumline_servers::consul::Consul;
use plumline_servers::etcd::{Etcd, New};
use plumline_servers::nacos::Nacos;
use plumline_servers::zookeeper::ZooKeeper;
use serde_json::{Value, json};

use crate::door::Door;
use crate::port::Port;
use crate::scenario::System;

/// The servers that run.
#[derive(Default)]
pub struct Systems {
    running: BTreeMap<System, Real>,
    /// Counts scenarios, so that each can have services of its own.
    played: u32,
}

/// What a server lists for a service: ports.
type Listed = dyn Fn(&str) -> Vec<u16>;

/// A server, and how it is asked without Plumline.
struct Real {
    address: String,
    listed: Box<Listed>,
}

impl Real {
    fn start<S: Server + 'static>() -> Real {
        let server = S::start();
        Real { address: server.address(), listed: Box::new(move |service| server.listed(service)) }
    }
}

impl Systems {
    /// What makes a scenario's services its own.
    pub fn unique(&mut self) -> String {
        self.played += 1;
        format!("n{}", self.played)
    }

    /// A way to a system that can be shut.
    pub fn way_to(&mut self, system: System) -> Result<Way, String> {
        let real = self.running.entry(system).or_insert_with(|| match system {
            System::Etcd => Real::start::<Etcd<New>>(),
            System::Consul => Real::start::<Consul>(),
            System::Nacos => Real::start::<Nacos>(),
            System::Zookeeper => Real::start::<ZooKeeper>(),
        });
        let target = port_of(&real.address)?;
        // The second port of Nacos lies 1,000 above the first, for whoever is told of the first.
        let offsets: &[u16] = if system == System::Nacos { &[0, 1_000] } else { &[0] };
        let ports = ports(offsets)?;
        let port = ports[0].address().port();
        let address = real.address.replace(&format!(":{target}"), &format!(":{port}"));
        let targets =
            offsets.iter().map(|offset| SocketAddr::from(([127, 0, 0, 1], target + offset))).collect();
        let mut way = Way { system, address, ports, targets, doors: Vec::new() };
        way.open()?;
        Ok(way)
    }

    /// What a system lists for a service: addresses.
    pub fn listed(&self, system: System, service: &str) -> Value {
        let ports = self.running.get(&system).map(|real| (real.listed)(service)).unwrap_or_default();
        ports.iter().map(|port| json!(format!("127.0.0.1:{port}"))).collect()
    }
}

fn port_of(address: &str) -> Result<u16, String> {
    let host = address.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next());
    let port = host.and_then(|host| host.rsplit(':').next()?.parse().ok());
    port.ok_or_else(|| format!("{address} names no port"))
}

/// Free ports at these distances from each other.
fn ports(offsets: &[u16]) -> Result<Vec<Port>, String> {
    const TRIES: usize = 100;
    let take = || {
        let first = Port::take().ok()?;
        let at =
            |offset: &u16| first.address().port().checked_add(*offset).and_then(|port| Port::at(port).ok());
        let others: Option<Vec<Port>> = offsets[1..].iter().map(at).collect();
        Some(std::iter::once(first).chain(others?).collect())
    };
    std::iter::repeat_with(take).take(TRIES).flatten().next().ok_or_else(|| "no ports are free".into())
}

/// How one scenario's clients come to a system.
pub struct Way {
    /// Where it leads.
    pub system: System,
    /// What clients are told.
    pub address: String,
    ports: Vec<Port>,
    targets: Vec<SocketAddr>,
    doors: Vec<Door>,
}

impl Way {
    /// It leads there again.
    pub fn open(&mut self) -> Result<(), String> {
        self.shut();
        for (port, target) in self.ports.iter().zip(&self.targets) {
            let listener = port.listen().map_err(|error| format!("the registry's door: {error}"))?;
            self.doors.push(Door::open(listener, Some(*target)));
        }
        Ok(())
    }

    /// It leads nowhere; the system itself notices nothing.
    pub fn shut(&mut self) {
        self.doors.drain(..).for_each(Door::shut);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.shut();
    }
}

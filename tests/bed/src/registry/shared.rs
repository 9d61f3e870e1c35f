//! A registry that others make: one scenario's own way to a server that all of them share.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use plumline::Endpoint;
use plumline_servers::Server;

use super::{Registry, instance_id};
use crate::door::Door;
use crate::port::Port;
use crate::scenario::{Known, System};

/// How long a server may take to list what was written.
const WRITTEN: Duration = Duration::from_secs(10);

/// A server, and the doors to it.
pub struct Shared<'a> {
    server: &'a mut dyn Server,
    address: String,
    ports: Vec<Port>,
    targets: Vec<SocketAddr>,
    doors: Vec<Door>,
    /// By hand and not removed: services and ports.
    written: Vec<(String, u16)>,
}

impl<'a> Shared<'a> {
    /// A way to this server of that system; shut at first.
    pub fn at(system: System, server: &'a mut dyn Server) -> Result<Shared<'a>, String> {
        let address = server.address();
        let target = port_of(&address)?;
        // The second port of Nacos lies 1,000 above the first, for whoever is told of the first.
        let offsets: &[u16] = if system == System::Nacos { &[0, 1_000] } else { &[0] };
        let ports = ports(offsets)?;
        let address = address.replace(&format!(":{target}"), &format!(":{}", ports[0].address().port()));
        let targets =
            offsets.iter().map(|offset| SocketAddr::from(([127, 0, 0, 1], target + offset))).collect();
        Ok(Shared { server, address, ports, targets, doors: Vec::new(), written: Vec::new() })
    }

    fn open(&mut self, to_server: bool) -> Result<(), String> {
        self.down();
        for (port, target) in self.ports.iter().zip(&self.targets) {
            let listener = port.listen().map_err(|error| format!("the registry's door: {error}"))?;
            self.doors.push(Door::open(listener, to_server.then_some(*target)));
        }
        Ok(())
    }

    fn await_listing(&self, service: &str, port: u16, wanted: bool) -> Result<(), String> {
        let until = Instant::now() + WRITTEN;
        while self.server.listed(service).contains(&port) != wanted {
            if Instant::now() > until {
                return Err(format!("{service} at {port}: listed should be {wanted}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Registry for Shared<'_> {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn places(&self) -> Vec<SocketAddr> {
        self.ports.iter().map(Port::address).collect()
    }

    fn up(&mut self) -> Result<(), String> {
        self.open(true)
    }

    /// The server itself notices nothing.
    fn down(&mut self) {
        self.doors.drain(..).for_each(Door::shut);
    }

    fn hang(&mut self) -> Result<(), String> {
        self.open(false)
    }

    fn restart(&mut self) -> Result<(), String> {
        self.down();
        self.server.kill();
        self.server.empty();
        self.server.revive();
        self.written.clear();
        self.up()
    }

    fn register(&mut self, known: &Known, at: SocketAddr) -> Result<(), String> {
        self.server.write_by_hand(&endpoint(known, at)?, &[]);
        self.written.push((known.service.clone(), at.port()));
        self.await_listing(&known.service, at.port(), true)
    }

    fn deregister(&mut self, known: &Known, at: SocketAddr) -> Result<(), String> {
        self.server.delete_by_hand(&known.service, at.port());
        self.written.retain(|(service, port)| (service, *port) != (&known.service, at.port()));
        self.await_listing(&known.service, at.port(), false)
    }

    fn listed(&self, service: &str) -> Result<Vec<SocketAddr>, String> {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        Ok(self.server.listed(service).into_iter().map(at).collect())
    }
}

impl Drop for Shared<'_> {
    /// The server is left as it was found: those who watch everything there would hear of these too.
    fn drop(&mut self) {
        self.down();
        for (service, port) in std::mem::take(&mut self.written) {
            // One may be written twice, and a server drops what nobody beats for.
            if self.server.listed(&service).contains(&port) {
                self.server.delete_by_hand(&service, port);
            }
        }
    }
}

/// As services of others write it, under the id that [`Server::delete_by_hand`] looks for.
fn endpoint(known: &Known, at: SocketAddr) -> Result<Endpoint, String> {
    let mut endpoint = Endpoint::new(&known.service, at.ip(), at.port());
    endpoint.instance_id = instance_id(known, at);
    endpoint.version.clone_from(&known.version);
    endpoint.labels.clone_from(&known.labels);
    if let Some(protocol) = &known.protocol {
        endpoint.protocol.clone_from(protocol);
    }
    if let Some(weight) = known.labels.get("weight") {
        endpoint.weight = weight.parse().map_err(|_| format!("{weight:?} is no weight"))?;
    }
    Ok(endpoint)
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

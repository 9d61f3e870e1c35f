//! A real name server of the scenario's own: what others register are records of its zone.

use std::net::SocketAddr;

use plumline_servers::nsd::Nsd;

use super::Registry;
use crate::scenario::Known;

/// What it is at the moment.
#[derive(PartialEq, Eq)]
enum State {
    Up,
    Down,
    Hanging,
}

/// A name server, and what its zone holds.
pub struct NameServer {
    server: Nsd,
    known: Vec<(Known, SocketAddr)>,
    state: State,
}

impl NameServer {
    /// One whose zone holds no service.
    pub fn start() -> NameServer {
        NameServer { server: Nsd::start(""), known: Vec::new(), state: State::Up }
    }

    /// Tells the server what the zone holds now.
    fn publish(&mut self) {
        let record = |(known, at): &(Known, SocketAddr)| {
            let weight = known.labels.get("weight").map_or("1", String::as_str);
            format!("{} IN SRV 1 {weight} {} {}", known.service, at.port(), known.endpoint)
        };
        let host = |(known, at): &(Known, SocketAddr)| format!("{} IN A {}", known.endpoint, at.ip());
        let mut records: Vec<String> = self.known.iter().map(record).collect();
        records.extend(self.known.iter().map(host));
        records.sort();
        records.dedup();
        self.server.change(&records.join("\n"));
        if self.state == State::Up {
            self.server.await_change();
        }
    }

    fn forget(&mut self, known: &Known, at: SocketAddr) {
        self.known.retain(|(other, place)| (&other.service, place) != (&known.service, &at));
    }
}

impl Registry for NameServer {
    fn address(&self) -> String {
        self.server.srv("{service}.test")
    }

    fn places(&self) -> Vec<SocketAddr> {
        vec![([127, 0, 0, 1], self.server.port).into()]
    }

    fn up(&mut self) -> Result<(), String> {
        match std::mem::replace(&mut self.state, State::Up) {
            State::Up => {}
            State::Down => self.server.revive(),
            State::Hanging => self.server.go_on(),
        }
        Ok(())
    }

    fn down(&mut self) {
        if std::mem::replace(&mut self.state, State::Down) != State::Down {
            self.server.kill();
        }
    }

    fn hang(&mut self) -> Result<(), String> {
        self.up()?;
        self.server.stop();
        self.state = State::Hanging;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), String> {
        self.known.clear();
        self.publish();
        self.down();
        self.up()
    }

    fn register(&mut self, known: &Known, at: SocketAddr) -> Result<(), String> {
        self.forget(known, at);
        self.known.push((known.clone(), at));
        self.publish();
        Ok(())
    }

    fn deregister(&mut self, known: &Known, at: SocketAddr) -> Result<(), String> {
        self.forget(known, at);
        self.publish();
        Ok(())
    }

    /// What the zone holds.
    fn listed(&self, service: &str) -> Result<Vec<SocketAddr>, String> {
        let of_service = self.known.iter().filter(|(known, _)| known.service == service);
        Ok(of_service.map(|(_, at)| *at).collect())
    }
}

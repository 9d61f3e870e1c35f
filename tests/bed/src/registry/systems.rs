//! The registries that others make, each by its real server: started when a scenario first wants it, and shared by
//! all scenarios after that.

use std::collections::BTreeMap;

use plumline_servers::Server;
use plumline_servers::consul::Consul;
use plumline_servers::etcd::{Etcd, New};
use plumline_servers::nacos::Nacos;
use plumline_servers::zookeeper::ZooKeeper;

use crate::scenario::System;

/// The servers that run.
#[derive(Default)]
pub struct Systems {
    running: BTreeMap<System, Box<dyn Server>>,
    /// Counts scenarios, so that each can have services of its own.
    played: u32,
}

impl Systems {
    /// What makes a scenario's services its own.
    pub fn unique(&mut self) -> String {
        self.played += 1;
        format!("n{}", self.played)
    }

    /// The one server of a system.
    pub(super) fn server(&mut self, system: System) -> &mut dyn Server {
        let start = || -> Box<dyn Server> {
            match system {
                System::Etcd => Box::new(Etcd::<New>::start()),
                System::Consul => Box::new(Consul::start()),
                System::Nacos => Box::new(Nacos::start()),
                System::Zookeeper => Box::new(ZooKeeper::start()),
                System::Plum | System::Dns => unreachable!("each scenario has one of its own"),
            }
        };
        self.running.entry(system).or_insert_with(start).as_mut()
    }
}

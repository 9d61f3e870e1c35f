//! The registry of a scenario, whichever it is: what becomes of it, what others write into it, what it lists.

mod controller;
mod name_server;
mod shared;
mod systems;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::scenario::{Known, Scenario, System};
use crate::tls::Authority;

pub use systems::Systems;

use controller::Own;
use name_server::NameServer;
use shared::Shared;

/// What a scenario can have done to its registry.
pub trait Registry {
    /// What clients are told.
    fn address(&self) -> String;
    /// Where that is, also while nobody can reach it; and what other ports of this machine belong to it.
    fn places(&self) -> Vec<SocketAddr>;
    /// It can be reached.
    fn up(&mut self) -> Result<(), String>;
    /// It cannot be reached, and forgets nothing.
    fn down(&mut self);
    /// It takes what is asked and never answers.
    fn hang(&mut self) -> Result<(), String>;
    /// It is another process, and knows nothing.
    fn restart(&mut self) -> Result<(), String>;
    /// Others register an endpoint, or register it anew; returns once it is listed.
    fn register(&mut self, known: &Known, at: SocketAddr) -> Result<(), String>;
    /// They deregister it; returns once it is not listed.
    fn deregister(&mut self, known: &Known, at: SocketAddr) -> Result<(), String>;
    /// What it lists of a service, asked without Plumline.
    fn listed(&self, service: &str) -> Result<Vec<SocketAddr>, String>;
}

/// The registry that a scenario is played on, if it has one; certificates go into the folder.
pub fn of<'a>(
    scenario: &Scenario,
    authority: &Arc<Authority>,
    folder: &Path,
    systems: &'a mut Systems,
) -> Result<Option<Box<dyn Registry + 'a>>, String> {
    Ok(Some(match (&scenario.controller, scenario.on.first()) {
        (Some(script), _) => Box::new(Own::start(script, authority, folder)?),
        (None, Some(System::Plum)) => Box::new(Own::usual(authority, folder)?),
        (None, Some(System::Dns)) => Box::new(NameServer::start()),
        (None, Some(system)) => Box::new(Shared::at(*system, systems.server(*system))?),
        (None, None) => return Ok(None),
    }))
}

/// The id that others give an endpoint; Plumline's own, which the servers' clients look for.
fn instance_id(known: &Known, at: SocketAddr) -> String {
    format!("{}-{}-{}", known.service, at.ip(), at.port())
}

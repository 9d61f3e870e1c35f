//! `nacos://`: Nacos 2.x and 3.x, over the gRPC that its own clients speak.
//!
//! ```text
//!  mod      Nacos: what is asked from outside; each question runs on the tokio thread
//!  hub      what all of it shares: servers, the state of the connection, one question and its answer
//!  keeper   keeps the one connection: connects, answers the server, notices its silence, moves on
//!  link     the connection itself: how it is opened, what comes back on it
//!  login    the token of a user
//!  book     what this program has registered: one set for each service, told anew on every connection
//!  plan     what has to be sent so that a server knows such a set
//!  watch    subscriptions, pushes, and a look now and then
//!  read     lists of endpoints, read once
//!  message  the JSON of every question and answer
//!  record   what a server lists, and what it is to store
//!  names    names of services as Nacos takes them
//! ```
//!
//! Everything goes over one connection for each registry: instances live as long as it does. The gRPC port is the HTTP
//! port plus 1000.

mod book;
mod hub;
mod keeper;
mod link;
mod login;
mod message;
mod names;
mod plan;
#[rustfmt::skip]
#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod proto;
mod read;
mod record;
mod watch;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use self::hub::Hub;
use super::pushed::{self, ask, ask_for_each};
use super::{Address, Entry, HeartbeatResult, Registry, RegistryUpdate, Setup, Sink, Wait, Watch};
use crate::error::{Error, Kind, Result};
use crate::runtime::{ForkLocal, Runtime, Task, TaskQueue};
use crate::sync::Mutex;

/// A Nacos cluster, seen as one registry.
pub(super) struct Nacos {
    source: Arc<str>,
    runtime: Runtime,
    lane: Arc<TaskQueue>,
    /// A forked child neither uses nor drops anything of the connection.
    hub: ForkLocal<Arc<Hub>>,
    /// What keeps the connection, from the first question on.
    keeper: Mutex<Option<Task>>,
}

impl Nacos {
    /// The servers that an address names.
    pub(super) fn new(address: &Address, setup: &Setup) -> Result<Nacos> {
        let hub = Hub::new(address, setup)?;
        Ok(Nacos {
            source: hub.source.clone(),
            runtime: setup.runtime.clone(),
            lane: TaskQueue::new(2),
            hub: ForkLocal::new(Arc::new(hub)),
            keeper: Mutex::default(),
        })
    }

    /// Sees to it that somebody keeps the connection.
    fn wake(&self) {
        if !self.hub.is_current() {
            return;
        }
        let mut keeper = self.keeper.lock();
        if keeper.is_none() {
            *keeper = self.runtime.spawn(keeper::keep(Arc::clone(&self.hub)));
        }
    }

    /// Runs a question on the tokio thread, to its end or to the caller's deadline.
    fn ask<T: Send + 'static, F>(&self, wait: &Wait<'_>, question: impl FnOnce(Arc<Hub>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.wake();
        ask(&self.runtime, wait, question(Arc::clone(&self.hub)))
    }

    /// The same for many entries that are answered each by itself. What was begun is brought to its end even where the
    /// caller gives up: a request on its way would otherwise overtake the next one about the same service.
    fn ask_each<T: Send + 'static, F>(
        &self,
        entries: &[Entry],
        wait: &Wait<'_>,
        question: impl FnOnce(Arc<Hub>, Vec<Entry>) -> F,
    ) -> Vec<Result<T>>
    where
        F: Future<Output = Vec<Result<T>>> + Send + 'static,
    {
        self.wake();
        let answered = question(Arc::clone(&self.hub), entries.to_vec());
        ask_for_each(&self.runtime, wait, entries, hub::to_its_end(answered))
    }
}

impl Registry for Nacos {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn lane(&self) -> &Arc<TaskQueue> {
        &self.lane
    }

    fn read(&self, service: &str, wait: &Wait<'_>) -> Result<RegistryUpdate> {
        let service = service.to_owned();
        self.ask(wait, |hub| async move { hub.read(&service).await })
    }

    fn services(&self, wait: &Wait<'_>) -> Result<Vec<String>> {
        self.ask(wait, |hub| async move { hub.services().await })
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn Sink>) -> Box<dyn Watch> {
        self.wake();
        let (runtime, heard) = (self.runtime.clone(), sink.clone());
        pushed::begin(&runtime, &sink, |wishes| watch::drive(self, heard, wishes))
    }

    fn register(&self, entries: &[Entry], wait: &Wait<'_>) -> Vec<Result<()>> {
        self.ask_each(entries, wait, |hub, entries| async move { book::register(&hub, entries).await })
    }

    fn heartbeat(&self, entries: &[Entry], wait: &Wait<'_>) -> Vec<Result<HeartbeatResult>> {
        self.ask_each(entries, wait, |hub, entries| async move { book::heartbeat(&hub, entries).await })
    }

    fn deregister(&self, entry: &Entry, _doubtful: bool, wait: &Wait<'_>) -> Result<()> {
        // It is out of the book before anything else: whatever is told from now on leaves it out. And what is still on
        // its way is waited for, so a beat that comes late brings nothing back.
        if self.hub.is_current() {
            self.hub.book.strike(entry);
        }
        let (tell, told) = oneshot::channel();
        let hub = Arc::downgrade(&self.hub);
        let task = self.runtime.spawn(book::see_off(hub, entry.instance.service.clone(), tell));
        let closed = || Error::new(Kind::Closed, "the client was closed");
        // It goes on where the caller gives up: while the connection lives, what it has registered does.
        task.ok_or_else(closed)?.leave();
        self.ask(wait, |_| async move { told.await.unwrap_or_else(|_| Err(closed())) })
    }

    fn local_ip(&self, wait: &Wait<'_>) -> Option<IpAddr> {
        self.hub.is_current().then(|| self.hub.site())?.door.local_ip(wait)
    }
}

/// How long one request may take: far less than a registration lasts.
fn request_timeout(setup: &Setup) -> Duration {
    setup.timeout.min(super::DEFAULT_TTL / 6)
}

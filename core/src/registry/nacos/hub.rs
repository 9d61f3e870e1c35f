//! What all of it shares: servers, the state of the connection, one question and its answer.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use super::book::Book;
use super::link::Link;
use super::login::Token;
use super::message::{self, Info, Message, Space};
use super::{names, request_timeout};
use crate::error::{Error, Kind, Result};
use crate::registry::address::{HostPort, User};
use crate::registry::grpc::Door;
use crate::registry::resolve::Resolver;
use crate::registry::unreadable::Unreadable;
use crate::registry::web::Host;
use crate::registry::{Address, Setup};
use crate::runtime::TaskQueue;
use crate::sync::Mutex;

/// The namespace that has no id; servers take its name for it.
pub(super) const PUBLIC: &str = "public";
const GROUP: &str = "DEFAULT_GROUP";
/// How far the gRPC port lies above the HTTP port.
const OFFSET: u16 = 1000;

/// One server: its gRPC port, and its HTTP port for logins.
pub(super) struct Site {
    pub(super) door: Door,
    pub(super) host: Arc<Host>,
    pub(super) name: HostPort,
}

/// Where the connection stands.
#[derive(Clone)]
pub(super) enum State {
    /// On its way.
    Opening,
    /// It is there.
    Up(Arc<Link>),
    /// It is not; tried again before long.
    Down(Error),
}

/// Everything that one registry shares.
pub(super) struct Hub {
    pub(super) source: Arc<str>,
    pub(super) space: Space,
    /// Registered there; and of others only those there are read.
    pub(super) cluster: Option<String>,
    sites: Mutex<Vec<Arc<Site>>>,
    /// Which of them is turned to.
    pub(super) turn: AtomicUsize,
    pub(super) setup: Setup,
    pub(super) names: Arc<Resolver>,
    pub(super) timeout: Duration,
    pub(super) user: Option<User>,
    pub(super) token: Mutex<Option<Token>>,
    pub(super) logging_in: tokio::sync::Mutex<()>,
    /// Beats wait for a login: it has a queue of its own.
    pub(super) logins: Arc<TaskQueue>,
    pub(super) state: watch::Sender<State>,
    pub(super) book: Book,
    /// Who hears of what is pushed.
    ears: Mutex<Vec<UnboundedSender<Info>>>,
    /// How many watches follow a service.
    followed: Mutex<HashMap<String, usize>>,
    pub(super) unreadable: Unreadable,
}

impl Hub {
    pub(super) fn new(address: &Address, setup: &Setup) -> Result<Hub> {
        let param = |name: &str, default: &str| address.param(name).unwrap_or(default).to_owned();
        let space = Space { namespace: param("namespace", PUBLIC), group: param("group", GROUP) };
        for (what, value) in [
            ("namespace", Some(&space.namespace)),
            ("group", Some(&space.group)),
            ("cluster", address.param("cluster").map(str::to_owned).as_ref()),
        ] {
            check(what, value.map_or("", String::as_str))?;
        }
        let names = Arc::new(Resolver::new(setup));
        let sites: Vec<Arc<Site>> =
            address.hosts.iter().map(|name| site(name, setup, &names)).collect::<Result<_>>()?;
        let source = address.source().into();
        Ok(Hub {
            unreadable: Unreadable::new(&source),
            source,
            space,
            cluster: address.param("cluster").map(str::to_owned),
            // Clients begin anywhere, so that not all of them are one server's.
            turn: AtomicUsize::new(fastrand::usize(..sites.len().max(1))),
            sites: Mutex::new(sites),
            setup: setup.clone(),
            names,
            timeout: request_timeout(setup),
            user: address.user.clone(),
            token: Mutex::default(),
            logging_in: tokio::sync::Mutex::default(),
            logins: TaskQueue::new(1),
            state: watch::Sender::new(State::Opening),
            book: Book::default(),
            ears: Mutex::default(),
            followed: Mutex::default(),
        })
    }

    // === servers ===

    /// The server that is turned to at present.
    pub(super) fn site(&self) -> Arc<Site> {
        let sites = self.sites.lock();
        sites[self.turn.load(Ordering::Relaxed) % sites.len()].clone()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.sites.lock().len()
    }

    /// Turns to the next one.
    pub(super) fn turn_on(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Turns to the one that was named, which need not be known yet.
    pub(super) fn turn_to(&self, name: &HostPort) -> Result<()> {
        let mut sites = self.sites.lock();
        let known = sites.iter().position(|site| site.name == *name);
        if known.is_none() {
            sites.push(site(name, &self.setup, &self.names)?);
        }
        self.turn.store(known.unwrap_or(sites.len() - 1), Ordering::Relaxed);
        Ok(())
    }

    // === the connection ===

    /// The connection, or what is wrong with it. One on its way is waited for, but not for long: whoever waits holds a
    /// thread.
    pub(super) async fn link(&self) -> Result<Arc<Link>> {
        let mut state = self.state.subscribe();
        let found = state.wait_for(|state| !matches!(state, State::Opening));
        let Ok(found) = tokio::time::timeout(self.timeout, found).await else {
            return Err(Error::new(Kind::Timeout, format!("{}: not connected in time", self.source)));
        };
        match found.as_deref() {
            Ok(State::Up(link)) => Ok(link.clone()),
            Ok(State::Down(error)) => Err(error.clone()),
            _ => Err(Error::new(Kind::Closed, "the client was closed")),
        }
    }

    /// The connection; where it was lost, the next try is waited for.
    pub(super) async fn link_again(&self) -> Result<Arc<Link>> {
        let mut state = self.state.subscribe();
        let lost = match &*state.borrow_and_update() {
            State::Down(error) => Some(error.clone()),
            _ => None,
        };
        if let Some(error) = lost {
            // Nobody knows how long the next try takes; whoever asks has a deadline, but deserves the reason.
            if tokio::time::timeout(self.timeout, state.changed()).await.is_err() {
                return Err(error);
            }
        }
        self.link().await
    }

    /// What the server's answers count as.
    pub(super) fn epoch_of(&self, link: &Link) -> String {
        format!("{}#{}", self.source, link.epoch)
    }

    /// One question. A token that is refused is fetched anew, once.
    pub(super) async fn ask(&self, link: &Link, message: &Message) -> Result<super::proto::Payload> {
        let token = self.token();
        let outcome = link.ask(message, token.as_deref(), self.timeout).await;
        let Err(error) = outcome else { return outcome };
        if error.kind() != Kind::PermissionDenied {
            return Err(error);
        }
        if self.user.is_none() {
            let message = format!("{}; the address names no user", error.message());
            return Err(Error::new(Kind::Unauthenticated, message));
        }
        if !self.log_in_again(token.as_deref()).await? {
            return Err(error);
        }
        link.ask(message, self.token().as_deref(), self.timeout).await
    }

    /// One question, and its answer read.
    pub(super) async fn ask_for<T: DeserializeOwned>(&self, link: &Link, message: &Message) -> Result<T> {
        let answer = self.ask(link, message).await?;
        message::read(&answer, link.label())
    }

    // === pushes ===

    /// Where pushes are heard from now on.
    pub(super) fn listen(&self) -> UnboundedReceiver<Info> {
        let (tell, hear) = unbounded_channel();
        self.ears.lock().push(tell);
        hear
    }

    /// The server told of a service.
    pub(super) fn pushed(&self, info: &Info) {
        self.ears.lock().retain(|ear| ear.send(info.clone()).is_ok());
    }

    /// One more watch follows a service.
    pub(super) fn follow(&self, service: &str) {
        *self.followed.lock().entry(service.to_owned()).or_default() += 1;
    }

    /// One less does.
    pub(super) fn unfollow(&self, service: &str) {
        let mut followed = self.followed.lock();
        if let Some(count) = followed.get_mut(service) {
            *count -= 1;
            if *count == 0 {
                followed.remove(service);
            }
        }
    }

    /// Whether any watch does: a connection has one subscription, whoever asked for it.
    pub(super) fn is_followed(&self, service: &str) -> bool {
        self.followed.lock().contains_key(service)
    }

    /// The service that a push is about; none where it is another group's.
    pub(super) fn service_of(&self, info: &Info) -> Option<String> {
        let group = info.group_name.as_deref().filter(|group| !group.is_empty());
        if group.is_some_and(|group| group != self.space.group) {
            return None;
        }
        let name = info.name.as_deref()?;
        let name = name.split_once("@@").map_or(name, |(_, name)| name);
        Some(names::unescape(name))
    }
}

fn site(name: &HostPort, setup: &Setup, names: &Arc<Resolver>) -> Result<Arc<Site>> {
    let port = name.port.checked_add(OFFSET).ok_or_else(|| {
        Error::invalid(format!(
            "nacos://{name}: the gRPC port lies {OFFSET} above this one, where there is none"
        ))
    })?;
    let grpc = HostPort { host: name.host.clone(), port };
    let door = Door::new(&grpc, "nacos", false, setup, names.clone())?
        .called(format!("nacos://{name} (gRPC port {port})"));
    let host = Arc::new(Host::new(name, "nacos", false, setup)?);
    Ok(Arc::new(Site { door, host, name: name.clone() }))
}

/// What Nacos takes for the name of a namespace, a group or a cluster.
fn check(what: &str, name: &str) -> Result<()> {
    let is_taken = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if let Some(c) = name.chars().find(|c| !is_taken(*c)) {
        let message = format!("the {what} {name:?} holds {c:?}: Nacos takes letters, digits and -_.:");
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// Brings something to its end, even if whoever waits for it goes.
pub(super) async fn to_its_end<T: Send + 'static>(
    what: impl Future<Output = T> + Send + 'static,
) -> Result<T> {
    tokio::spawn(what).await.map_err(|error| {
        if error.is_panic() {
            return Error::new(Kind::Internal, "a request panicked; please report it");
        }
        Error::new(Kind::Closed, "the client was closed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::open::tests::setup;

    fn hub(address: &str) -> Result<Hub> {
        Hub::new(&Address::parse(address)?, &setup())
    }

    #[test]
    fn an_address_that_cannot_be_right_is_refused_by_what_is_wrong() {
        for (address, says) in [
            ("nacos://a:64600", "the gRPC port lies 1000 above"),
            ("nacos://a?group=a%20b", "the group \"a b\" holds ' '"),
            ("nacos://a?namespace=a%40%40b", "the namespace"),
            ("nacos://a?cluster=a,b", "the cluster"),
        ] {
            let error = hub(address).err().expect(address);
            assert_eq!(error.kind(), Kind::InvalidArgument);
            assert!(error.message().contains(says), "{error}");
        }
    }

    #[test]
    fn a_server_that_is_named_is_turned_to_known_or_not() {
        let hub = hub("nacos://10.0.0.1,10.0.0.2").unwrap();
        let named = |host: &str| HostPort { host: host.into(), port: 8848 };
        for host in ["10.0.0.2", "10.0.0.9", "10.0.0.1", "10.0.0.9"] {
            hub.turn_to(&named(host)).unwrap();
            assert_eq!(hub.site().name.host, host);
        }
        assert_eq!(hub.count(), 3);
    }

    #[test]
    fn a_push_is_about_a_service_of_this_group() {
        let hub = hub("nacos://a?group=g").unwrap();
        let of = |name: &str, group: Option<&str>| {
            hub.service_of(&Info {
                name: Some(name.into()),
                group_name: group.map(Into::into),
                ..Info::default()
            })
        };
        assert_eq!(of("orders", Some("g")).unwrap(), "orders");
        assert_eq!(of("g@@a%20b", None).unwrap(), "a b");
        assert_eq!(of("orders", Some("h")), None);
    }
}

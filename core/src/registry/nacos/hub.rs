//! The state that all parts of a Nacos registry share: the servers, the connection, and requests on it.

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
use crate::registry::address::Address;
use crate::registry::address::{Credentials, HostPort};
use crate::registry::grpc::GrpcServer;
use crate::registry::http_host::HttpHost;
use crate::registry::record_warnings::RecordWarnings;
use crate::registry::resolver::Resolver;
use crate::registry::setup::RegistrySetup;
use crate::runtime::TaskQueue;
use crate::sync::Mutex;

/// The namespace without an id; servers accept its name instead.
pub(super) const PUBLIC: &str = "public";
const GROUP: &str = "DEFAULT_GROUP";
/// The offset of the gRPC port from the HTTP port.
const OFFSET: u16 = 1000;

/// One server: its gRPC port, and its HTTP port for logins.
pub(super) struct Site {
    pub(super) door: GrpcServer,
    pub(super) host: Arc<HttpHost>,
    pub(super) name: HostPort,
}

/// The state of the connection.
#[derive(Clone)]
pub(super) enum State {
    /// Being opened.
    Opening,
    /// Established.
    Up(Arc<Link>),
    /// Failed; another attempt follows.
    Down(Error),
}

/// Everything that the parts of one registry share.
pub(super) struct Hub {
    pub(super) source: Arc<str>,
    pub(super) space: Space,
    /// The cluster to register in. Only instances of this cluster are read.
    pub(super) cluster: Option<String>,
    sites: Mutex<Vec<Arc<Site>>>,
    /// The index of the server in use.
    pub(super) turn: AtomicUsize,
    pub(super) setup: RegistrySetup,
    pub(super) names: Arc<Resolver>,
    pub(super) timeout: Duration,
    pub(super) user: Option<Credentials>,
    pub(super) token: Mutex<Option<Token>>,
    pub(super) logging_in: tokio::sync::Mutex<()>,
    /// Heartbeats wait for a login, so logins have their own queue.
    pub(super) logins: Arc<TaskQueue>,
    pub(super) state: watch::Sender<State>,
    pub(super) book: Book,
    /// The receivers of pushes.
    ears: Mutex<Vec<UnboundedSender<Info>>>,
    /// How many watches subscribe to each service.
    followed: Mutex<HashMap<String, usize>>,
    pub(super) record_warnings: RecordWarnings,
}

impl Hub {
    pub(super) fn new(address: &Address, setup: &RegistrySetup) -> Result<Hub> {
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
            record_warnings: RecordWarnings::new(&source),
            source,
            space,
            cluster: address.param("cluster").map(str::to_owned),
            // A random first server, so that clients spread over all servers.
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

    /// The server in use.
    pub(super) fn site(&self) -> Arc<Site> {
        let sites = self.sites.lock();
        sites[self.turn.load(Ordering::Relaxed) % sites.len()].clone()
    }

    /// The number of servers.
    pub(super) fn count(&self) -> usize {
        self.sites.lock().len()
    }

    /// Selects the next server.
    pub(super) fn turn_on(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Selects this server, which may be unknown so far.
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

    /// The connection, or the error of the last attempt. Waits while it is being opened, but not for long, because the
    /// caller blocks a thread.
    pub(super) async fn link(&self) -> Result<Arc<Link>> {
        let mut state = self.state.subscribe();
        let found = state.wait_for(|state| !matches!(state, State::Opening));
        let Ok(found) = tokio::time::timeout(self.timeout, found).await else {
            return Err(Error::new(Kind::Timeout, format!("{}: could not connect in time", self.source)));
        };
        match found.as_deref() {
            Ok(State::Up(link)) => Ok(link.clone()),
            Ok(State::Down(error)) => Err(error.clone()),
            _ => Err(Error::new(Kind::Closed, "the client was closed")),
        }
    }

    /// The connection. After a failure, waits for the next attempt.
    pub(super) async fn link_again(&self) -> Result<Arc<Link>> {
        let mut state = self.state.subscribe();
        let lost = match &*state.borrow_and_update() {
            State::Down(error) => Some(error.clone()),
            _ => None,
        };
        if let Some(error) = lost {
            // The next attempt may take long. At the deadline, return the reason of the failure.
            if tokio::time::timeout(self.timeout, state.changed()).await.is_err() {
                return Err(error);
            }
        }
        self.link().await
    }

    /// The epoch of the responses on a connection.
    pub(super) fn epoch_of(&self, link: &Link) -> String {
        format!("{}#{}", self.source, link.epoch)
    }

    /// Sends one request. If the token is rejected, logs in again, once.
    pub(super) async fn ask(&self, link: &Link, message: &Message) -> Result<super::proto::Payload> {
        let token = self.token();
        let outcome = link.ask(message, token.as_deref(), self.timeout).await;
        let Err(error) = outcome else { return outcome };
        if error.kind() != Kind::PermissionDenied {
            return Err(error);
        }
        if self.user.is_none() {
            let message = format!("{}; add user:password@ to the address", error.message());
            return Err(Error::new(Kind::Unauthenticated, message));
        }
        if !self.log_in_again(token.as_deref()).await? {
            return Err(error);
        }
        link.ask(message, self.token().as_deref(), self.timeout).await
    }

    /// Sends one request, and deserializes the response.
    pub(super) async fn ask_for<T: DeserializeOwned>(&self, link: &Link, message: &Message) -> Result<T> {
        let answer = self.ask(link, message).await?;
        message::read(&answer, link.label())
    }

    // === pushes ===

    /// A receiver of all pushes from now on.
    pub(super) fn listen(&self) -> UnboundedReceiver<Info> {
        let (tell, hear) = unbounded_channel();
        self.ears.lock().push(tell);
        hear
    }

    /// Forwards a push to the watches.
    pub(super) fn pushed(&self, info: &Info) {
        self.ears.lock().retain(|ear| ear.send(info.clone()).is_ok());
    }

    /// Counts another watch of a service.
    pub(super) fn follow(&self, service: &str) {
        *self.followed.lock().entry(service.to_owned()).or_default() += 1;
    }

    /// Counts one watch of a service less.
    pub(super) fn unfollow(&self, service: &str) {
        let mut followed = self.followed.lock();
        if let Some(count) = followed.get_mut(service) {
            *count -= 1;
            if *count == 0 {
                followed.remove(service);
            }
        }
    }

    /// Whether any watch subscribes to the service. All watches share one subscription per connection.
    pub(super) fn is_followed(&self, service: &str) -> bool {
        self.followed.lock().contains_key(service)
    }

    /// The service of a push; `None` if it belongs to another group.
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

fn site(name: &HostPort, setup: &RegistrySetup, names: &Arc<Resolver>) -> Result<Arc<Site>> {
    let port = name.port.checked_add(OFFSET).ok_or_else(|| {
        Error::invalid(format!(
            "nacos://{name}: the gRPC port would be this port plus {OFFSET}, which exceeds 65535"
        ))
    })?;
    let grpc = HostPort { host: name.host.clone(), port };
    let door = GrpcServer::new(&grpc, "nacos", false, setup, names.clone())?
        .with_label(format!("nacos://{name} (gRPC port {port})"));
    let host = Arc::new(HttpHost::new(name, "nacos", false, setup)?);
    Ok(Arc::new(Site { door, host, name: name.clone() }))
}

/// Checks the name of a namespace, a group or a cluster.
fn check(what: &str, name: &str) -> Result<()> {
    let is_taken = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if let Some(c) = name.chars().find(|c| !is_taken(*c)) {
        let message = format!("the {what} {name:?} contains {c:?}: Nacos allows letters, digits and -_.:");
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// Runs a future to its end, even if the caller gives up.
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
    use crate::registry::setup::test_setup;

    fn hub(address: &str) -> Result<Hub> {
        Hub::new(&Address::parse(address)?, &test_setup())
    }

    #[test]
    fn rejects_invalid_addresses_and_names_the_mistake() {
        for (address, says) in [
            ("nacos://a:64600", "the gRPC port would be this port plus 1000"),
            ("nacos://a?group=a%20b", "the group \"a b\" contains ' '"),
            ("nacos://a?namespace=a%40%40b", "the namespace"),
            ("nacos://a?cluster=a,b", "the cluster"),
        ] {
            let error = hub(address).err().expect(address);
            assert_eq!(error.kind(), Kind::InvalidArgument);
            assert!(error.message().contains(says), "{error}");
        }
    }

    #[test]
    fn selects_a_named_server_even_if_it_is_unknown() {
        let hub = hub("nacos://10.0.0.1,10.0.0.2").unwrap();
        let named = |host: &str| HostPort { host: host.into(), port: 8848 };
        for host in ["10.0.0.2", "10.0.0.9", "10.0.0.1", "10.0.0.9"] {
            hub.turn_to(&named(host)).unwrap();
            assert_eq!(hub.site().name.host, host);
        }
        assert_eq!(hub.count(), 3);
    }

    #[test]
    fn ignores_pushes_of_other_groups() {
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

//! The client, which connects the other parts.
//!
//! ```text
//!  Client ── ForkSafeCore (config, hooks; survives a fork) ── Core (of this process)
//!                                                            ├─ catalog         the endpoint lists
//!                                                            ├─ registrations   the instances of this program
//!                                                            └─ contexts        the policies of each service
//! ```

mod builder;
mod core;
mod explain;
mod fork_safe;
mod handle;
mod interruptible;
mod pick;
mod service_context;
mod stats;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::core::Core;
use self::fork_safe::ForkSafeCore;
use crate::call::{Request, Response};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::interrupt::{Interrupt, Interruptible, Never};
use crate::model::{Endpoint, Instance, Query};
use crate::registration::Registration;

pub use builder::ClientBuilder;
pub use explain::{EndpointExplanation, Explanation};
pub use handle::ServiceHandle;
pub use pick::Pick;
pub use stats::{EndpointStats, ServiceStats, Stats};
pub use watch::Watch;

/// Finds services, calls them with retries and ejection, and keeps this program registered.
///
/// Cheap to clone; clones are the same client. All methods may be called from any thread.
///
/// ```
/// use plumline::{Client, Endpoint, Query};
/// let plum = Client::new("static://127.0.0.1:8080,127.0.0.1:8081")?;
/// assert_eq!(plum.discover("orders")?.len(), 2);
/// # Ok::<(), plumline::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    shell: Arc<ForkSafeCore>,
}

impl Client {
    /// Creates a client of the registry at this address. The other settings come from the environment.
    ///
    /// Checks the address and opens no connection: it succeeds while the registry is unavailable.
    pub fn new(address: &str) -> Result<Client> {
        if address.is_empty() {
            return Err(Error::invalid(
                "the registry address is empty; pass one, or call Client::from_env() to read PLUMLINE_REGISTRY",
            ));
        }
        Client::with_config(Config::layered(json!({ "registry": address }))?)
    }

    /// Creates a client of the registry that `PLUMLINE_REGISTRY` names. The other settings come from the environment
    /// too.
    pub fn from_env() -> Result<Client> {
        Client::with_config(Config::layered(json!({}))?)
    }

    /// Creates a client with this configuration. Reads nothing from the environment.
    pub fn with_config(config: Config) -> Result<Client> {
        Client::builder().config(config).build()
    }

    /// Builds a client with hooks, balancers or a transport of your own.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The healthy endpoints of a service. An unknown service has none.
    pub fn discover(&self, query: impl Into<Query>) -> Result<Vec<Arc<Endpoint>>> {
        self.with_interrupt(&Never).discover(query)
    }

    /// The healthy endpoints of a service, without waiting; `None` if [`discover`](Client::discover) would wait for a
    /// registry.
    pub fn try_discover(&self, query: impl Into<Query>) -> Result<Option<Vec<Arc<Endpoint>>>> {
        let query = query.into();
        let context = self.core()?.context(&query.service)?;
        Ok(context.entry.mark_used().then(|| {
            context.entry.count_hit();
            interruptible::matching_endpoints(&context, &query)
        }))
    }

    /// The names of all services in the registries, sorted.
    ///
    /// ```
    /// # use plumline::{Client, Endpoint};
    /// # let plum = Client::new("memory://")?;
    /// plum.publish("orders", vec![Endpoint::new("orders", "127.0.0.1".parse().unwrap(), 8080)])?;
    /// assert_eq!(plum.services()?, ["orders"]);
    /// # Ok::<(), plumline::Error>(())
    /// ```
    pub fn services(&self) -> Result<Vec<String>> {
        self.with_interrupt(&Never).services()
    }

    /// Chooses an endpoint for one use of any protocol. Report the outcome on the [`Pick`].
    ///
    /// ```
    /// # let plum = plumline::Client::new("static://127.0.0.1:8080")?;
    /// let greeting = plum.pick("greeter")?.run(|endpoint| {
    ///     Ok::<_, std::io::Error>(format!("hello {}", endpoint.address())) // an Err counts as a failure
    /// }).unwrap();
    /// assert_eq!(greeting, "hello 127.0.0.1:8080");
    /// # Ok::<(), plumline::Error>(())
    /// ```
    pub fn pick(&self, query: impl Into<Query>) -> Result<Pick> {
        self.with_interrupt(&Never).pick(query)
    }

    /// Makes a call: chooses an endpoint, sends the request and retries. A response of any status is `Ok`; see
    /// [`Response::error_for_status`].
    pub fn call(&self, request: &Request) -> Result<Response> {
        self.with_interrupt(&Never).call(request)
    }

    /// Sends a GET.
    pub fn get(&self, service: impl Into<Query>, path: &str) -> Result<Response> {
        self.call(&Request::get(service, path))
    }

    /// Sends a POST with this as JSON.
    pub fn post<T: serde::Serialize + ?Sized>(
        &self,
        service: impl Into<Query>,
        path: &str,
        json: &T,
    ) -> Result<Response> {
        self.call(&Request::post(service, path).json(json))
    }

    /// Sends a PUT with this as JSON.
    pub fn put<T: serde::Serialize + ?Sized>(
        &self,
        service: impl Into<Query>,
        path: &str,
        json: &T,
    ) -> Result<Response> {
        self.call(&Request::put(service, path).json(json))
    }

    /// Sends a PATCH with this as JSON.
    pub fn patch<T: serde::Serialize + ?Sized>(
        &self,
        service: impl Into<Query>,
        path: &str,
        json: &T,
    ) -> Result<Response> {
        self.call(&Request::patch(service, path).json(json))
    }

    /// Sends a DELETE.
    pub fn delete(&self, service: impl Into<Query>, path: &str) -> Result<Response> {
        self.call(&Request::delete(service, path))
    }

    /// Sends a HEAD.
    pub fn head(&self, service: impl Into<Query>, path: &str) -> Result<Response> {
        self.call(&Request::head(service, path))
    }

    /// Sends an OPTIONS.
    pub fn options(&self, service: impl Into<Query>, path: &str) -> Result<Response> {
        self.call(&Request::options(service, path))
    }

    /// A handle bound to a service: the fast path of many calls and picks.
    pub fn service(&self, query: impl Into<Query>) -> Result<ServiceHandle> {
        ServiceHandle::new(self.clone(), query.into())
    }

    /// Registers this program, and keeps it registered until the handle is dropped or closed.
    ///
    /// Returns at once if the port does not accept connections yet. Otherwise it waits at most 2 s for the response of the
    /// registry. An unavailable registry is retried in the background. Fails only with `InvalidArgument`, `Unsupported`
    /// (a read-only registry), `Closed`, `Unauthenticated` or `PermissionDenied`.
    pub fn register(&self, instance: Instance) -> Result<Registration> {
        self.with_interrupt(&Never).register(instance)
    }

    /// Watches a service: delivers its current endpoints, then every change.
    pub fn watch(&self, service: &str) -> Result<Watch> {
        let core = self.core()?;
        crate::call::check_service(service)?;
        Ok(Watch::new(core.catalog().watch(service), core.closing()))
    }

    /// Watches all services, including those that appear later.
    pub fn watch_all(&self) -> Result<Watch> {
        let core = self.core()?;
        Ok(Watch::new(core.catalog().watch_all(), core.closing()))
    }

    /// Waits until a service has a healthy endpoint.
    pub fn wait_for(&self, query: impl Into<Query>, timeout: Duration) -> Result<()> {
        self.with_interrupt(&Never).wait_for(query, timeout)
    }

    /// Explains for each endpoint of a service whether it would be called, and why not.
    pub fn explain(&self, query: impl Into<Query>) -> Result<Explanation> {
        self.with_interrupt(&Never).explain(query)
    }

    /// The statistics of this client.
    pub fn stats(&self) -> Result<Stats> {
        Ok(stats::gather(&*self.core()?))
    }

    /// Adds endpoints of a service to those of the registries. Replaces the endpoints published before.
    pub fn publish(&self, service: &str, endpoints: Vec<Endpoint>) -> Result<()> {
        crate::call::check_service(service)?;
        self.core()?.catalog().publish(service, endpoints);
        Ok(())
    }

    /// Reads every endpoint list again before its next use. If that fails, the old list stays in use.
    pub fn clear_cache(&self) -> Result<()> {
        self.core()?.catalog().clear();
        Ok(())
    }

    /// Changes settings of the running client, such as `{"timeout": "2s"}` or
    /// `{"services": {"orders": {"retry": {"attempts": 2}}}}`.
    pub fn configure(&self, changes: Value) -> Result<()> {
        self.core()?.configure(changes)
    }

    /// The current configuration.
    pub fn config(&self) -> Config {
        Config::clone(&self.shell.config())
    }

    /// Deregisters this program, ends watches and calls in flight, waits for the configured drain, and releases threads
    /// and connections. Later calls fail with [`Kind::Closed`]; closing again does nothing.
    pub fn close(&self) {
        self.with_interrupt(&Never).close();
    }

    /// Closes the client like [`close`](Client::close), with this drain; `None`: the configured one.
    pub fn close_draining(&self, drain: impl Into<Option<Duration>>) {
        self.with_interrupt(&Never).close_draining(drain);
    }

    /// Whether the client was closed.
    pub fn is_closed(&self) -> bool {
        self.shell.is_closed()
    }

    /// Borrows the client for calls whose waits `interrupt` can end.
    #[inline]
    pub fn with_interrupt<'a>(&'a self, interrupt: &'a dyn Interrupt) -> Interruptible<'a, Client> {
        Interruptible::new(self, interrupt)
    }

    fn core(&self) -> Result<Arc<Core>> {
        self.shell.core()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.shell.sources())
    }
}

fn closed() -> Error {
    Error::new(Kind::Closed, "the client was closed")
}

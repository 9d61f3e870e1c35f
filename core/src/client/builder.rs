//! Builds a client with the user's own hooks, balancers and transport.

use std::collections::HashMap;
use std::sync::Arc;

use super::Client;
use super::fork_safe::{ForkSafeCore, UserCode};
use crate::balance::Balancer;
use crate::call::{Hooks, Outgoing, Transport};
use crate::config::Config;
use crate::error::Result;
use crate::model::Endpoint;
use crate::transport::{Answer, Failure};

/// Builds a [`Client`].
///
/// ```
/// use plumline::{Answer, Client, Headers};
/// // Tests need no server: the transport stub answers; retries and ejection work as usual.
/// let plum = Client::builder()
///     .registry("static://a:1,b:1")
///     .transport(|request: &plumline::Outgoing, _: &plumline::Endpoint| {
///         Ok(Answer::new(200, Headers::default(), request.path.as_str()))
///     })
///     .build()?;
/// assert_eq!(plum.get("orders", "/items/7")?.text(), "/items/7");
/// # Ok::<(), plumline::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ClientBuilder {
    config: Config,
    hooks: Hooks,
    balancers: HashMap<Option<String>, Arc<dyn Balancer>>,
}

impl ClientBuilder {
    /// Sets the configuration.
    pub fn config(mut self, config: Config) -> ClientBuilder {
        self.config = config;
        self
    }

    /// Adds a registry.
    pub fn registry(mut self, address: impl Into<String>) -> ClientBuilder {
        self.config.registry.addresses.push(address.into());
        self
    }

    /// Sets the balancer of every service that has no balancer of its own.
    pub fn balancer(mut self, balancer: impl Balancer + 'static) -> ClientBuilder {
        self.balancers.insert(None, Arc::new(balancer));
        self
    }

    /// Sets the balancer of one service.
    pub fn balancer_for(mut self, service: &str, balancer: impl Balancer + 'static) -> ClientBuilder {
        self.balancers.insert(Some(service.to_owned()), Arc::new(balancer));
        self
    }

    /// Called before each attempt, on the caller's thread. It may change the request or refuse it with an error.
    pub fn on_request(
        mut self,
        hook: impl Fn(&mut Outgoing, &Endpoint) -> Result<()> + Send + Sync + 'static,
    ) -> ClientBuilder {
        self.hooks.on_request = Some(Arc::new(hook));
        self
    }

    /// Called after each attempt, on the caller's thread.
    pub fn on_response(
        mut self,
        hook: impl Fn(&Outgoing, &Endpoint, &std::result::Result<Answer, Failure>) -> Result<()>
        + Send
        + Sync
        + 'static,
    ) -> ClientBuilder {
        self.hooks.on_response = Some(Arc::new(hook));
        self
    }

    /// Replaces the socket, for tests.
    pub fn transport(mut self, transport: impl Transport + 'static) -> ClientBuilder {
        self.hooks.transport = Some(Arc::new(transport));
        self
    }

    /// Validates the configuration and creates the client. Opens no connection.
    pub fn build(self) -> Result<Client> {
        let user_code = UserCode { hooks: self.hooks, balancers: self.balancers };
        Ok(Client { shell: Arc::new(ForkSafeCore::new(self.config, user_code)?) })
    }
}

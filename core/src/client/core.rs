//! The part of a client that belongs to one process: catalog, registrations and service contexts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::sync::Mutex;
use arc_swap::ArcSwap;
use serde_json::Value;

use super::explain;
use super::fork_safe::UserCode;
use super::service_context::ServiceContext;
use crate::call::{Call, Hooks, Policies, Request, Response, check_service};
use crate::catalog::Catalog;
use crate::clock::{self, Deadline};
use crate::config::{Config, RegistryMode};
use crate::error::{Error, Result};
use crate::interrupt::{Closing, Interrupt};
use crate::membership::Selection;
use crate::registration::Registrations;
use crate::registry::{self, FailoverRegistry, Registry, RegistrySetup, WaitLimit};
use crate::runtime::{self, Runtime, TaskQueue};
use crate::transport::tls;

/// The time limit of `close()`, without the drain.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// After this many added services, unused ones are dropped.
const SWEEP_EVERY: usize = 256;
/// The number of concurrent background probes.
const PROBES: usize = 2;

/// The part of a client that belongs to one process.
pub(super) struct Core {
    generation: u64,
    config: Arc<ArcSwap<Config>>,
    user_code: UserCode,
    closing: Arc<Closing>,
    pub(super) sources: Vec<String>,
    catalog: Arc<Catalog>,
    registrations: Registrations,
    contexts: ArcSwap<HashMap<String, Arc<ServiceContext>>>,
    adding: Mutex<()>,
    runtime: Runtime,
    probes: Arc<TaskQueue>,
}

/// Ends a wait by the client's close flag or by the caller's interrupt.
pub(super) struct EitherInterrupt<'a>(&'a Closing, &'a dyn Interrupt);

impl<'a> EitherInterrupt<'a> {
    pub(super) fn new(closing: &'a Closing, callers: &'a dyn Interrupt) -> EitherInterrupt<'a> {
        EitherInterrupt(closing, callers)
    }
}

impl Interrupt for EitherInterrupt<'_> {
    fn check(&self) -> Result<()> {
        self.0.check()?;
        self.1.check()
    }
}

impl Core {
    pub(super) fn new(
        shared: Arc<ArcSwap<Config>>,
        user_code: &UserCode,
        closing: Arc<Closing>,
    ) -> Result<Core> {
        let config = shared.load_full();
        if config.registry.addresses.is_empty() {
            return Err(Error::invalid(
                "no registry: pass an address such as \"plum://127.0.0.1:8080\" or set PLUMLINE_REGISTRY",
            ));
        }
        check_authorities(&config)?;
        let runtime = Runtime::get();
        let setup = RegistrySetup {
            runtime: runtime.clone(),
            poll_interval: config.registry.poll_interval,
            timeout: config.registry.timeout,
            connect_timeout: config.settings.connect_timeout,
            tls: config.settings.tls.clone(),
            is_stub: user_code.hooks.transport.is_some(),
        };
        let opened = config.registry.addresses.iter().map(|address| registry::open(address, &setup));
        let opened = opened.collect::<Result<Vec<_>>>()?;
        let reads =
            together(opened.iter().map(|opened| opened.reader.clone()).collect(), config.registry.mode);
        let writes = opened.into_iter().flat_map(|opened| opened.writers).collect();
        let zone = config.settings.zone.clone();
        Ok(Core {
            generation: runtime::generation(),
            config: shared,
            user_code: user_code.clone(),
            closing,
            sources: reads.iter().map(|registry| registry.source().to_string()).collect(),
            catalog: Arc::new(Catalog::new(reads, &config.cache, runtime.clone())),
            registrations: Registrations::new(writes, config.registration.clone(), zone, runtime.clone()),
            contexts: ArcSwap::default(),
            adding: Mutex::new(()),
            runtime,
            probes: TaskQueue::new(PROBES),
        })
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(super) fn registrations(&self) -> &Registrations {
        &self.registrations
    }

    pub(super) fn closing(&self) -> Arc<Closing> {
        self.closing.clone()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn hooks(&self) -> &Hooks {
        &self.user_code.hooks
    }

    pub(super) fn contexts(&self) -> Arc<HashMap<String, Arc<ServiceContext>>> {
        self.contexts.load_full()
    }

    pub(super) fn threads(&self) -> usize {
        self.runtime.threads()
    }

    /// Ends a wait when the client is closed or the caller interrupts it.
    pub(super) fn interrupt<'a>(&'a self, callers: &'a dyn Interrupt) -> EitherInterrupt<'a> {
        EitherInterrupt(&self.closing, callers)
    }

    /// The context of a service; created on first use.
    pub(super) fn context(&self, service: &str) -> Result<Arc<ServiceContext>> {
        if let Some(known) = self.contexts.load().get(service) {
            return Ok(known.clone());
        }
        check_service(service)?;
        let _one_at_a_time = self.adding.lock();
        let contexts = self.contexts.load_full();
        if let Some(known) = contexts.get(service) {
            return Ok(known.clone());
        }
        let policies = self.policies(service, &self.config.load());
        let (runtime, probes) = (self.runtime.clone(), self.probes.clone());
        let is_stub = self.hooks().transport.is_some();
        let context =
            Arc::new(ServiceContext::new(service, policies, self.catalog.clone(), runtime, probes, is_stub));
        let mut contexts = HashMap::clone(&contexts);
        if (contexts.len() + 1).is_multiple_of(SWEEP_EVERY) {
            // Callers of a gateway may request any number of service names that do not exist.
            // Two maps hold each context at this moment: the current one and the new one.
            let is_of_use =
                |context: &Arc<ServiceContext>| Arc::strong_count(context) > 2 || context.has_endpoints();
            contexts.retain(|_, context| is_of_use(context));
        }
        contexts.insert(service.to_owned(), context.clone());
        self.contexts.store(Arc::new(contexts));
        Ok(context)
    }

    fn policies(&self, service: &str, config: &Config) -> Policies {
        let balancers = &self.user_code.balancers;
        let own = balancers.get(&Some(service.to_owned())).or_else(|| balancers.get(&None));
        Policies::new(config.settings_for(service), own.cloned())
    }

    pub(super) fn configure(&self, changes: Value) -> Result<()> {
        let _one_at_a_time = self.adding.lock();
        let config = self.config.load().changed(changes)?;
        for (service, context) in self.contexts.load().iter() {
            context.set_policies(self.policies(service, &config));
        }
        self.config.store(Arc::new(config));
        Ok(())
    }

    /// Waits for the first endpoint list of a service. Later calls do not wait.
    #[inline]
    pub(super) fn await_first_list(
        &self,
        context: &ServiceContext,
        deadline: Deadline,
        interrupt: &dyn Interrupt,
    ) -> Result<()> {
        if context.entry.mark_used() {
            context.entry.count_hit();
            return Ok(());
        }
        let both = self.interrupt(interrupt);
        let wait = WaitLimit { deadline, interrupt: &both };
        self.catalog
            .service(context.name(), &wait)
            .map(drop)
            .map_err(|error| explain::no_list(context, error))
    }

    /// Makes a call.
    pub(super) fn call(
        self: &Arc<Core>,
        context: &ServiceContext,
        selection: &Selection,
        request: &Request,
        interrupt: &dyn Interrupt,
    ) -> Result<Response> {
        let request = request.checked()?;
        let policies = context.policies();
        let started = clock::now();
        let deadline = Deadline::new(started, request.options.timeout.unwrap_or(policies.settings.timeout));
        self.await_first_list(context, deadline, interrupt)?;
        let call = Call {
            name: context.name(),
            selection,
            policies: &policies,
            reporter: context.reporter(&policies),
            hooks: self.hooks(),
            request,
            interrupt: &self.interrupt(interrupt),
            started,
            deadline,
        };
        match call.run()? {
            Some(response) => Ok(response),
            None => Err(explain::no_endpoint(
                self,
                context,
                &selection.filter,
                &WaitLimit { deadline, interrupt: &self.interrupt(interrupt) },
            )),
        }
    }

    /// Ends the background work of this client and drops its contexts.
    pub(super) fn release(&self) {
        self.catalog.close();
        self.contexts.swap(Arc::default()).values().for_each(|context| context.release());
    }

    pub(super) fn close(&self, drain: Duration, interrupt: &dyn Interrupt) {
        let limit = WaitLimit::new(CLOSE_LIMIT, interrupt);
        self.registrations.close(drain, &limit);
        self.release();
        self.runtime.close(Deadline::new(clock::now(), CLOSE_LIMIT));
    }
}

/// The registries that the catalog reads.
fn together(registries: Vec<Arc<dyn Registry>>, mode: RegistryMode) -> Vec<Arc<dyn Registry>> {
    match mode {
        RegistryMode::Failover if registries.len() > 1 => vec![Arc::new(FailoverRegistry::new(registries))],
        _ => registries,
    }
}

/// Reads every configured certificate file, so that an invalid one fails when the client is created.
fn check_authorities(config: &Config) -> Result<()> {
    let of_services = config.services.keys().map(|service| config.settings_for(service));
    let all = std::iter::once(config.settings.clone()).chain(of_services);
    let named = all
        .map(|settings| settings.tls)
        .filter(|tls| tls.ca.is_some() || tls.cert.is_some() || tls.key.is_some());
    named.into_iter().try_for_each(|tls| tls::client_config(&tls, tls::Protocol::Http1).map(drop))
}

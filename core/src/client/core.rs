//! What stands behind every clone of a client.
//!
//! The [`Shell`] is what survives: the configuration and the user's code. The [`Core`] is what lives in one
//! process. After a `fork` the child leaks the core it inherited (no lock, no socket, no thread of it may be
//! touched there) and builds a new one from the shell when it is first used.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::sync::Mutex;
use arc_swap::ArcSwap;
use serde_json::Value;

use super::closed;
use super::explain;
use super::line::Line;
use crate::balance::Balancer;
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

/// A close may take this long, plus the drain that was asked for.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// Each time so many services have been added, those that are of no use are dropped.
const SWEEP_EVERY: usize = 256;
/// At most so many background probes at once.
const PROBES: usize = 2;

/// The user's own code.
#[derive(Clone, Default)]
pub(super) struct Recipe {
    pub(super) hooks: Hooks,
    pub(super) balancers: HashMap<Option<String>, Arc<dyn Balancer>>,
}

/// What survives a fork.
pub(super) struct Shell {
    config: Arc<ArcSwap<Config>>,
    recipe: Recipe,
    closing: Arc<Closing>,
    core: ArcSwap<Core>,
}

impl Shell {
    pub(super) fn new(config: Config, recipe: Recipe) -> Result<Shell> {
        let closing = Arc::new(Closing::default());
        let config = Arc::new(ArcSwap::from_pointee(config));
        let core = Core::new(config.clone(), &recipe, closing.clone())?;
        Ok(Shell { config, recipe, closing, core: ArcSwap::from_pointee(core) })
    }

    /// The core of this process.
    #[inline]
    pub(super) fn core(&self) -> Result<Arc<Core>> {
        if self.closing.is_closed() {
            return Err(closed());
        }
        let core = self.core.load();
        if core.generation == runtime::generation() {
            return Ok(Arc::clone(&core));
        }
        self.rebuild()
    }

    /// In a forked child, on first use.
    #[cold]
    fn rebuild(&self) -> Result<Arc<Core>> {
        let fresh = Arc::new(Core::new(self.config.clone(), &self.recipe, self.closing.clone())?);
        // Whoever comes first has built it; the inherited one is never dropped.
        let before = self.core.rcu(|current| {
            if current.generation == fresh.generation { current.clone() } else { fresh.clone() }
        });
        if before.generation != fresh.generation {
            std::mem::forget(before);
        }
        Ok(self.core.load_full())
    }

    pub(super) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    pub(super) fn sources(&self) -> String {
        self.core.load().sources.join(", ")
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closing.is_closed()
    }

    pub(super) fn close(&self, drain: Option<Duration>, interrupt: &dyn Interrupt) {
        let core = self.core.load_full();
        if !self.closing.close() || core.generation != runtime::generation() {
            return;
        }
        let drain = drain.unwrap_or(self.config().registration.drain);
        core.close(drain, interrupt);
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let core = self.core.load_full();
        if core.generation == runtime::generation() {
            // Waits for nothing. Registrations that were detached go on in the background.
            core.release();
        } else {
            std::mem::forget(core);
        }
    }
}

/// What lives in one process.
pub(super) struct Core {
    generation: u64,
    config: Arc<ArcSwap<Config>>,
    recipe: Recipe,
    closing: Arc<Closing>,
    sources: Vec<String>,
    catalog: Arc<Catalog>,
    registrations: Registrations,
    lines: ArcSwap<HashMap<String, Arc<Line>>>,
    new_line: Mutex<()>,
    runtime: Runtime,
    probes: Arc<TaskQueue>,
}

/// The client's own flag and the caller's interrupt, as one.
pub(super) struct Both<'a>(&'a Closing, &'a dyn Interrupt);

impl<'a> Both<'a> {
    pub(super) fn new(closing: &'a Closing, callers: &'a dyn Interrupt) -> Both<'a> {
        Both(closing, callers)
    }
}

impl Interrupt for Both<'_> {
    fn check(&self) -> Result<()> {
        self.0.check()?;
        self.1.check()
    }
}

impl Core {
    fn new(shared: Arc<ArcSwap<Config>>, recipe: &Recipe, closing: Arc<Closing>) -> Result<Core> {
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
            is_stub: recipe.hooks.transport.is_some(),
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
            recipe: recipe.clone(),
            closing,
            sources: reads.iter().map(|registry| registry.source().to_string()).collect(),
            catalog: Arc::new(Catalog::new(reads, &config.cache, runtime.clone())),
            registrations: Registrations::new(writes, config.registration.clone(), zone, runtime.clone()),
            lines: ArcSwap::default(),
            new_line: Mutex::new(()),
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
        &self.recipe.hooks
    }

    pub(super) fn lines(&self) -> Arc<HashMap<String, Arc<Line>>> {
        self.lines.load_full()
    }

    pub(super) fn threads(&self) -> usize {
        self.runtime.threads()
    }

    /// Ends a wait when the client is closed, or when the caller wants it.
    pub(super) fn interrupt<'a>(&'a self, callers: &'a dyn Interrupt) -> Both<'a> {
        Both(&self.closing, callers)
    }

    /// How a service is called; made on first use.
    pub(super) fn line(&self, service: &str) -> Result<Arc<Line>> {
        if let Some(known) = self.lines.load().get(service) {
            return Ok(known.clone());
        }
        check_service(service)?;
        let _one_at_a_time = self.new_line.lock();
        let lines = self.lines.load_full();
        if let Some(known) = lines.get(service) {
            return Ok(known.clone());
        }
        let policies = self.policies(service, &self.config.load());
        let (runtime, probes) = (self.runtime.clone(), self.probes.clone());
        let is_stub = self.hooks().transport.is_some();
        let line = Arc::new(Line::new(service, policies, self.catalog.clone(), runtime, probes, is_stub));
        let mut lines = HashMap::clone(&lines);
        if (lines.len() + 1).is_multiple_of(SWEEP_EVERY) {
            // Names that nobody offers, asked for once: a gateway meets as many as its callers can think of.
            // Two maps hold each at this moment: the one that is, and the one that is being made.
            let is_of_use = |line: &Arc<Line>| Arc::strong_count(line) > 2 || line.has_endpoints();
            lines.retain(|_, line| is_of_use(line));
        }
        lines.insert(service.to_owned(), line.clone());
        self.lines.store(Arc::new(lines));
        Ok(line)
    }

    fn policies(&self, service: &str, config: &Config) -> Policies {
        let balancers = &self.recipe.balancers;
        let own = balancers.get(&Some(service.to_owned())).or_else(|| balancers.get(&None));
        Policies::new(config.settings_for(service), own.cloned())
    }

    pub(super) fn configure(&self, changes: Value) -> Result<()> {
        let _one_at_a_time = self.new_line.lock();
        let config = self.config.load().changed(changes)?;
        for (service, line) in self.lines.load().iter() {
            line.set_policies(self.policies(service, &config));
        }
        self.config.store(Arc::new(config));
        Ok(())
    }

    /// Waits for the first ever list of a service; never again after that.
    #[inline]
    pub(super) fn await_list(
        &self,
        line: &Line,
        deadline: Deadline,
        interrupt: &dyn Interrupt,
    ) -> Result<()> {
        if line.known.enter() {
            line.known.count_hit();
            return Ok(());
        }
        let both = self.interrupt(interrupt);
        let wait = WaitLimit { deadline, interrupt: &both };
        self.catalog.service(line.name(), &wait).map(drop).map_err(|error| explain::unheard(line, error))
    }

    /// The whole of a call.
    pub(super) fn call(
        self: &Arc<Core>,
        line: &Line,
        selection: &Selection,
        request: &Request,
        interrupt: &dyn Interrupt,
    ) -> Result<Response> {
        let request = request.checked()?;
        let policies = line.policies();
        let started = clock::now();
        let deadline = Deadline::new(started, request.options.timeout.unwrap_or(policies.settings.timeout));
        self.await_list(line, deadline, interrupt)?;
        let call = Call {
            name: line.name(),
            selection,
            policies: &policies,
            reporter: line.reporter(&policies),
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
                line,
                &selection.filter,
                &WaitLimit { deadline, interrupt: &self.interrupt(interrupt) },
            )),
        }
    }

    /// Ends the background work for this client, and lets go of its lines.
    fn release(&self) {
        self.catalog.close();
        self.lines.swap(Arc::default()).values().for_each(|line| line.release());
    }

    fn close(&self, drain: Duration, interrupt: &dyn Interrupt) {
        let limit = WaitLimit::new(CLOSE_LIMIT, interrupt);
        self.registrations.close(drain, &limit);
        self.release();
        self.runtime.close(Deadline::new(clock::now(), CLOSE_LIMIT));
    }
}

/// What the catalog reads of several registries.
fn together(registries: Vec<Arc<dyn Registry>>, mode: RegistryMode) -> Vec<Arc<dyn Registry>> {
    match mode {
        RegistryMode::Failover if registries.len() > 1 => vec![Arc::new(FailoverRegistry::new(registries))],
        _ => registries,
    }
}

/// Reads every certificate file that is named, so that a wrong one is said when the client is made.
fn check_authorities(config: &Config) -> Result<()> {
    let of_services = config.services.keys().map(|service| config.settings_for(service));
    let all = std::iter::once(config.settings.clone()).chain(of_services);
    let named = all
        .map(|settings| settings.tls)
        .filter(|tls| tls.ca.is_some() || tls.cert.is_some() || tls.key.is_some());
    named.into_iter().try_for_each(|tls| tls::client_config(&tls, tls::Protocol::Http1).map(drop))
}

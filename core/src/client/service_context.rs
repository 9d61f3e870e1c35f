//! One service of a client: its endpoint list, policies and counters. A pick uses nothing else.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::call::{EndpointMonitor, Policies, Reporter, connect_probe, reconnect_probe};
use crate::catalog::{CacheEntry, Catalog};
use crate::membership::{Filter, Member, Owner, Selection, Service};
use crate::model::Query;
use crate::resilience::Probe;
use crate::runtime::{Priority, Runtime, TaskQueue};
use crate::telemetry::Counters;

/// The context and policies that a pick reports to, held by the view of the pick.
///
/// The views of a context refer back to it. [`ServiceContext::release`] breaks this cycle when the client is closed.
pub(super) struct PickOwner {
    pub(super) context: Arc<ServiceContext>,
    pub(super) policies: Arc<Policies>,
}

/// One service of a client.
pub(super) struct ServiceContext {
    name: Arc<str>,
    pub(super) entry: Arc<CacheEntry>,
    pub(super) service: Arc<Service>,
    policies: ArcSwap<Policies>,
    pub(super) counters: Arc<Counters>,
    /// The selection of a call without filters.
    all: Arc<Selection>,
    catalog: Arc<Catalog>,
    runtime: Runtime,
    probes: Arc<TaskQueue>,
    /// Whether a transport stub replaces the endpoints; then no socket to them may be opened.
    is_stub: bool,
}

impl ServiceContext {
    pub(super) fn new(
        service: &str,
        policies: Policies,
        catalog: Arc<Catalog>,
        runtime: Runtime,
        probes: Arc<TaskQueue>,
        is_stub: bool,
    ) -> ServiceContext {
        let entry = catalog.entry(service);
        let service = entry.service().clone();
        let all = service.selection(&Filter { query: Query::new(service.name()), callable: true });
        ServiceContext {
            name: service.name().into(),
            entry,
            service,
            policies: ArcSwap::from_pointee(policies),
            counters: Arc::default(),
            all,
            catalog,
            runtime,
            probes,
            is_stub,
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn policies(&self) -> Guard<Arc<Policies>> {
        self.policies.load()
    }

    pub(super) fn set_policies(self: &Arc<ServiceContext>, policies: Policies) {
        let policies = Arc::new(policies);
        let before = self.policies.swap(policies.clone());
        let (was, is) = (&before.settings, &policies.settings);
        if was.tls != is.tls || was.connect_timeout != is.connect_timeout {
            let members = &self.service.snapshot().members;
            members.iter().for_each(|member| member.state.connections.store(None));
        }
        self.service.hand_over(Some(&self.owner()));
    }

    pub(super) fn has_endpoints(&self) -> bool {
        !self.service.snapshot().members.is_empty()
    }

    /// Removes this context from the views.
    pub(super) fn release(&self) {
        self.service.hand_over(None);
    }

    /// The endpoints that a call with this query may use.
    pub(super) fn callable(&self, query: &Query) -> Arc<Selection> {
        if query.is_unfiltered() {
            return self.all.clone();
        }
        self.service.selection(&Filter { query: query.clone(), callable: true })
    }

    /// The endpoints that a pick with this query may choose.
    pub(super) fn pickable(self: &Arc<ServiceContext>, query: &Query) -> Arc<Selection> {
        let selection = self.service.selection(&Filter { query: query.clone(), callable: false });
        if selection.view().owner.is_none() {
            self.service.adopt(&selection, &self.owner());
        }
        selection
    }

    fn owner(self: &Arc<ServiceContext>) -> Owner {
        Arc::new(PickOwner { context: self.clone(), policies: self.policies.load_full() })
    }

    pub(super) fn reporter<'a>(&'a self, policies: &'a Policies) -> Reporter<'a> {
        Reporter {
            service: &self.service,
            outlier: &policies.outlier,
            counters: &self.counters,
            monitor: self,
        }
    }
}

impl EndpointMonitor for ServiceContext {
    fn distrust(&self, member: &Member) {
        self.catalog.distrust(&self.name, &member.endpoint.key());
    }

    fn probe(&self, probe: Probe) {
        let (service, policies) = (self.service.clone(), self.policies.load_full());
        let is_stub = self.is_stub;
        let job = move || connect_probe(&policies.outlier, &service, &probe, is_stub);
        self.runtime.post(&self.probes, Priority::Poll, job);
    }

    fn look(&self, member: &Member) {
        if self.is_stub {
            return member.state.end_look();
        }
        let (service, policies) = (self.service.clone(), self.policies.load_full());
        let (counters, member) = (self.counters.clone(), member.clone());
        let timeout = policies.settings.connect_timeout;
        let job = move || reconnect_probe(&policies.outlier, &service, &counters, &member, timeout);
        self.runtime.post(&self.probes, Priority::Poll, job);
    }
}

//! The operations that may wait, with the interrupt that can end them. The methods of the client, the service handle
//! and the watch call these with an interrupt that never comes.

use std::sync::Arc;
use std::time::Duration;

use super::core::EitherInterrupt;
use super::explain::{self, Explanation};
use super::handle::{BoundService, ServiceHandle};
use super::pick::Pick;
use super::service_context::ServiceContext;
use super::{Client, Watch};
use crate::call::{Request, Response, check_service};
use crate::clock::{self, Deadline};
use crate::error::{Kind, Result};
use crate::interrupt::{Interrupt, Interruptible};
use crate::model::{Change, Endpoint, Instance, Query};
use crate::registration::Registration;
use crate::registry::WaitLimit;

impl Interruptible<'_, Client> {
    /// See [`Client::discover`].
    pub fn discover(&self, query: impl Into<Query>) -> Result<Vec<Arc<Endpoint>>> {
        let query = query.into();
        let core = self.target.core()?;
        let context = core.context(&query.service)?;
        core.await_first_list(&context, deadline(&context), self.interrupt)?;
        Ok(matching_endpoints(&context, &query))
    }

    /// See [`Client::services`].
    pub fn services(&self) -> Result<Vec<String>> {
        let core = self.target.core()?;
        let both = core.interrupt(self.interrupt);
        core.catalog().names(&WaitLimit::new(self.target.shell.config().settings.timeout, &both))
    }

    /// See [`Client::pick`].
    pub fn pick(&self, query: impl Into<Query>) -> Result<Pick> {
        Pick::choose(&BoundService::new(self.target, &query.into())?, self.interrupt)
    }

    /// See [`Client::call`].
    pub fn call(&self, request: &Request) -> Result<Response> {
        let core = self.target.core()?;
        let context = core.context(&request.query.service)?;
        let selection = context.callable(&request.query);
        core.call(&context, &selection, request, self.interrupt)
    }

    /// See [`Client::register`].
    pub fn register(&self, instance: Instance) -> Result<Registration> {
        let core = self.target.core()?;
        core.registrations().register(instance, &core.interrupt(self.interrupt))
    }

    /// See [`Client::wait_for`].
    pub fn wait_for(&self, query: impl Into<Query>, timeout: Duration) -> Result<()> {
        let (query, core) = (query.into(), self.target.core()?);
        check_service(&query.service)?;
        let both = core.interrupt(self.interrupt);
        let wait = WaitLimit::new(timeout, &both);
        core.catalog().wait_for(&query, &wait).map_err(|error| match error.kind() {
            Kind::Timeout => explain::still_missing(&core, &query, timeout, error),
            _ => error,
        })
    }

    /// See [`Client::explain`].
    pub fn explain(&self, query: impl Into<Query>) -> Result<Explanation> {
        let (query, core) = (query.into(), self.target.core()?);
        let context = core.context(&query.service)?;
        let deadline = deadline(&context);
        // A registry that does not answer is part of the explanation.
        let no_list = core.await_first_list(&context, deadline, self.interrupt).err();
        let wait = WaitLimit { deadline, interrupt: &core.interrupt(self.interrupt) };
        Ok(explain::explain(&core, &context, &query, &wait, no_list))
    }

    /// See [`Client::close`].
    pub fn close(&self) {
        self.target.shell.close(None, self.interrupt);
    }

    /// See [`Client::close_draining`].
    pub fn close_draining(&self, drain: impl Into<Option<Duration>>) {
        self.target.shell.close(drain.into(), self.interrupt);
    }
}

impl Interruptible<'_, ServiceHandle> {
    /// See [`ServiceHandle::call`].
    #[inline]
    pub fn call(&self, request: &Request) -> Result<Response> {
        self.target.bound(|bound| bound.core.call(&bound.context, &bound.callable, request, self.interrupt))
    }

    /// See [`ServiceHandle::pick`].
    #[inline]
    pub fn pick(&self) -> Result<Pick> {
        self.target.bound(|bound| Pick::choose(bound, self.interrupt))
    }
}

impl Interruptible<'_, Watch> {
    /// See [`Watch::next_within`].
    pub fn next_within(&self, timeout: impl Into<Option<Duration>>) -> Result<Option<Change>> {
        let Watch { watching, closing } = self.target;
        closing.check()?;
        watching.next(timeout.into(), &EitherInterrupt::new(closing, self.interrupt))
    }
}

/// The deadline of a lookup that has no timeout of its own.
fn deadline(context: &ServiceContext) -> Deadline {
    Deadline::new(clock::now(), context.policies().settings.timeout)
}

/// The healthy endpoints that the query accepts.
pub(super) fn matching_endpoints(context: &ServiceContext, query: &Query) -> Vec<Arc<Endpoint>> {
    let snapshot = context.service.snapshot();
    let accepted = snapshot.members.iter().map(|member| &member.endpoint);
    accepted.filter(|endpoint| endpoint.healthy && query.accepts(endpoint)).cloned().collect()
}

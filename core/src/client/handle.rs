//! A handle bound to one service, which is looked up once.

use std::sync::Arc;

use serde::Serialize;

use super::Client;
use super::core::Core;
use super::pick::Pick;
use super::service_context::ServiceContext;
use crate::call::{Request, Response};
use crate::error::Result;
use crate::interrupt::{Interrupt, Interruptible, Never};
use crate::membership::Selection;
use crate::model::Query;

/// A service, or a filtered part of its endpoints. Cheap to clone.
///
/// ```
/// # let plum = plumline::Client::new("static://127.0.0.1:8080")?;
/// let orders = plum.service(plumline::Query::new("orders").version("v2"))?;
/// assert_eq!(orders.query().to_string(), "\"orders\" version=v2");
/// # Ok::<(), plumline::Error>(())
/// ```
#[derive(Clone)]
pub struct ServiceHandle {
    client: Client,
    query: Query,
    bound: Arc<BoundService>,
}

/// The service and selections of the query in this process.
pub(super) struct BoundService {
    pub(super) core: Arc<Core>,
    pub(super) context: Arc<ServiceContext>,
    pub(super) callable: Arc<Selection>,
    pub(super) pickable: Arc<Selection>,
}

impl BoundService {
    pub(super) fn new(client: &Client, query: &Query) -> Result<BoundService> {
        let core = client.core()?;
        let context = core.context(&query.service)?;
        let (callable, pickable) = (context.callable(query), context.pickable(query));
        Ok(BoundService { core, context, callable, pickable })
    }
}

impl ServiceHandle {
    pub(super) fn new(client: Client, query: Query) -> Result<ServiceHandle> {
        let bound = Arc::new(BoundService::new(&client, &query)?);
        Ok(ServiceHandle { client, query, bound })
    }

    /// The query of this handle.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// Makes a call with the path, headers, body and options of the request. The service and filters are those of this
    /// handle.
    pub fn call(&self, request: &Request) -> Result<Response> {
        self.with_interrupt(&Never).call(request)
    }

    /// Sends a GET.
    pub fn get(&self, path: &str) -> Result<Response> {
        self.call(&Request::get(self.query.service.as_str(), path))
    }

    /// Sends a POST with this as JSON.
    pub fn post<T: Serialize + ?Sized>(&self, path: &str, json: &T) -> Result<Response> {
        self.call(&Request::post(self.query.service.as_str(), path).json(json))
    }

    /// Sends a PUT with this as JSON.
    pub fn put<T: Serialize + ?Sized>(&self, path: &str, json: &T) -> Result<Response> {
        self.call(&Request::put(self.query.service.as_str(), path).json(json))
    }

    /// Sends a PATCH with this as JSON.
    pub fn patch<T: Serialize + ?Sized>(&self, path: &str, json: &T) -> Result<Response> {
        self.call(&Request::patch(self.query.service.as_str(), path).json(json))
    }

    /// Sends a DELETE.
    pub fn delete(&self, path: &str) -> Result<Response> {
        self.call(&Request::delete(self.query.service.as_str(), path))
    }

    /// Sends a HEAD.
    pub fn head(&self, path: &str) -> Result<Response> {
        self.call(&Request::head(self.query.service.as_str(), path))
    }

    /// Sends an OPTIONS.
    pub fn options(&self, path: &str) -> Result<Response> {
        self.call(&Request::options(self.query.service.as_str(), path))
    }

    /// Chooses an endpoint for one use, to be reported on.
    pub fn pick(&self) -> Result<Pick> {
        self.with_interrupt(&Never).pick()
    }

    /// Chooses an endpoint without waiting; `None` if [`pick`](ServiceHandle::pick) would wait for a registry.
    pub fn try_pick(&self) -> Result<Option<Pick>> {
        self.bound(|bound| {
            if bound.context.entry.mark_used() {
                Pick::choose_now(bound, crate::clock::now())
            } else {
                Ok(None)
            }
        })
    }

    /// Borrows the handle for calls whose waits `interrupt` can end.
    #[inline]
    pub fn with_interrupt<'a>(&'a self, interrupt: &'a dyn Interrupt) -> Interruptible<'a, ServiceHandle> {
        Interruptible::new(self, interrupt)
    }

    /// Runs `use_it` with the bound service. A forked child looks the service up at each use, because the bound one
    /// belongs to the parent.
    #[inline]
    pub(super) fn bound<T>(&self, use_it: impl FnOnce(&BoundService) -> Result<T>) -> Result<T> {
        if self.client.is_closed() {
            return Err(super::closed());
        }
        let BoundService { core, callable, pickable, .. } = &*self.bound;
        let is_current = core.generation() == crate::runtime::generation();
        if is_current && !callable.is_retired() && !pickable.is_retired() {
            return use_it(&self.bound);
        }
        use_it(&BoundService::new(&self.client, &self.query)?)
    }
}

impl std::fmt::Debug for ServiceHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServiceHandle({})", self.query)
    }
}

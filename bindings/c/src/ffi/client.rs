//! The client: every word of it crosses to the core here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use plumline::{Instance, Result, ServiceHandle};
use plumline_bindings::exit;
use plumline_bindings::handles::Handles;
use plumline_bindings::logs::{self, Listening};

use super::boundary::{Kind, boundary, free, look, make};
use super::config::{ConfigHandle, builder};
use super::endpoint::{Endpoint, Endpoints, of_handles};
use super::error::ErrorHandle;
use super::explain::Explanation;
use super::input::{grown, need, text};
use super::pick::Pick;
use super::process;
use super::registration::{RawInstance, Registration};
use super::request::{RawQuery, RawRequest, millis, optional_millis, query};
use super::response::Response;
use super::service::Service;
use super::stats::Stats;
use super::strings::Strings;
use super::text::Str;
use super::watch::Watch;
use crate::shelf::Shelf;

/// Finds services, calls them, survives what fails, and keeps this program registered. Any thread may use it, also
/// while another one closes it. Yours to close with `plumline_client_close()`, then to free, once nobody uses it any
/// more, with `plumline_client_free()`.
pub struct Client {
    inner: plumline::Client,
    handles: Handles,
    has_registered: AtomicBool,
    listening: Listening,
}

impl Client {
    /// The handle of a service, looked up by name: what a call by name is made with.
    #[inline]
    fn handle(&self, service: &str) -> Result<Arc<ServiceHandle>> {
        self.handles.get(&self.inner, service)
    }

    fn call(&self, raw: &RawRequest) -> Result<plumline::Response> {
        let service = text("service", &raw.service)?;
        let request = raw.request_to(service)?;
        if !raw.is_narrowed() && !service.is_empty() {
            return self.handle(service)?.call(&request);
        }
        self.inner.call(&request)
    }

    fn pick(&self, service: &Str, narrowed: *const RawQuery) -> Result<plumline::Pick> {
        if narrowed.is_null() {
            return self.handle(text("service", service)?)?.pick();
        }
        self.inner.pick(query(service, narrowed)?)
    }

    fn register(&self, instance: &RawInstance) -> Result<Registration> {
        let instance = instance.over(Instance::default())?;
        let drain = self.inner.config().registration.drain;
        let registered = self.inner.register(instance)?;
        if !self.has_registered.swap(true, Relaxed) {
            exit::remember(&self.inner);
        }
        Ok(Registration::new(registered, drain))
    }
}

/// A client of the registry at `address`, such as `plum://127.0.0.1:8080`. Checks everything, opens nothing, and
/// never fails because a registry is away. An empty address, or none, means `config`'s, else the environment's
/// `PLUMLINE_REGISTRY`. `config` may be NULL, and is not needed afterwards. The client is yours to close and free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_new(
    address: Str,
    config: Option<&ConfigHandle>,
    client: *mut *mut Client,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("client", client, error, || {
        process::prepare();
        let builder = builder(text("address", &address)?, config)?;
        let listening = logs::listen();
        let inner = builder.build()?;
        Ok(Client { inner, handles: Handles::default(), has_registered: AtomicBool::new(false), listening })
    })
}

/// The endpoints of a service that are there and healthy; a service nobody knows has none. `query` narrows them, and
/// may be NULL. The list is yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_discover(
    client: Option<&Client>,
    service: Str,
    query: *const RawQuery,
    endpoints: *mut *mut Endpoints,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("endpoints", endpoints, error, || {
        let client = need("client", client)?;
        client.inner.discover(self::query(&service, query)?).map(Endpoints::from)
    })
}

/// Chooses an endpoint for one use of any protocol, to be reported on. `query` narrows the choice, and may be NULL.
/// The pick is yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_pick(
    client: Option<&Client>,
    service: Str,
    query: *const RawQuery,
    pick: *mut *mut Pick,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("pick", pick, error, || need("client", client)?.pick(&service, query).map(Pick::from))
}

/// Makes a call: picks, sends, goes elsewhere if need be, reports. An answer of any status is a response; see
/// `plumline_response_raise_for_status()`. The response is yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_call(
    client: Option<&Client>,
    request: *const RawRequest,
    response: *mut *mut Response,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("response", response, error, || need("client", client)?.call(&grown(request)?).map(Response::from))
}

/// A handle bound to a service, or, with a `query` that is not NULL, to some of its endpoints: the fast path of many
/// calls and picks. The handle is yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_service(
    client: Option<&Client>,
    service: Str,
    query: *const RawQuery,
    handle: *mut *mut Service,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("handle", handle, error, || {
        need("client", client)?.inner.service(self::query(&service, query)?).map(Service::from)
    })
}

/// Registers this program, and keeps it registered until the registration or the client is closed, or the process
/// exits in good order. Returns at once while its port does not answer yet, and waits at most 2 s for the registry's
/// word when it does; with the registry away it keeps trying. The handle is yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_register(
    client: Option<&Client>,
    instance: *const RawInstance,
    registration: *mut *mut Registration,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("registration", registration, error, || need("client", client)?.register(&grown(instance)?))
}

/// Tells of every change of a service, beginning with what is there. The watch is yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_watch(
    client: Option<&Client>,
    service: Str,
    watch: *mut *mut Watch,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("watch", watch, error, || need("client", client)?.inner.watch(text("service", &service)?).map(Watch))
}

/// Tells of every change of every service, those included that appear later. The watch is yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_watch_all(
    client: Option<&Client>,
    watch: *mut *mut Watch,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("watch", watch, error, || need("client", client)?.inner.watch_all().map(Watch))
}

/// Waits, at most `timeout_ms` milliseconds, until a service has an endpoint: for those who want to start only when
/// it is there. `query` narrows it, and may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_wait_for(
    client: Option<&Client>,
    service: Str,
    query: *const RawQuery,
    timeout_ms: u64,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || {
        let (client, query) = (need("client", client)?, self::query(&service, query)?);
        client.inner.wait_for(query, millis(timeout_ms))
    })
}

/// Says for each endpoint of a service whether it would be called, and why not. `query` narrows it, and may be NULL.
/// The explanation is yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_explain(
    client: Option<&Client>,
    service: Str,
    query: *const RawQuery,
    explanation: *mut *mut Explanation,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("explanation", explanation, error, || {
        let client = need("client", client)?;
        client.inner.explain(self::query(&service, query)?).map(Explanation::from)
    })
}

/// The names of every service there is, sorted. The list is yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_services(
    client: Option<&Client>,
    services: *mut *mut Strings,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("services", services, error, || Ok(Strings(Shelf::of(need("client", client)?.inner.services()?))))
}

/// Everything that is counted. The figures are yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_stats(
    client: Option<&Client>,
    stats: *mut *mut Stats,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("stats", stats, error, || Stats::new(&need("client", client)?.inner.stats()?))
}

/// Says what exists of a service, beside what the registries say: a registry of your own. The endpoints, `count` of
/// them, stay yours.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_publish(
    client: Option<&Client>,
    service: Str,
    endpoints: *const *const Endpoint,
    count: usize,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || {
        let (client, service) = (need("client", client)?, text("service", &service)?);
        client.inner.publish(service, of_handles("endpoints", endpoints, count)?)
    })
}

/// Has every list asked for anew before it is used again; if that fails, the old one still serves.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_clear_cache(client: Option<&Client>, error: *mut *mut ErrorHandle) -> Kind {
    boundary(error, || need("client", client)?.inner.clear_cache())
}

/// Changes settings while the client lives: those that `changes` sets. The registry, the cache, the registration and
/// callbacks cannot be changed.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_configure(
    client: Option<&Client>,
    changes: Option<&ConfigHandle>,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || need("client", client)?.inner.configure(need("changes", changes)?.changes()?))
}

/// Deregisters what is registered, ends watches and calls in flight, waits `drain_ms` milliseconds for what is still
/// on its way, and gives back threads and connections. Below 0: as the settings say. Everything afterwards is
/// `PLUMLINE_CLOSED`; closing again does nothing. Other threads may be in the middle of calls.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_close(
    client: Option<&Client>,
    drain_ms: i64,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || {
        let client = need("client", client)?;
        client.inner.close_draining(optional_millis(drain_ms));
        client.handles.clear();
        exit::forget_closed();
        client.listening.end();
        Ok(())
    })
}

/// Whether it was closed; true for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_is_closed(client: Option<&Client>) -> bool {
    look(client, true, |client| client.inner.is_closed())
}

/// Frees a client, closed or not: one that is not stops its background work without waiting for it, and what it has
/// registered stays registered until the process exits. No thread may be inside it, and none may use it afterwards;
/// that cannot be checked. Services, watches and registrations made of it are freed by themselves. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_free(client: Option<Box<Client>>) {
    free(client);
}

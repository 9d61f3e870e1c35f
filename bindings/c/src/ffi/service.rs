//! A service, or some of its endpoints, bound once.

use plumline::ServiceHandle;
use plumline::{Error, Result};

use super::boundary::{Kind, free, look, make};
use super::error::ErrorHandle;
use super::input::{grown, need};
use super::pick::Pick;
use super::request::RawRequest;
use super::response::Response;
use super::text::Str;
use crate::shelf::Shelf;

/// A service, or some of its endpoints, of a client: the fast path of many calls and picks. Any thread may use it.
/// It may outlive the client's handle. Yours to free with `plumline_service_free()`.
pub struct Service {
    inner: ServiceHandle,
    name: Shelf,
}

impl From<ServiceHandle> for Service {
    fn from(inner: ServiceHandle) -> Service {
        let name = Shelf::of([&inner.query().service]);
        Service { inner, name }
    }
}

/// The service's name.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_service_name(service: Option<&Service>) -> Str {
    look(service, Str::NONE, |service| Str::lent_if(service.name.get(0)))
}

/// Chooses an endpoint for one use of any protocol, to be reported on. The pick is yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_service_pick(
    service: Option<&Service>,
    pick: *mut *mut Pick,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("pick", pick, error, || need("service", service)?.inner.pick().map(Pick::from))
}

/// Makes a call, as `plumline_client_call()` does. The request names neither service, version nor labels: they were
/// said when the handle was made. The response is yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_service_call(
    service: Option<&Service>,
    request: *const RawRequest,
    response: *mut *mut Response,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("response", response, error, || {
        let (service, request) = (need("service", service)?, grown(request)?);
        check_unbound(&request)?;
        let request = request.request_to(&service.inner.query().service)?;
        service.inner.call(&request).map(Response::from)
    })
}

fn check_unbound(request: &RawRequest) -> Result<()> {
    if request.service.is_given() || request.is_narrowed() {
        return Err(Error::invalid(
            "service, version and labels of a request are said when the handle is made: plumline_client_service()",
        ));
    }
    Ok(())
}

/// Frees a handle. Its client goes on. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_service_free(service: Option<Box<Service>>) {
    free(service);
}

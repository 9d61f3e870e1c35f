//! The user's own C functions inside a call: hooks, a balancer, a transport. Always on the caller's thread.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use plumline::balance::{Balancer, Context};
use plumline::membership::View;
use plumline::{Answer, Bounds, ClientBuilder, Error, Failure, Result, Transport};
use plumline_bindings::failure::error_of;

use super::boundary::{Kind, look};
use super::calling::Calling;
use super::endpoint::Endpoint;
use super::error::ErrorHandle;
use super::input::{Growing, slice, text};
use super::kinds::PLUMLINE_OK;
use super::outgoing::Outgoing;
use super::response::Response;
use super::text::Str;
use crate::raised;

type Sent = std::result::Result<Answer, Failure>;

/// A transport's answer: `*response` holds it.
pub const PLUMLINE_SENT_ANSWERED: i32 = 0;
/// No connection could be opened; the request never left. The call goes on around it.
pub const PLUMLINE_SENT_REFUSED: i32 = 1;
/// The connection broke after the request may have been read. The call goes on around it.
pub const PLUMLINE_SENT_RESET: i32 = 2;
/// No answer in time. The call goes on around it.
pub const PLUMLINE_SENT_TIMEOUT: i32 = 3;
/// Something is wrong with the transport itself: the call fails with `*error`.
pub const PLUMLINE_SENT_FAILED: i32 = 4;

/// Chosen by a balancer: none of them.
pub const PLUMLINE_CHOOSE_NONE: usize = usize::MAX;

/// Called before each attempt. May set headers. Other than `PLUMLINE_OK` ends the call: it fails with `*error`, made
/// by `plumline_error_new()` and handed over, or, where that is left NULL, with the kind that was returned.
pub type OnRequest = Option<
    extern "C" fn(
        user_data: *mut c_void,
        request: *mut Outgoing,
        endpoint: *const Endpoint,
        error: *mut *mut ErrorHandle,
    ) -> Kind,
>;

/// Called after each attempt. `response` is what came, or NULL; then `failure` says why nothing did. Other than
/// `PLUMLINE_OK` ends the call, as with a request.
pub type OnResponse = Option<
    extern "C" fn(
        user_data: *mut c_void,
        request: *const Outgoing,
        endpoint: *const Endpoint,
        response: *const Response,
        failure: *const ErrorHandle,
        error: *mut *mut ErrorHandle,
    ) -> Kind,
>;

/// Sends instead of a socket. Returns `PLUMLINE_SENT_…`; an answer is made by `plumline_response_new()` and handed over.
pub type Send = Option<
    extern "C" fn(
        user_data: *mut c_void,
        request: *const Outgoing,
        endpoint: *const Endpoint,
        response: *mut *mut Response,
        error: *mut *mut ErrorHandle,
    ) -> i32,
>;

/// Chooses an endpoint: sets `*index`, below `plumline_choice_count()`, or to `PLUMLINE_CHOOSE_NONE`. Other than
/// `PLUMLINE_OK` ends the call or pick, as with a request.
pub type Choose = Option<
    extern "C" fn(
        user_data: *mut c_void,
        choice: *const Choice,
        index: *mut usize,
        error: *mut *mut ErrorHandle,
    ) -> Kind,
>;

/// A balancer for one service.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ServiceBalancer {
    /// The service.
    pub service: Str,
    /// Chooses its endpoints.
    pub choose: Choose,
    /// Handed to it.
    pub user_data: *mut c_void,
}

/// Code of your own inside a client. It runs on the thread that calls, inside the function that it called, and may
/// call the library again, closing the client included, but not free it. Where several threads use the client,
/// several run at once. Initialise it with `PLUMLINE_CALLBACKS_INIT`; a function that is NULL is not called.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Callbacks {
    /// `sizeof(plumline_callbacks)`; the initialiser sets it.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Handed to each of these.
    pub user_data: *mut c_void,
    /// Before each attempt.
    pub on_request: OnRequest,
    /// After each attempt.
    pub on_response: OnResponse,
    /// Sends instead of a socket, for the tests of your own code.
    pub send: Send,
    /// Chooses endpoints, for every service that has no balancer of its own.
    pub choose: Choose,
    /// Balancers for single services, `balancer_count` of them.
    pub balancers: *const ServiceBalancer,
    /// How many.
    pub balancer_count: usize,
}

// SAFETY: repr(C), begins with its size, holds integers, pointers, and functions that may be NULL.
unsafe impl Growing for Callbacks {
    const NAME: &'static str = "callbacks";
    const INIT: &'static str = "PLUMLINE_CALLBACKS_INIT";
}

/// The same, read once.
#[derive(Clone)]
pub(crate) struct Code {
    callbacks: Arc<Calling<Callbacks>>,
    balancers: HashMap<String, Arc<Calling<ServiceBalancer>>>,
}

impl Code {
    pub(crate) fn new(callbacks: &Callbacks) -> Result<Code> {
        let mut balancers = HashMap::new();
        for balancer in slice("balancers", &callbacks.balancers, callbacks.balancer_count)? {
            let service = text("a balancer's service", &balancer.service)?.to_owned();
            if balancer.choose.is_none() {
                return Err(Error::invalid(format!("the balancer of {service:?} is NULL")));
            }
            balancers.insert(service, Arc::new(Calling::new(*balancer)));
        }
        Ok(Code { callbacks: Arc::new(Calling::new(*callbacks)), balancers })
    }

    pub(crate) fn into_builder(self, mut builder: ClientBuilder) -> ClientBuilder {
        let of = self.callbacks;
        if of.get().on_request.is_some() {
            let of = of.clone();
            builder = builder.on_request(move |outgoing, endpoint| on_request(of.get(), outgoing, endpoint));
        }
        if of.get().on_response.is_some() {
            let of = of.clone();
            builder = builder
                .on_response(move |outgoing, endpoint, sent| on_response(of.get(), outgoing, endpoint, sent));
        }
        if of.get().send.is_some() {
            builder = builder.transport(Stub(of.clone()));
        }
        if of.get().choose.is_some() {
            let every = ServiceBalancer {
                service: Str::NONE,
                choose: of.get().choose,
                user_data: of.get().user_data,
            };
            builder = builder.balancer(Own(Arc::new(Calling::new(every))));
        }
        self.balancers
            .into_iter()
            .fold(builder, |builder, (service, own)| builder.balancer_for(&service, Own(own)))
    }
}

fn shown(endpoint: &plumline::Endpoint) -> Endpoint {
    Arc::new(endpoint.clone()).into()
}

/// What a callback's return and its `error` come to.
fn outcome(returned: Kind, error: *mut ErrorHandle, who: &str) -> Result<()> {
    let told = super::output::taken(error).map(|error| error.inner);
    if returned == PLUMLINE_OK {
        return Ok(());
    }
    let kind = plumline::Kind::ALL.into_iter().find(|kind| i32::from(kind.number()) == returned);
    let untold =
        || Error::new(kind.unwrap_or(plumline::Kind::Cancelled), format!("{who} returned {returned}"));
    Err(raised::keep(told.unwrap_or_else(untold)))
}

fn on_request(
    of: &Callbacks,
    outgoing: &mut plumline::Outgoing,
    endpoint: &plumline::Endpoint,
) -> Result<()> {
    let Some(hook) = of.on_request else { return Ok(()) };
    let (mut request, endpoint, mut error) =
        (Outgoing::new(outgoing.clone()), shown(endpoint), std::ptr::null_mut());
    let returned = hook(of.user_data, &raw mut request, &raw const endpoint, &raw mut error);
    outcome(returned, error, "on_request")?;
    request.give_back(outgoing);
    Ok(())
}

fn on_response(
    of: &Callbacks,
    outgoing: &plumline::Outgoing,
    endpoint: &plumline::Endpoint,
    sent: &Sent,
) -> Result<()> {
    // Where a callback has failed the call is over; what ended it is about to come out.
    let Some(hook) = of.on_response.filter(|_| !raised::is_there()) else { return Ok(()) };
    let request = Outgoing::new(outgoing.clone());
    let response = sent.as_ref().ok().map(|answer| Response::of_answer(endpoint, answer));
    let failure = sent.as_ref().err().map(|failure| ErrorHandle::from(error_of(failure, endpoint)));
    let (endpoint, mut error) = (shown(endpoint), std::ptr::null_mut());
    let returned = hook(
        of.user_data,
        &raw const request,
        &raw const endpoint,
        response.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
        failure.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
        &raw mut error,
    );
    outcome(returned, error, "on_response")
}

struct Stub(Arc<Calling<Callbacks>>);

impl Transport for Stub {
    fn send(&self, outgoing: &plumline::Outgoing, endpoint: &plumline::Endpoint, _: &Bounds<'_>) -> Sent {
        let of = self.0.get();
        let Some(send) = of.send else { return Err(Failure::Refused("there is no transport".into())) };
        let (request, shown) = (Outgoing::new(outgoing.clone()), shown(endpoint));
        let (mut response, mut error) = (std::ptr::null_mut(), std::ptr::null_mut());
        let returned =
            send(of.user_data, &raw const request, &raw const shown, &raw mut response, &raw mut error);
        let response = super::output::taken(response);
        let words = |error| super::output::taken::<ErrorHandle>(error).map(|error| error.inner);
        let or =
            |error, otherwise: &str| words(error).map_or(otherwise.to_owned(), |error| error.to_string());
        match (returned, response) {
            (PLUMLINE_SENT_ANSWERED, Some(response)) => {
                drop(words(error));
                Ok(response.into_answer())
            }
            (PLUMLINE_SENT_REFUSED, _) => Err(Failure::Refused(or(error, "refused by the transport"))),
            (PLUMLINE_SENT_RESET, _) => Err(Failure::Reset(or(error, "reset by the transport"))),
            (PLUMLINE_SENT_TIMEOUT, _) => {
                drop(words(error));
                Err(Failure::Timeout)
            }
            (returned, _) => {
                let wrong = match returned {
                    PLUMLINE_SENT_FAILED => Error::new(plumline::Kind::Cancelled, "the transport failed"),
                    PLUMLINE_SENT_ANSWERED => Error::invalid("the transport answered without a response"),
                    _ => Error::invalid(format!(
                        "the transport returned {returned}, which is no PLUMLINE_SENT_…"
                    )),
                };
                Err(Failure::Interrupted(raised::keep(words(error).unwrap_or(wrong))))
            }
        }
    }
}

struct Own(Arc<Calling<ServiceBalancer>>);

/// What a balancer chooses among: endpoints in an order of their own, and figures for each. It belongs to the call.
pub struct Choice(Vec<Candidate>);

struct Candidate {
    endpoint: Endpoint,
    in_flight: u32,
    latency_ms: f64,
    tried: bool,
}

impl Balancer for Own {
    fn choose(&self, view: &View, context: &mut Context<'_>) -> Option<usize> {
        let of = self.0.get();
        let candidate = |index: usize| {
            let slot = &view.candidates()[index];
            Candidate {
                endpoint: slot.member.endpoint.clone().into(),
                in_flight: slot.in_flight(),
                latency_ms: slot.latency().map_or(-1.0, |latency| latency.as_secs_f64() * 1e3),
                tried: context.has_tried(view, index),
            }
        };
        let choice = Choice((0..view.len()).map(candidate).collect());
        let (mut index, mut error) = (PLUMLINE_CHOOSE_NONE, std::ptr::null_mut());
        let returned = of.choose?(of.user_data, &raw const choice, &raw mut index, &raw mut error);
        // One that is out of range is refused by number.
        outcome(returned, error, "the balancer").ok()?;
        (index != PLUMLINE_CHOOSE_NONE).then_some(index)
    }
}

/// How many endpoints there are to choose among.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_choice_count(choice: Option<&Choice>) -> usize {
    look(choice, 0, |choice| choice.0.len())
}

/// The endpoint at this index; NULL past the end. It belongs to the choice.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_choice_endpoint(choice: Option<&Choice>, index: usize) -> Option<&Endpoint> {
    look(choice, None, |choice| choice.0.get(index).map(|candidate| &candidate.endpoint))
}

/// Its calls and picks that have not ended yet.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_choice_in_flight(choice: Option<&Choice>, index: usize) -> u32 {
    look(choice, 0, |choice| choice.0.get(index).map_or(0, |candidate| candidate.in_flight))
}

/// What a use of it takes, milliseconds (EWMA); below 0 until one has ended.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_choice_latency_ms(choice: Option<&Choice>, index: usize) -> f64 {
    look(choice, -1.0, |choice| choice.0.get(index).map_or(-1.0, |candidate| candidate.latency_ms))
}

/// Whether this call has asked it already.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_choice_is_tried(choice: Option<&Choice>, index: usize) -> bool {
    look(choice, false, |choice| choice.0.get(index).is_some_and(|candidate| candidate.tried))
}

//! Callbacks into Java: hooks, transports and balancers. They run on the caller's thread.
//!
//! Java catches an exception of a callback and makes it the cause of the exception that ends the call. An
//! `IOException` of a transport is a failed attempt; the call continues.

use plumline::balance::{Balancer, Context};
use plumline::membership::{Candidate, View};
use plumline::{Answer, Bounds, Endpoint, Error, Failure, Headers, Kind, Outgoing, Result, Transport};
use plumline_bindings::failure::error_of;

use crate::boundary::{callback_threw, has_callback_thrown};
use crate::ffi::invoke_callback;
use crate::frame::{Reader, Writer};
use crate::response::headers;

// The numbers are the same in `Callbacks.java`.
const ON_REQUEST: i32 = 0;
const ON_RESPONSE: i32 = 1;
const TRANSPORT: i32 = 2;
/// The balancer of all services; those of single services have the numbers after it.
pub(crate) const BALANCER: i32 = 3;

type Sent = std::result::Result<Answer, Failure>;

/// Runs a callback. An exception ends the call.
fn invoke(which: i32, name: &str, arguments: &Writer) -> Result<Vec<u8>> {
    invoke_callback(which, &arguments.0)?.ok_or_else(|| callback_threw(name))
}

/// The request and the endpoint of an attempt. Java reads them in `OutgoingRequest` and `Endpoint.read`.
fn attempt(outgoing: &Outgoing, endpoint: &Endpoint) -> Writer {
    let mut out = Writer::with_capacity(512);
    out.text(&outgoing.method).text(&outgoing.service).text(&outgoing.path).u32(outgoing.attempt);
    out.u32(outgoing.headers.len() as u32);
    outgoing.headers.iter().for_each(|(name, value)| {
        out.text(name).text(value);
    });
    out.bytes(outgoing.body.as_deref().unwrap_or_default()).endpoint(endpoint);
    out
}

/// `onRequest(request, endpoint)`. Returns the headers that the hook has set.
pub(crate) fn on_request(outgoing: &mut Outgoing, endpoint: &Endpoint) -> Result<()> {
    let answer = invoke(ON_REQUEST, "on_request", &attempt(outgoing, endpoint))?;
    let mut set = Reader(&answer);
    while !set.is_empty() {
        outgoing.set_header(set.text()?, set.text()?)?;
    }
    Ok(())
}

/// `onResponse(request, endpoint, response, error)`.
pub(crate) fn on_response(outgoing: &Outgoing, endpoint: &Endpoint, sent: &Sent) -> Result<()> {
    if has_callback_thrown() {
        return Ok(()); // the call is ending with that exception
    }
    let mut arguments = attempt(outgoing, endpoint);
    match sent {
        Ok(answer) => {
            arguments.u8(0).u16(answer.status);
            headers(&mut arguments, &answer.headers);
            arguments.bytes(&answer.body);
        }
        Err(failure) => {
            arguments.u8(1).error(&error_of(failure, endpoint), false);
        }
    }
    invoke(ON_RESPONSE, "on_response", &arguments).map(drop)
}

/// `send(request, endpoint)`.
pub(crate) struct JavaTransport;

impl Transport for JavaTransport {
    fn send(&self, outgoing: &Outgoing, endpoint: &Endpoint, _: &Bounds<'_>) -> Sent {
        let answer = invoke(TRANSPORT, "the transport", &attempt(outgoing, endpoint));
        answer.map_err(Failure::Interrupted).and_then(|answer| read_sent(&answer))
    }
}

fn read_sent(answer: &[u8]) -> Sent {
    let mut answer = Reader(answer);
    let text = |answer: &mut Reader<'_>| answer.text().map(str::to_owned).map_err(Failure::Interrupted);
    match answer.u8().map_err(Failure::Interrupted)? {
        0 => read_answer(&mut answer).map_err(Failure::Interrupted),
        1 => Err(Failure::Refused(text(&mut answer)?)),
        2 => Err(Failure::Reset(text(&mut answer)?)),
        3 => Err(Failure::Timeout),
        tag => Err(Failure::Interrupted(Error::new(
            Kind::Internal,
            format!("unknown tag {tag} in the result of a transport"),
        ))),
    }
}

fn read_answer(answer: &mut Reader<'_>) -> Result<Answer> {
    let status = answer.u16()?;
    let mut headers = Headers::default();
    for _ in 0..answer.u32()? {
        headers.push(answer.text()?, answer.bytes()?);
    }
    Ok(Answer::new(status, headers, answer.bytes()?))
}

/// `choose(endpoints, choice)`, with the number of the balancer.
pub(crate) struct JavaBalancer(pub(crate) i32);

impl Balancer for JavaBalancer {
    fn choose(&self, view: &View, context: &mut Context<'_>) -> Option<usize> {
        if has_callback_thrown() {
            return None;
        }
        let arguments = choice(view, context);
        let chosen = invoke(self.0, "the balancer", &arguments).and_then(|answer| Reader(&answer).u32());
        match chosen.ok()?.cast_signed() {
            -1 => None,
            // The core rejects an index out of range.
            index => Some(usize::try_from(index).unwrap_or(usize::MAX)),
        }
    }
}

/// Each endpoint with its figures. Java reads them in `Callbacks.choose`.
fn choice(view: &View, context: &Context<'_>) -> Writer {
    let slots = view.candidates();
    let mut out = Writer::with_capacity(256 * slots.len());
    out.u32(slots.len() as u32);
    for (index, slot) in slots.iter().enumerate() {
        out.endpoint(&slot.member.endpoint).u32(Candidate::in_flight(slot));
        out.u64(slot.latency().map_or(u64::MAX, |latency| latency.as_nanos() as u64));
        out.u8(u8::from(context.has_tried(view, index)));
    }
    out
}

//! The user's own Java code inside a call: hooks, transport stubs, balancers. Always on the caller's thread.
//!
//! Java catches what it raises, and makes it the cause of the exception that ends the call. A transport that raises
//! an `IOException` tells of an attempt that failed, and the call goes on around it.

use plumline::balance::{Balancer, Context};
use plumline::membership::{Candidate, View};
use plumline::{Answer, Bounds, Endpoint, Error, Failure, Headers, Kind, Outgoing, Result, Transport};
use plumline_bindings::failure::error_of;

use crate::boundary::{has_raised, raised};
use crate::ffi::ask;
use crate::frame::{Reader, Writer};
use crate::response::headers;

const ON_REQUEST: i32 = 0;
const ON_RESPONSE: i32 = 1;
const TRANSPORT: i32 = 2;
/// The balancer of everybody; those of single services follow.
pub(crate) const BALANCER: i32 = 3;

type Sent = std::result::Result<Answer, Failure>;

/// Asks Java; what it raises ends the call.
fn answer_to(what: i32, name: &str, question: &Writer) -> Result<Vec<u8>> {
    ask(what, &question.0)?.ok_or_else(|| raised(name))
}

/// One attempt's request and whom it goes to. Java reads it in `OutgoingRequest`.
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

/// `onRequest(request, endpoint)`: what comes back are the headers it has set.
pub(crate) fn on_request(outgoing: &mut Outgoing, endpoint: &Endpoint) -> Result<()> {
    let answer = answer_to(ON_REQUEST, "on_request", &attempt(outgoing, endpoint))?;
    let mut set = Reader(&answer);
    while !set.is_empty() {
        outgoing.set_header(set.text()?, set.text()?)?;
    }
    Ok(())
}

/// `onResponse(request, endpoint, response, error)`.
pub(crate) fn on_response(outgoing: &Outgoing, endpoint: &Endpoint, sent: &Sent) -> Result<()> {
    if has_raised() {
        return Ok(()); // the call is over; what ended it is about to come out
    }
    let mut question = attempt(outgoing, endpoint);
    match sent {
        Ok(answer) => {
            question.u8(0).u16(answer.status);
            headers(&mut question, &answer.headers);
            question.bytes(&answer.body);
        }
        Err(failure) => {
            question.u8(1).error(&error_of(failure, endpoint), false);
        }
    }
    answer_to(ON_RESPONSE, "on_response", &question).map(drop)
}

/// `send(request, endpoint)`.
pub(crate) struct Stub;

impl Transport for Stub {
    fn send(&self, outgoing: &Outgoing, endpoint: &Endpoint, _: &Bounds<'_>) -> Sent {
        let answer = answer_to(TRANSPORT, "the transport", &attempt(outgoing, endpoint));
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
        tag => Err(Failure::Interrupted(Error::new(Kind::Internal, format!("an answer with tag {tag}")))),
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

/// `choose(endpoints, choice)`; the number says whose it is.
pub(crate) struct Own(pub(crate) i32);

impl Balancer for Own {
    fn choose(&self, view: &View, context: &mut Context<'_>) -> Option<usize> {
        if has_raised() {
            return None;
        }
        let question = choice(view, context);
        let chosen = answer_to(self.0, "the balancer", &question).and_then(|answer| Reader(&answer).u32());
        match chosen.ok()?.cast_signed() {
            -1 => None,
            // One that is out of range is refused by number.
            index => Some(usize::try_from(index).unwrap_or(usize::MAX)),
        }
    }
}

/// Each endpoint with its figures. Java reads it in `Choice`.
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

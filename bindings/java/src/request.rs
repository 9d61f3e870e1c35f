//! Decodes requests and queries of Java: method, service and path, then a tag and a value for each setting.

use std::time::Duration;

use plumline::{Error, Kind, Query, Request, Result};
use plumline_bindings::method;

use crate::frame::Reader;

/// Reads a request. Java writes it in `PlumRequest`.
pub(crate) fn read(frame: &[u8]) -> Result<Request> {
    let mut frame = Reader(frame);
    let (method, service, path) = (method::named(frame.text()?), frame.text()?, frame.text()?);
    let mut request = Request::new(method, service, path);
    while !frame.is_empty() {
        request = match frame.u8()? {
            1 => request.param(frame.text()?, frame.text()?),
            2 => request.header(frame.text()?, frame.text()?),
            3 => request.body(frame.bytes()?),
            4 => request.json_bytes(frame.bytes()?.to_vec()),
            5 => request.form(fields(&mut frame)?),
            6 => request.timeout(Duration::from_nanos(frame.u64()?)),
            7 => request.attempt_timeout(Duration::from_nanos(frame.u64()?)),
            8 => request.attempts(frame.u32()?),
            9 => request.idempotent(frame.u8()? != 0),
            10 => request.max_body(frame.u64()?),
            11 => request.version(frame.text()?),
            12 => request.label(frame.text()?, frame.text()?),
            tag => return Err(Error::new(Kind::Internal, format!("unknown tag {tag} in a request"))),
        };
    }
    Ok(request)
}

/// A count, then each name and value.
fn fields<'a>(frame: &mut Reader<'a>) -> Result<Vec<(&'a str, &'a str)>> {
    (0..frame.u32()?).map(|_| Ok((frame.text()?, frame.text()?))).collect()
}

/// Reads a query. Java writes it in `Query`.
pub(crate) fn query(frame: &[u8]) -> Result<Query> {
    let mut frame = Reader(frame);
    let mut query = Query::new(frame.text()?);
    while !frame.is_empty() {
        query = match frame.u8()? {
            1 => query.version(frame.text()?),
            2 => query.protocol(frame.text()?),
            3 => query.label(frame.text()?, frame.text()?),
            tag => return Err(Error::new(Kind::Internal, format!("unknown tag {tag} in a query"))),
        };
    }
    Ok(query)
}

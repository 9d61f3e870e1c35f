//! Encodes a response for Java as one array. Java decodes each part when the program reads it.
//!
//! ```text
//!  status attempts elapsed | offsets: endpoint trace body | headers | endpoint | trace | body
//! ```

use jni::objects::JByteArray;
use plumline::{Headers, Response, Result};

use crate::endpoint::EndpointCache;
use crate::ffi::Java;
use crate::frame::Writer;

/// The length of the part before the headers: u16, u32, u64, and three offsets of u32.
const HEAD: usize = 26;

/// Writes a response. Java reads it in `PlumResponse`.
pub(crate) fn write<'local>(
    java: &Java<'local>,
    cache: &EndpointCache,
    response: &Response,
) -> Result<JByteArray<'local>> {
    let mut out = Writer::with_capacity(1_024);
    out.u16(response.status()).u32(response.attempts()).u64(response.elapsed().as_nanos() as u64);
    out.0.resize(HEAD, 0);
    headers(&mut out, response.headers());
    let endpoint_at = out.0.len() as u32;
    cache.with(response.endpoint(), |record| out.0.extend_from_slice(&record.frame));
    let trace_at = out.0.len() as u32;
    out.trace(response.trace(), Some(response.endpoint()));
    let body_at = out.0.len() as u32;
    for (n, offset) in [endpoint_at, trace_at, body_at].into_iter().enumerate() {
        out.0[14 + 4 * n..18 + 4 * n].copy_from_slice(&offset.to_be_bytes());
    }
    java.array(&[&out.0, response.body()])
}

/// A count, then each name and value.
pub(crate) fn headers(out: &mut Writer, headers: &Headers) {
    out.u32(headers.len() as u32);
    headers.iter().for_each(|(name, value)| {
        out.text(name).bytes(value);
    });
}

//! What a client is made with: configuration as JSON, and what code of the user's there is beside it.

use plumline::{Client, ClientBuilder, Config, Error, Result};
use serde_json::Value;

use crate::frame::Reader;
use crate::hooks;

/// Reads it. Java writes it in `NativeClient.open`.
pub(crate) fn read(frame: &[u8]) -> Result<ClientBuilder> {
    let mut frame = Reader(frame);
    let mut builder = Client::builder();
    if frame.u8()? != 0 {
        builder = builder.on_request(hooks::on_request);
    }
    if frame.u8()? != 0 {
        builder = builder.on_response(hooks::on_response);
    }
    if frame.u8()? != 0 {
        builder = builder.transport(hooks::Stub);
    }
    if frame.u8()? != 0 {
        builder = builder.balancer(hooks::Own(hooks::BALANCER));
    }
    for n in 0..frame.u32()? {
        builder = builder.balancer_for(frame.text()?, hooks::Own(hooks::BALANCER + 1 + n.cast_signed()));
    }
    Ok(builder.config(Config::layered(json(frame.text()?)?)?))
}

/// What Java wrote as JSON.
pub(crate) fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Error::invalid(format!("no JSON: {error}")))
}

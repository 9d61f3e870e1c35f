//! Decodes the settings of a client: the configuration as JSON, and which callbacks there are.

use plumline::{Client, ClientBuilder, Config, Error, Result};
use serde_json::Value;

use crate::frame::Reader;
use crate::hooks;

/// Reads the settings. Java writes them in `PlumClientBuilder.frame`.
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
        builder = builder.transport(hooks::JavaTransport);
    }
    if frame.u8()? != 0 {
        builder = builder.balancer(hooks::JavaBalancer(hooks::BALANCER));
    }
    for n in 0..frame.u32()? {
        builder =
            builder.balancer_for(frame.text()?, hooks::JavaBalancer(hooks::BALANCER + 1 + n.cast_signed()));
    }
    Ok(builder.config(Config::layered(json(frame.text()?)?)?))
}

/// Parses JSON that Java has written.
pub(crate) fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Error::invalid(format!("invalid JSON: {error}")))
}

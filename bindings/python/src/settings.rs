//! What a client is made with: configuration as JSON, and the user's own code beside it.

use plumline::{ClientBuilder, Config};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Value};

use crate::boundary::Fault;
use crate::convert::{self, wrong_type};
use crate::hooks;

/// Callables, as they were passed.
pub(crate) struct UserCode<'py> {
    pub(crate) transport: Option<Bound<'py, PyAny>>,
    /// A callable, or the name of a strategy.
    pub(crate) balancer: Option<Bound<'py, PyAny>>,
    pub(crate) on_request: Option<Bound<'py, PyAny>>,
    pub(crate) on_response: Option<Bound<'py, PyAny>>,
}

impl UserCode<'_> {
    /// Everything that a client is made with.
    pub(crate) fn into_builder(
        self,
        registry: Option<&Bound<'_, PyAny>>,
        config: Option<&Bound<'_, PyDict>>,
    ) -> Result<ClientBuilder, Fault> {
        let mut builder = plumline::Client::builder();
        if let Some(transport) = self.transport {
            builder = builder.transport(hooks::Stub(callable("transport", transport)?));
        }
        if let Some(hook) = self.on_request {
            builder = builder.on_request(hooks::on_request(callable("on_request", hook)?));
        }
        if let Some(hook) = self.on_response {
            builder = builder.on_response(hooks::on_response(callable("on_response", hook)?));
        }
        let (builder, config) = configured(builder, registry, self.balancer, config)?;
        Ok(builder.config(Config::layered(Value::Object(config))?))
    }
}

/// Puts the configuration together; balancers of the user's own are taken out of it, wherever they stand.
fn configured(
    mut builder: ClientBuilder,
    registry: Option<&Bound<'_, PyAny>>,
    balancer: Option<Bound<'_, PyAny>>,
    config: Option<&Bound<'_, PyDict>>,
) -> Result<(ClientBuilder, Map<String, Value>), Fault> {
    let mut all = Map::new();
    let registry = registry.map(|registry| convert::to_json("registry", registry)).transpose()?;
    // An empty address means the environment's, as in every language.
    if let Some(registry) = registry.filter(|registry| registry != "") {
        all.insert("registry".into(), registry);
    }
    match balancer {
        Some(own) if own.is_callable() => builder = builder.balancer(hooks::Own(own.unbind())),
        Some(name) => drop(all.insert("balancer".into(), convert::to_json("balancer", &name)?)),
        None => {}
    }
    let Some(config) = config else { return Ok((builder, all)) };
    for (key, value) in config.iter() {
        let key = convert::text("a keyword", &key)?.to_owned();
        let value = match key.as_str() {
            "services" => {
                let (with_balancers, services) = services(builder, &value)?;
                builder = with_balancers;
                services
            }
            _ => convert::to_json(&key, &value)?,
        };
        all.insert(key, value);
    }
    Ok((builder, all))
}

fn services(
    mut builder: ClientBuilder,
    services: &Bound<'_, PyAny>,
) -> Result<(ClientBuilder, Value), Fault> {
    let mut all = Map::new();
    for (service, settings) in convert::pairs("services", services)? {
        let service = convert::text("a service's name", &service)?;
        let path = format!("services.{service}");
        let mut own = Map::new();
        for (key, value) in convert::pairs(&path, &settings)? {
            let key = convert::text(&path, &key)?;
            if key == "balancer" && value.is_callable() {
                builder = builder.balancer_for(service, hooks::Own(value.unbind()));
            } else {
                own.insert(key.to_owned(), convert::to_json(&format!("{path}.{key}"), &value)?);
            }
        }
        all.insert(service.to_owned(), Value::Object(own));
    }
    Ok((builder, Value::Object(all)))
}

fn callable(name: &str, value: Bound<'_, PyAny>) -> Result<Py<PyAny>, Fault> {
    if value.is_callable() { Ok(value.unbind()) } else { Err(wrong_type(name, "a callable", &value)) }
}

//! What a client is made with: settings, and the user's own code beside them.

use plumline::sync::Mutex;
use plumline::{ClientBuilder, Config, Error, Result};
use serde_json::{Map, Value, json};

use super::boundary::{Kind, boundary, free, look, make, say};
use super::error::ErrorHandle;
use super::hooks::{Callbacks, Code};
use super::input::{grown, need, text};
use super::text::Str;
use crate::settings;

/// What a client is made with. Beneath it lie the environment and the file that `PLUMLINE_CONFIG` names.
/// Any thread may use it. Yours to free, as soon as the client is made.
#[derive(Default)]
pub struct ConfigHandle {
    layer: Mutex<Map<String, Value>>,
    code: Mutex<Option<Code>>,
}

impl ConfigHandle {
    fn layer(&self) -> Map<String, Value> {
        self.layer.lock().clone()
    }

    fn code(&self) -> Option<Code> {
        self.code.lock().clone()
    }

    /// What changes while the client lives: settings only.
    pub(crate) fn changes(&self) -> Result<Value> {
        if self.code().is_some() {
            return Err(Error::invalid("callbacks cannot be changed while the client lives; make a new one"));
        }
        Ok(Value::Object(self.layer()))
    }
}

/// Everything that a client is made with.
pub(crate) fn builder(address: &str, config: Option<&ConfigHandle>) -> Result<ClientBuilder> {
    let mut layer = config.map(ConfigHandle::layer).unwrap_or_default();
    if !address.is_empty() {
        match layer.get_mut("registry") {
            Some(Value::Object(registry)) => drop(registry.insert("addresses".into(), json!([address]))),
            _ => drop(layer.insert("registry".into(), address.into())),
        }
    }
    let builder = plumline::Client::builder().config(Config::layered(Value::Object(layer))?);
    Ok(match config.and_then(ConfigHandle::code) {
        Some(code) => code.into_builder(builder),
        None => builder,
    })
}

/// An empty configuration: everything is as it is by default. Never NULL, short of a defect. Yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_config_new() -> Option<Box<ConfigHandle>> {
    say(None, || Some(Box::default()))
}

/// A configuration from JSON, such as `{"timeout": "2s", "services": {"orders": {"retry": {"attempts": 2}}}}`.
/// Durations are text with a unit, or numbers of seconds. An unknown key, a wrong type or a value out of range is
/// `PLUMLINE_INVALID_ARGUMENT`, naming the key and what would be right. Yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_config_from_json(
    json: Str,
    config: *mut *mut ConfigHandle,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("config", config, error, || {
        let json = text("json", &json)?;
        Config::from_json(json)?;
        let layer =
            serde_json::from_str(json).map_err(|error| Error::invalid(format!("not valid JSON: {error}")))?;
        Ok(ConfigHandle { layer: Mutex::new(layer), code: Mutex::default() })
    })
}

/// The same configuration once more, callbacks included, yours to free: what is set in one is not set in the other.
/// NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_config_clone(config: Option<&ConfigHandle>) -> Option<Box<ConfigHandle>> {
    let copy =
        |of: &ConfigHandle| ConfigHandle { layer: Mutex::new(of.layer()), code: Mutex::new(of.code()) };
    look(config, None, |config| Some(Box::new(copy(config))))
}

/// Sets one value. The key is dotted, such as `retry.attempts`, `headers.X-Team` or `services.orders.timeout`; the
/// value is text, such as `5`, `true`, `800ms` or, for the addresses of several registries, `plum://a:1 plum://b:1`.
/// A duration without a unit is in seconds. An unknown key is refused here, with the one that was probably meant; a
/// wrong value when a client is made, because it may depend on others.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_config_set(
    config: Option<&ConfigHandle>,
    key: Str,
    value: Str,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || {
        let (config, key, value) = (need("config", config)?, text("key", &key)?, text("value", &value)?);
        let mut layer = config.layer.lock();
        settings::set(&mut layer, key, value)
    })
}

/// Gives the client code of your own: hooks, a balancer, a transport. Replaces what was given before. The struct is
/// copied; what its `user_data` leads to must live until the client, and every service handle made of it, is freed.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_config_set_callbacks(
    config: Option<&ConfigHandle>,
    callbacks: *const Callbacks,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || {
        let (config, code) = (need("config", config)?, Code::new(&grown(callbacks)?)?);
        *config.code.lock() = Some(code);
        Ok(())
    })
}

/// Frees a configuration. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_config_free(config: Option<Box<ConfigHandle>>) {
    free(config);
}

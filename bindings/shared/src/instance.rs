//! What a program registers, from the fields that its language passes.

use plumline::{Error, Instance, Result};
use serde_json::{Map, Value};

/// What an instance can say of itself.
pub const FIELDS: [&str; 12] = [
    "service",
    "host",
    "port",
    "protocol",
    "version",
    "labels",
    "weight",
    "zone",
    "tags",
    "ttl",
    "instance_id",
    "healthy",
];

/// An instance with these fields laid over it; null leaves a field as it is. A wrong value is named by its key.
///
/// ```
/// use plumline::Instance;
/// use plumline_bindings::instance::changed;
/// let fields = |json: serde_json::Value| json.as_object().cloned().unwrap();
/// let orders = changed(Instance::new("orders", 8080), fields(serde_json::json!({"weight": 5}))).unwrap();
/// assert_eq!((orders.port, orders.weight), (8080, 5));
/// let wrong = changed(orders, fields(serde_json::json!({"weight": "much"}))).unwrap_err();
/// assert!(wrong.message().starts_with("weight: "));
/// ```
pub fn changed(base: Instance, fields: Map<String, Value>) -> Result<Instance> {
    let mut all = match serde_json::to_value(base) {
        Ok(Value::Object(base)) => base,
        _ => Map::new(),
    };
    all.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
    serde_path_to_error::deserialize(Value::Object(all)).map_err(|error| {
        let (path, why) = (error.path().to_string(), error.inner().to_string());
        Error::invalid(format!("{path}: {why}"))
    })
}

//! Weight, zone and tags as labels, for registries that have no fields for them.

use crate::model::{Endpoint, Instance, Labels};

/// The labels of an instance, extended by the values that registries have no field for.
pub fn encode_labels(instance: &Instance) -> Labels {
    let mut labels = instance.labels.clone();
    let mut add = |name: &str, value: Option<String>| value.map(|value| labels.insert(name.into(), value));
    add("weight", (instance.weight != 1).then(|| instance.weight.to_string()));
    add("zone", (!instance.zone.is_empty()).then(|| instance.zone.clone()));
    add("tags", (!instance.tags.is_empty()).then(|| serde_json::json!(instance.tags).to_string()));
    labels
}

/// Sets weight and zone from the labels of an endpoint. The labels stay.
pub fn decode_labels(endpoint: &mut Endpoint) {
    if let Some(weight) = endpoint.labels.get("weight").and_then(|weight| weight.trim().parse().ok()) {
        endpoint.weight = weight;
    }
    if let Some(zone) = endpoint.labels.get("zone") {
        endpoint.zone.clone_from(zone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_zone_and_tags_are_encoded_as_labels() {
        let instance =
            Instance::new("orders", 80).weight(7).zone("a").tag("x").tag("y, z").label("env", "test");
        let labels = encode_labels(&instance);
        assert_eq!(labels["tags"], r#"["x","y, z"]"#);
        let mut endpoint = Endpoint::new("orders", "10.0.0.7".parse().unwrap(), 80);
        endpoint.labels = labels;
        decode_labels(&mut endpoint);
        assert_eq!((endpoint.weight, endpoint.zone.as_str(), endpoint.labels.len()), (7, "a", 4));
    }
}

//! Which endpoints are meant.

use super::{Endpoint, Labels};

/// Which endpoints are meant: a service, narrowed by version, protocol and labels.
///
/// ```
/// use plumline::Query;
/// let query = Query::new("orders").version("v2").label("region", "eu");
/// assert_eq!(query.to_string(), "\"orders\" version=v2 region=eu");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Query {
    /// The service's name.
    pub service: String,
    /// Only endpoints of this version.
    pub version: Option<String>,
    /// Only endpoints of this protocol.
    pub protocol: Option<String>,
    /// Only endpoints that carry all of these.
    pub labels: Labels,
}

impl Query {
    /// Every endpoint of a service.
    pub fn new(service: impl Into<String>) -> Query {
        Query { service: service.into(), ..Query::default() }
    }

    /// Narrows it to a version.
    pub fn version(mut self, version: impl Into<String>) -> Query {
        self.version = Some(version.into());
        self
    }

    /// Narrows it to a protocol.
    pub fn protocol(mut self, protocol: impl Into<String>) -> Query {
        self.protocol = Some(protocol.into());
        self
    }

    /// Narrows it to endpoints with this label.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Query {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Whether it asks for all of the service.
    pub fn is_unfiltered(&self) -> bool {
        self.version.is_none() && self.protocol.is_none() && self.labels.is_empty()
    }

    /// `None` if the endpoint is meant, else what keeps it out, such as `version v1`.
    pub fn rejects(&self, endpoint: &Endpoint) -> Option<String> {
        let differs = |wanted: &Option<String>, has: &str| wanted.as_deref().is_some_and(|w| w != has);
        if differs(&self.version, &endpoint.version) {
            return Some(format!("version {}", or_none(&endpoint.version)));
        }
        if differs(&self.protocol, &endpoint.protocol) {
            return Some(format!("protocol {}", or_none(&endpoint.protocol)));
        }
        let missing = self.labels.iter().find(|(name, value)| endpoint.labels.get(*name) != Some(*value))?;
        let has = endpoint.labels.get(missing.0).map_or("none", String::as_str);
        Some(format!("label {} {has}", missing.0))
    }

    /// Whether the endpoint is meant.
    pub fn accepts(&self, endpoint: &Endpoint) -> bool {
        self.is_unfiltered() || self.rejects(endpoint).is_none()
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

impl From<&str> for Query {
    fn from(service: &str) -> Query {
        Query::new(service)
    }
}

impl From<String> for Query {
    fn from(service: String) -> Query {
        Query::new(service)
    }
}

impl From<&Query> for Query {
    fn from(query: &Query) -> Query {
        query.clone()
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.service)?;
        self.version.iter().try_for_each(|version| write!(f, " version={version}"))?;
        self.protocol.iter().try_for_each(|protocol| write!(f, " protocol={protocol}"))?;
        self.labels.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        let mut endpoint = Endpoint::new("orders", "127.0.0.1".parse().unwrap(), 80);
        endpoint.version = "v1".into();
        endpoint.labels.insert("env".into(), "test".into());
        endpoint
    }

    #[test]
    fn query_names_the_rejecting_filter() {
        assert_eq!(Query::new("orders").rejects(&endpoint()), None);
        assert_eq!(Query::new("orders").version("v2").rejects(&endpoint()), Some("version v1".into()));
        assert_eq!(
            Query::new("orders").label("env", "x").rejects(&endpoint()),
            Some("label env test".into())
        );
        assert_eq!(Query::new("orders").label("no", "x").rejects(&endpoint()), Some("label no none".into()));
        assert!(Query::new("orders").version("v1").label("env", "test").accepts(&endpoint()));
    }
}

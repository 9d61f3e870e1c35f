//! The nouns: [`Endpoint`], [`Instance`], [`Query`], [`Change`].

mod change;
mod endpoint;
mod instance;
mod query;

use std::collections::BTreeMap;

pub use change::{Change, ChangeKind};
pub use endpoint::{Endpoint, EndpointKey};
pub use instance::{Instance, default_instance_id};
pub use query::Query;

/// Free-form pairs carried by instances and endpoints.
pub type Labels = BTreeMap<String, String>;

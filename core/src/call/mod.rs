//! One call: a request, a plan for it, and the loop that carries the plan out.

mod request;
mod response;

pub use request::{CallOptions, Request};
pub use response::Response;

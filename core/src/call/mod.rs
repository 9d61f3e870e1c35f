//! One call: a request, its plan, and the loop that executes the plan.
//!
//! ```text
//!  request.rs ──► plan.rs (pure) ⇄ policies.rs (balance, resilience)
//!                    │   ▲
//!            Attempt │   │ Ended
//!                    ▼   │
//!                 blocking.rs ── outgoing.rs, hooks.rs ──► transport ──► response.rs
//!                        └────── report.rs ──► outcomes for the policies
//! ```

mod blocking;
mod draw_cache;
mod hooks;
mod outgoing;
mod plan;
mod policies;
mod report;
mod request;
mod response;

pub(crate) use blocking::Call;
pub(crate) use draw_cache::with_draw;
pub use hooks::{Bounds, Hooks, Outgoing, Transport};
pub(crate) use policies::Policies;
pub(crate) use report::{EndpointMonitor, Reporter, connect_probe, reconnect_probe};
pub(crate) use request::check_service;
pub use request::{CallOptions, Request};
pub use response::Response;

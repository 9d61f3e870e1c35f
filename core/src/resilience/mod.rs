//! Surviving what fails: whom to stop asking, when to ask again, how often, how long to wait in between.
//!
//! ```text
//!  outcome.rs      what an attempt came to, in words that all the others share
//!  repeat.rs       may this be done again at all?
//!  budget.rs       may this client afford it?          } trying again
//!  backoff.rs      how long to wait first?
//!  retry_after.rs  what the server asked for
//!  outlier.rs      this endpoint fails: take it out    } trusting an endpoint
//!  probe.rs        is it back?
//!  stall.rs        it hangs: avoid it before anything times out
//! ```
//!
//! All of it is pure: the time and the random numbers come in as arguments, nothing sleeps, nothing does I/O.

mod backoff;
mod budget;
mod outcome;
mod outlier;
mod probe;
mod repeat;
mod retry_after;
mod stall;

pub use backoff::Backoff;
pub use budget::Budget;
pub use outcome::Outcome;
pub use outlier::{Outlier, OutlierDecision};
pub use probe::Probe;
pub use repeat::{is_safe, may_repeat};
pub use retry_after::parse_retry_after;

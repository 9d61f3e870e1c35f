//! Whom to ask next. One file per strategy, all of the same shape; a user may bring another.
//!
//! A strategy looks at a [`View`] and names an index. It may read the cells of the endpoints, which reports
//! keep up to date ([`ewma`]); it keeps nothing itself: the random numbers and the counter of the calling
//! thread come with the [`Context`], so choosing takes no lock and no allocation.

mod draw;
pub mod ewma;
mod p2c_ewma;
mod random;
mod round_robin;

use std::sync::Arc;

use crate::clock::Tick;
use crate::config::Strategy;
use crate::membership::{EndpointState, View};

pub use draw::Draw;
pub use p2c_ewma::P2cEwma;
pub use random::Random;
pub use round_robin::RoundRobin;

/// A way to choose among endpoints.
///
/// ```
/// use plumline::balance::{Balancer, Context};
/// use plumline::membership::View;
///
/// /// The endpoint with the fewest calls in flight.
/// struct LeastBusy;
///
/// impl Balancer for LeastBusy {
///     fn choose(&self, view: &View, _: &mut Context<'_>) -> Option<usize> {
///         (0..view.len()).min_by_key(|index| view.candidates()[*index].in_flight())
///     }
/// }
/// ```
pub trait Balancer: Send + Sync {
    /// An index into [`view.candidates()`](View::candidates); `None` where it wants none of them. An index that is out
    /// of range is the caller's to refuse: it ends the call with an error, never with a panic.
    ///
    /// The built-in strategies give `None` only for an empty view. They return an endpoint this call has
    /// already tried, or a suspect one, only where there is no other.
    fn choose(&self, view: &View, context: &mut Context<'_>) -> Option<usize>;
}

/// What a choice may depend on beside the endpoints.
#[derive(Debug)]
pub struct Context<'a> {
    /// The present.
    pub now: Tick,
    /// Random numbers and the turn counter of this thread for this selection.
    pub draw: &'a mut Draw,
    /// The endpoints that this call has tried already, each by its cells.
    pub tried: &'a [Arc<EndpointState>],
}

impl Context<'_> {
    /// Whether this call has tried the endpoint at this index.
    #[inline]
    pub fn has_tried(&self, view: &View, index: usize) -> bool {
        !self.tried.is_empty() && {
            let state = &view.candidates()[index].member.state;
            self.tried.iter().any(|tried| Arc::ptr_eq(tried, state))
        }
    }
}

/// The strategy that goes by this name in the configuration.
pub fn of(strategy: Strategy) -> Arc<dyn Balancer> {
    match strategy {
        Strategy::P2cEwma => Arc::new(P2cEwma),
        Strategy::RoundRobin => Arc::new(RoundRobin),
        Strategy::Random => Arc::new(Random),
    }
}

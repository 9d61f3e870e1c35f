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
use crate::error::{Error, Result};
use crate::snapshot::{State, View};

pub use draw::Draw;
pub use p2c_ewma::P2cEwma;
pub use random::Random;
pub use round_robin::RoundRobin;

/// A way to choose among endpoints.
///
/// ```
/// use plumline::balance::{Balancer, Context};
/// use plumline::snapshot::View;
///
/// /// The endpoint with the fewest calls in flight.
/// struct LeastBusy;
///
/// impl Balancer for LeastBusy {
///     fn choose(&self, view: &View, _: &mut Context<'_>) -> Option<usize> {
///         (0..view.len()).min_by_key(|index| view.slots()[*index].in_flight())
///     }
/// }
/// ```
pub trait Balancer: Send + Sync {
    /// An index into [`view.slots()`](View::slots); `None` where it wants none of them. An index that is out
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
    pub tried: &'a [Arc<State>],
}

impl Context<'_> {
    /// Whether this call has tried the endpoint at this index.
    #[inline]
    pub fn has_tried(&self, view: &View, index: usize) -> bool {
        !self.tried.is_empty() && {
            let state = &view.slots()[index].member.state;
            self.tried.iter().any(|tried| Arc::ptr_eq(tried, state))
        }
    }
}

/// The strategies that have a name.
pub const NAMES: [&str; 3] = ["p2c_ewma", "round_robin", "random"];

/// The strategy of this name.
pub fn by_name(name: &str) -> Result<Arc<dyn Balancer>> {
    match name {
        "p2c_ewma" => Ok(Arc::new(P2cEwma)),
        "round_robin" => Ok(Arc::new(RoundRobin)),
        "random" => Ok(Arc::new(Random)),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    let nearest = NAMES.into_iter().map(|known| (distance(name, known), known)).min();
    let hint = match nearest {
        Some((distance, known)) if distance <= known.len() / 3 => format!("; did you mean {known:?}?"),
        _ => String::new(),
    };
    Error::invalid(format!("there is no balancer {name:?}{hint} (known: {})", NAMES.join(", ")))
}

/// How many letters must be inserted, dropped or exchanged to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for column in 0..other.len() {
            let exchanged = diagonal + usize::from(letter != other[column]);
            diagonal = row[column + 1];
            row[column + 1] = exchanged.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_balancer_names_the_right_one() {
        let message = |name| by_name(name).err().unwrap().to_string();
        assert!(message("p2c-ewma").contains("did you mean \"p2c_ewma\"?"));
        assert!(message("roundrobin").contains("did you mean \"round_robin\"?"));
        assert!(!message("sesquipedalian").contains("did you mean"));
        assert!(NAMES.iter().all(|name| by_name(name).is_ok()));
    }
}

//! `round_robin`: each usable endpoint in turn, weights aside.
//!
//! Every thread counts for itself, from a random start that survives updates of the list: clients started at
//! the same moment do not march in step, and an endpoint that comes and goes shifts nobody's share.

use super::draw::{is_eligible, last_choice};
use super::{Balancer, Context};
use crate::membership::View;

/// Takes the endpoints in turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin;

impl Balancer for RoundRobin {
    fn choose(&self, view: &View, context: &mut Context<'_>) -> Option<usize> {
        // Whoever is passed over has had its turn: its successor does not get two.
        for _ in 0..view.len() {
            let index = (context.draw.turn() % view.len() as u64) as usize;
            if is_eligible(view, context, index) {
                return Some(index);
            }
        }
        last_choice(view, context)
    }
}

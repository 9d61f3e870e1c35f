//! `random`: in proportion to weight, whatever the endpoints are doing.

use super::draw::{eligible, last_choice};
use super::{Balancer, Context};
use crate::membership::View;

/// Draws an endpoint in proportion to its weight.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Balancer for Random {
    fn choose(&self, view: &View, context: &mut Context<'_>) -> Option<usize> {
        if view.is_empty() {
            return None;
        }
        eligible(view, context, None).or_else(|| last_choice(view, context))
    }
}

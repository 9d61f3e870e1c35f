//! The policies of one service, made from its settings.

use std::sync::Arc;

use crate::balance::{self, Balancer, Context};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::membership::View;
use crate::resilience::{Backoff, Budget, Outlier};

/// How one service is called.
pub(crate) struct Policies {
    pub(crate) settings: Settings,
    pub(crate) balancer: Arc<dyn Balancer>,
    pub(crate) backoff: Backoff,
    pub(crate) budget: Budget,
    pub(crate) outlier: Outlier,
}

impl Policies {
    /// The policies that these settings describe; a balancer of the user's own takes the place of a named one.
    pub(crate) fn new(settings: Settings, own_balancer: Option<Arc<dyn Balancer>>) -> Policies {
        Policies {
            balancer: own_balancer.unwrap_or_else(|| balance::of(settings.balancer)),
            backoff: Backoff::from(&settings.retry),
            budget: Budget::from(&settings.retry),
            outlier: Outlier::new(&settings.outlier),
            settings,
        }
    }

    /// The balancer's choice; a user's own may be wrong about how many there are.
    pub(crate) fn choose(&self, view: &View, context: &mut Context<'_>) -> Result<usize> {
        match self.balancer.choose(view, context) {
            Some(index) if index < view.len() => Ok(index),
            Some(index) => Err(Error::invalid(format!(
                "the balancer chose number {index} of {} endpoints, counted from 0",
                view.len()
            ))),
            None => Err(Error::invalid(format!("the balancer chose none of {} endpoints", view.len()))),
        }
    }
}

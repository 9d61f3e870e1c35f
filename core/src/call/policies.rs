//! The policies of one service, built from its settings.

use std::sync::Arc;

use crate::balance::{self, Balancer, Context};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::membership::View;
use crate::resilience::{Backoff, Budget, Outlier};

/// The balancer, backoff, retry budget and ejection rules of one service.
pub(crate) struct Policies {
    pub(crate) settings: Settings,
    pub(crate) balancer: Arc<dyn Balancer>,
    pub(crate) backoff: Backoff,
    pub(crate) budget: Budget,
    pub(crate) outlier: Outlier,
}

impl Policies {
    /// Builds the policies of these settings; a user's balancer replaces the configured one.
    pub(crate) fn new(settings: Settings, own_balancer: Option<Arc<dyn Balancer>>) -> Policies {
        Policies {
            balancer: own_balancer.unwrap_or_else(|| balance::of(settings.balancer)),
            backoff: Backoff::from(&settings.retry),
            budget: Budget::from(&settings.retry),
            outlier: Outlier::new(&settings.outlier),
            settings,
        }
    }

    /// Asks the balancer for an index and checks it.
    pub(crate) fn choose(&self, view: &View, context: &mut Context<'_>) -> Result<usize> {
        match self.balancer.choose(view, context) {
            Some(index) if index < view.len() => Ok(index),
            Some(index) => Err(Error::invalid(format!(
                "the balancer returned index {index} for {} endpoints; indexes start at 0",
                view.len()
            ))),
            None => Err(Error::invalid(format!("the balancer chose none of {} endpoints", view.len()))),
        }
    }
}

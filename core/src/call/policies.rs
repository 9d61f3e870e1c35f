//! The policies of one service, made from its settings.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::{self, Balancer};
use crate::clock::Tick;
use crate::config::Settings;
use crate::resilience::{Backoff, Budget, Outcome, Outlier};
use crate::snapshot::{Member, Service};

/// How one service is called.
pub(crate) struct Policies {
    pub(crate) settings: Settings,
    pub(crate) balancer: Arc<dyn Balancer>,
    pub(crate) backoff: Backoff,
    pub(crate) budget: Arc<Budget>,
    pub(crate) outlier: Outlier,
}

impl Policies {
    pub(crate) fn new(settings: Settings, own_balancer: Option<Arc<dyn Balancer>>) -> Policies {
        Policies {
            balancer: own_balancer.unwrap_or_else(|| balance::of(settings.balancer)),
            backoff: Backoff::new(&settings.retry),
            budget: Arc::new(Budget::new(&settings.retry)),
            outlier: Outlier::new(&settings.outlier),
            settings,
        }
    }
}

//! The part of a client that survives a fork.
//!
//! [`ForkSafeCore`] holds the configuration and the user's code. [`Core`] belongs to one process. A forked child leaks the
//! inherited core, because it must not use its locks, sockets and threads, and builds a new one on first use.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::closed;
use super::core::Core;
use crate::balance::Balancer;
use crate::call::Hooks;
use crate::config::Config;
use crate::error::Result;
use crate::interrupt::{Closing, Interrupt};
use crate::runtime;

/// The hooks and balancers of the user.
#[derive(Clone, Default)]
pub(super) struct UserCode {
    pub(super) hooks: Hooks,
    pub(super) balancers: HashMap<Option<String>, Arc<dyn Balancer>>,
}

/// The part of a client that survives a fork.
pub(super) struct ForkSafeCore {
    config: Arc<ArcSwap<Config>>,
    user_code: UserCode,
    closing: Arc<Closing>,
    core: ArcSwap<Core>,
}

impl ForkSafeCore {
    pub(super) fn new(config: Config, user_code: UserCode) -> Result<ForkSafeCore> {
        let closing = Arc::new(Closing::default());
        let config = Arc::new(ArcSwap::from_pointee(config));
        let core = Core::new(config.clone(), &user_code, closing.clone())?;
        Ok(ForkSafeCore { config, user_code, closing, core: ArcSwap::from_pointee(core) })
    }

    /// The core of this process.
    #[inline]
    pub(super) fn core(&self) -> Result<Arc<Core>> {
        if self.closing.is_closed() {
            return Err(closed());
        }
        let core = self.core.load();
        if core.generation() == runtime::generation() {
            return Ok(Arc::clone(&core));
        }
        self.rebuild()
    }

    /// In a forked child, on first use.
    #[cold]
    fn rebuild(&self) -> Result<Arc<Core>> {
        let fresh = Arc::new(Core::new(self.config.clone(), &self.user_code, self.closing.clone())?);
        // The first thread to get here wins. The inherited core is never dropped.
        let before = self.core.rcu(|current| {
            if current.generation() == fresh.generation() { current.clone() } else { fresh.clone() }
        });
        if before.generation() != fresh.generation() {
            std::mem::forget(before);
        }
        Ok(self.core.load_full())
    }

    pub(super) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    pub(super) fn sources(&self) -> String {
        self.core.load().sources.join(", ")
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closing.is_closed()
    }

    pub(super) fn close(&self, drain: Option<Duration>, interrupt: &dyn Interrupt) {
        let core = self.core.load_full();
        if !self.closing.close() || core.generation() != runtime::generation() {
            return;
        }
        let drain = drain.unwrap_or(self.config().registration.drain);
        core.close(drain, interrupt);
    }
}

impl Drop for ForkSafeCore {
    fn drop(&mut self) {
        let core = self.core.load_full();
        if core.generation() == runtime::generation() {
            // Does not wait. Detached registrations go on in the background.
            core.release();
        } else {
            std::mem::forget(core);
        }
    }
}

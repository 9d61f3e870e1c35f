//! The clients of this process that have registered something: an orderly exit closes them.
//!
//! A language's collector deregisters nothing; only closing does, and the exit. Nothing here is ever locked, so
//! that a forked child cannot find it so.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use plumline::Client;
use plumline::interrupt::Interrupt;

static REGISTERED: ArcSwapOption<Vec<Client>> = ArcSwapOption::const_empty();

/// Remembers a client for the exit.
pub fn remember(client: &Client) {
    change(|clients| clients.push(client.clone()));
}

/// Lets go of the clients that were closed by hand.
pub fn forget_closed() {
    if REGISTERED.load().is_some() {
        change(|_| ());
    }
}

/// Deregisters what this process registered, waiting for no drain.
pub fn close_all(interrupt: &dyn Interrupt) {
    let clients = REGISTERED.swap(None);
    clients.iter().flat_map(|clients| clients.iter()).for_each(|client| {
        client.with_interrupt(interrupt).close_draining(Duration::ZERO);
    });
}

/// In the child after a fork: what the parent registered is the parent's.
pub fn forked() {
    std::mem::forget(REGISTERED.swap(None));
}

fn change(with: impl Fn(&mut Vec<Client>)) {
    REGISTERED.rcu(|clients| {
        let open = clients.iter().flat_map(|clients| clients.iter()).filter(|client| !client.is_closed());
        let mut open: Vec<Client> = open.cloned().collect();
        with(&mut open);
        (!open.is_empty()).then(|| Arc::new(open))
    });
}

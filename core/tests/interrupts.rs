//! An interrupt is user code: during a wait it may call Plumline and close the object that is waited for.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use plumline::interrupt::Interrupt;
use plumline::{Client, Config, Endpoint, Instance, Kind, Result};
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);

fn client(settings: serde_json::Value) -> Client {
    let mut config = settings;
    config["registry"] = json!("memory://");
    Client::with_config(Config::from_value(config).unwrap()).unwrap()
}

/// Runs this at each check.
struct Does<F>(F);

impl<F: Fn() + Send + Sync> Interrupt for Does<F> {
    fn check(&self) -> Result<()> {
        (self.0)();
        Ok(())
    }
}

/// The result of a wait on its own thread, so that a hanging wait fails only its test.
fn ended<T: Send + 'static>(wait: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, hear) = channel();
    let thread = std::thread::spawn(move || tell.send(wait()));
    match hear.recv_timeout(SOON) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(RecvTimeoutError::Disconnected) => panic!("{:?}", thread.join().unwrap_err()),
    }
}

#[test]
fn registration_can_be_used_and_closed_during_wait() {
    let plum = client(json!({}));
    // The port is closed, so the registration waits for it.
    let me = Arc::new(plum.register(Instance::new("orders", 1).host("127.0.0.1")).unwrap());
    let asked = me.clone();
    let outcome = ended(move || {
        let asks = Does(|| {
            asked.state();
            asked.last_error();
        });
        asked.with_interrupt(&asks).wait(Duration::from_millis(300))
    });
    let error = outcome.unwrap_err();
    assert!(
        error.kind() == Kind::Timeout && error.message().contains("its port does not answer yet"),
        "{error}"
    );
    let outcome = ended(move || me.with_interrupt(&Does(|| me.close(Duration::ZERO).unwrap())).wait(SOON));
    assert_eq!(outcome.unwrap_err().kind(), Kind::Closed);
}

#[test]
fn watch_can_be_closed_during_wait() {
    let plum = client(json!({}));
    let watch = Arc::new(plum.watch("orders").unwrap());
    let closing = watch.clone();
    let outcome = ended(move || {
        let closes = Does(|| closing.close());
        closing.with_interrupt(&closes).next_within(None)
    });
    assert_eq!(outcome.unwrap_err().kind(), Kind::Closed);
}

#[test]
fn client_can_be_used_and_closed_during_wait() {
    let plum = client(json!({}));
    let user = plum.clone();
    let outcome = ended(move || {
        let endpoint = Endpoint::new("orders", "127.0.0.1".parse().unwrap(), 1);
        let publishes = Does(|| user.publish("orders", vec![endpoint.clone()]).unwrap());
        user.with_interrupt(&publishes).wait_for("orders", SOON)
    });
    outcome.unwrap();
    let outcome = ended(move || {
        let closes = Does(|| plum.close());
        plum.with_interrupt(&closes).wait_for("nobody", SOON)
    });
    assert_eq!(outcome.unwrap_err().kind(), Kind::Closed);
}

//! Retries: their load on the service and their benefit for calls.

use std::sync::Arc;
use std::time::Duration;

use plumline::balance::{Context, Draw};
use plumline::clock::Tick;
use plumline::config::{OutlierConfig, RetryConfig};
use plumline::membership::{EndpointState, Filter, Selection, Service};
use plumline::resilience::{Budget, Outcome, Outlier, may_repeat};

use crate::simulate::{NAMES, by_name, listed, number_of};

const MILLI: Duration = Duration::from_millis(1);

struct Client {
    service: Arc<Service>,
    selection: Arc<Selection>,
    outlier: Outlier,
    budget: Budget,
    draw: Draw,
    now: Tick,
    sent: u32,
}

impl Client {
    fn of(endpoints: usize) -> Client {
        let service = Service::new("orders");
        service.replace((0..endpoints).map(|n| listed(n, 1)).collect());
        let selection = service.selection(&Filter { query: "orders".into(), callable: true });
        Client {
            service,
            selection,
            outlier: Outlier::new(&OutlierConfig::default()),
            budget: Budget::from(&RetryConfig::default()),
            draw: Draw::new(1),
            now: Tick::from_nanos(1_000_000_000),
            sent: 0,
        }
    }

    /// One call with up to three attempts; refused connections are not counted.
    fn call(&mut self, strategy: &str, answer: impl Fn(usize) -> Outcome) -> Outcome {
        let balancer = by_name(strategy);
        self.now = self.now.after(MILLI);
        self.budget.deposit(self.now);
        let (mut tried, mut attempts): (Vec<Arc<EndpointState>>, u32) = (Vec::new(), 0);
        loop {
            let view = self.selection.view();
            let mut context = Context { now: self.now, draw: &mut self.draw, tried: &tried };
            let index = balancer.choose(&view, &mut context).unwrap();
            let member = view.candidates()[index].member.clone();
            let was_tried = tried.iter().any(|state| Arc::ptr_eq(state, &member.state));
            let outcome = answer(number_of(&member.endpoint));
            self.sent += u32::from(!outcome.never_left());
            self.outlier.report(&self.service, &member, outcome, self.now, self.now);
            attempts += u32::from(!outcome.never_left() || was_tried);
            tried.push(member.state);
            let may_go_on = attempts < 3 && may_repeat(true, outcome);
            if !may_go_on || !outcome.never_left() && !self.budget.take(self.now) {
                return outcome;
            }
        }
    }
}

#[test]
fn retries_are_limited_to_a_fifth_plus_10_when_all_fail() {
    for strategy in NAMES {
        let mut client = Client::of(6);
        for calls in 1..=2000 {
            client.call(strategy, |_| Outcome::Status(503));
            assert!(f64::from(client.sent) <= 1.2 * f64::from(calls) + 10.0, "{strategy}: {}", client.sent);
        }
    }
}

#[test]
fn no_safe_call_fails_while_one_of_six_answers() {
    for strategy in NAMES {
        for alive in 0..6 {
            let mut client = Client::of(6);
            let answer = |n| if n == alive { Outcome::Status(200) } else { Outcome::Refused };
            (0..500).for_each(|_| assert_eq!(client.call(strategy, answer), Outcome::Status(200)));
        }
    }
}

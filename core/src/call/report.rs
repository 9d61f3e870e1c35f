//! Reports the outcome of attempts and probes to the policies, and their decisions to the monitor and the log.

use std::net::TcpStream;
use std::time::Duration;

use crate::balance::ewma;
use crate::clock::{self, Tick};
use crate::membership::{EndpointState, Member, Service, View};
use crate::resilience::{Outcome, Outlier, OutlierDecision, Probe};
use crate::telemetry::{Count, Counters};

/// The most reconnects in a row. An endpoint that may not be ejected is not probed for ever.
const MAX_RECONNECTS: u32 = 8;

/// Acts on endpoints in the background, beyond a single call.
pub(crate) trait EndpointMonitor: Sync {
    /// An unconfirmed endpoint has failed.
    fn distrust(&self, member: &Member);
    /// Probes an ejected endpoint in the background.
    fn probe(&self, probe: Probe);
    /// Checks an endpoint that broke or refused a connection, in the background.
    fn look(&self, member: &Member);
}

/// Reports the attempts at one service.
#[derive(Clone, Copy)]
pub(crate) struct Reporter<'a> {
    pub(crate) service: &'a Service,
    pub(crate) outlier: &'a Outlier,
    pub(crate) counters: &'a Counters,
    pub(crate) monitor: &'a dyn EndpointMonitor,
}

/// A call in flight. Dropping it ends the count, even when the user's code panics.
pub(crate) struct InFlight<'a>(&'a EndpointState);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Reporter<'_> {
    /// An attempt starts.
    pub(crate) fn begin<'m>(&self, member: &'m Member, now: Tick) -> InFlight<'m> {
        self.run_due(now);
        member.state.begin(now);
        InFlight(&member.state)
    }

    /// Ends expired ejections and starts the probes that are due.
    #[inline]
    pub(crate) fn run_due(&self, now: Tick) {
        if now < self.service.wake_at() {
            return;
        }
        for probe in self.outlier.look_after(self.service, now) {
            self.counters.add(Count::Probes, 1);
            self.monitor.probe(probe);
        }
    }

    /// An attempt has ended.
    pub(crate) fn report(&self, view: &View, member: &Member, outcome: Outcome, began: Tick, now: Tick) {
        if outcome == Outcome::Neutral {
            return;
        }
        if outcome.is_failure() {
            member.state.count_failure();
        }
        ewma::observe(view, &member.state, now.since(began), !outcome.is_failure(), now);
        let verdict = self.outlier.report(self.service, member, outcome, began, now);
        note(self.service, self.counters, member, verdict, now);
        let failed = outcome.is_unreachable() || verdict != OutlierDecision::Unchanged;
        if member.unconfirmed && failed {
            self.monitor.distrust(member);
        }
        let broke = matches!(outcome, Outcome::Refused | Outcome::Reset);
        if broke && self.outlier.is_enabled() && !member.state.is_ejected() && member.state.begin_look() {
            self.monitor.look(member);
        }
    }

    /// A probe made by a call has ended.
    pub(crate) fn probed(&self, view: &View, probe: &Probe, outcome: Outcome, began: Tick, now: Tick) {
        self.counters.add(Count::Probes, 1);
        if outcome.is_success() {
            ewma::observe(view, &probe.member.state, now.since(began), true, now);
        }
        conclude_probe(self.outlier, self.service, probe, outcome, now);
    }
}

/// Reconnects to an endpoint that broke or refused a connection. Each refused reconnect counts as a connect error, so that
/// a killed process is ejected within milliseconds even at a low call rate.
pub(crate) fn reconnect_probe(
    outlier: &Outlier,
    service: &Service,
    counters: &Counters,
    member: &Member,
    timeout: Duration,
) {
    let address = member.endpoint.socket_addr();
    for _ in 0..MAX_RECONNECTS {
        let began = clock::now();
        if member.state.is_ejected() || TcpStream::connect_timeout(&address, timeout).is_ok() {
            break;
        }
        let now = clock::now();
        let verdict = outlier.report(service, member, Outcome::Refused, began, now);
        note(service, counters, member, verdict, now);
    }
    member.state.end_look();
}

/// Counts and logs an ejection.
fn note(service: &Service, counters: &Counters, member: &Member, verdict: OutlierDecision, now: Tick) {
    let OutlierDecision::Ejected(ejection) = verdict else { return };
    counters.add(Count::Ejections, 1);
    let (service, endpoint) = (service.name(), member.endpoint.address());
    let until = ejection.until.since(now);
    tracing::warn!(service, endpoint, cause = ejection.cause.in_words(), ?until, "endpoint ejected");
}

/// Runs a background probe: does the endpoint accept a connection? An endpoint of a stub transport always does.
pub(crate) fn connect_probe(outlier: &Outlier, service: &Service, probe: &Probe, is_stub: bool) {
    let address = probe.member.endpoint.socket_addr();
    let answers = is_stub || TcpStream::connect_timeout(&address, probe.timeout).is_ok();
    let outcome = if answers { Outcome::Reported(true) } else { Outcome::Refused };
    conclude_probe(outlier, service, probe, outcome, clock::now());
}

fn conclude_probe(outlier: &Outlier, service: &Service, probe: &Probe, outcome: Outcome, now: Tick) {
    if outlier.probed(service, probe, outcome, now) {
        let (service, endpoint) = (service.name(), probe.member.endpoint.address());
        tracing::info!(service, endpoint, "endpoint is back");
    }
}

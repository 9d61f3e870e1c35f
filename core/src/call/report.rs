//! Telling the policies what came of an attempt, and those who care what the policies made of it.

use crate::balance::ewma;
use crate::clock::{self, Tick};
use crate::resilience::{Outcome, Outlier, Probe, Verdict};
use crate::snapshot::{Member, Service, State, View};
use crate::telemetry::{Count, Counters};

/// Who looks after endpoints beyond a single call.
pub(crate) trait Keeper: Sync {
    /// An endpoint that its registry no longer vouches for has failed.
    fn distrust(&self, member: &Member);
    /// An ejected endpoint should be connected to, in the background.
    fn probe(&self, probe: Probe);
}

/// Reports on the attempts at one service.
#[derive(Clone, Copy)]
pub(crate) struct Reporter<'a> {
    pub(crate) service: &'a Service,
    pub(crate) outlier: &'a Outlier,
    pub(crate) counters: &'a Counters,
    pub(crate) keeper: &'a dyn Keeper,
}

/// A call in flight; ends when dropped, even by a panic in a user's code.
pub(crate) struct InFlight<'a>(&'a State);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Reporter<'_> {
    /// An attempt sets out.
    pub(crate) fn begin<'m>(&self, member: &'m Member, now: Tick) -> InFlight<'m> {
        self.look_after(now);
        member.state.begin(now);
        InFlight(&member.state)
    }

    /// Ends the ejections whose time is up, and sends out the probes that are due.
    #[inline]
    pub(crate) fn look_after(&self, now: Tick) {
        if now < self.service.wake_at() {
            return;
        }
        for probe in self.outlier.look_after(self.service, now) {
            self.counters.add(Count::Probes, 1);
            self.keeper.probe(probe);
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
        if let Verdict::Ejected(ejection) = verdict {
            self.counters.add(Count::Ejections, 1);
            let (service, endpoint) = (self.service.name(), member.endpoint.address());
            let until = ejection.until.since(now);
            tracing::warn!(service, endpoint, cause = ejection.cause.in_words(), ?until, "endpoint ejected");
        }
        let failed = outcome.is_unreachable() || verdict != Verdict::Unchanged;
        if member.unconfirmed && failed {
            self.keeper.distrust(member);
        }
    }

    /// A probe by a call has ended.
    pub(crate) fn probed(&self, probe: &Probe, outcome: Outcome, now: Tick) {
        self.counters.add(Count::Probes, 1);
        conclude_probe(self.outlier, self.service, probe, outcome, now);
    }
}

/// Carries a background probe out: whether the endpoint takes a connection.
pub(crate) fn connect_probe(outlier: &Outlier, service: &Service, probe: &Probe) {
    let address = probe.member.endpoint.socket_addr();
    let outcome = match std::net::TcpStream::connect_timeout(&address, probe.timeout) {
        Ok(_) => Outcome::Reported(true),
        Err(_) => Outcome::Refused,
    };
    conclude_probe(outlier, service, probe, outcome, clock::now());
}

fn conclude_probe(outlier: &Outlier, service: &Service, probe: &Probe, outcome: Outcome, now: Tick) {
    if outlier.probed(service, probe, outcome, now) {
        let (service, endpoint) = (service.name(), probe.member.endpoint.address());
        tracing::info!(service, endpoint, "endpoint is back");
    }
}

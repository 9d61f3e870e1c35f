//! What reports teach about an endpoint, and what picks make of it later.
//!
//! *Latency* rises at once and falls slowly: a sample above the average replaces it, one below pulls it down
//! with a time constant of one second. *Success* moves a tenth of the way with each outcome. Neither changes
//! by itself: whoever reads one sees it drift back over ten seconds (latency towards the mean of its peers
//! where it is above, success towards 1), so that an endpoint nobody asks any more is asked again some day.
//!
//! A failure may be quick. It must not look fast: its sample is never below what was known.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::clock::Tick;
use crate::membership::{EndpointState, View};

const FALL: f64 = 1e9;
const FORGET: f64 = 10e9;
const SUCCESS_WEIGHT: f64 = 0.1;
/// The mean of all is worked out anew no more often than this.
const MEAN_EVERY: u64 = 10_000_000;

/// The latency to reckon with now, nanoseconds; `None` where none was ever seen. `mean` is that of the known
/// endpoints, 0 while there are none.
#[inline]
pub fn latency(state: &EndpointState, mean: f64, now: Tick) -> Option<f64> {
    let (own, at) = state.latency.get()?;
    let target = if mean > 0.0 { own.min(mean) } else { own };
    Some(target + (own - target) * decay(now.since(at), FORGET))
}

/// The success to reckon with now, 0 to 1.
#[inline]
pub fn success(state: &EndpointState, now: Tick) -> f64 {
    match state.success.get() {
        Some((own, at)) if own < 1.0 => 1.0 - (1.0 - own) * decay(now.since(at), FORGET),
        _ => 1.0,
    }
}

/// An attempt took this long and went well or not. Called for every strategy, so that `explain` and a change
/// of strategy find the figures.
pub fn observe(view: &View, state: &EndpointState, elapsed: Duration, well: bool, now: Tick) {
    observe_latency(view, state, elapsed, well, now);
    let sample = f64::from(u8::from(well));
    let before = if well { success(state, now) } else { stored_success(state) };
    state.success.set(before + (sample - before) * SUCCESS_WEIGHT, now);
    refresh_mean(view, now);
}

/// A failure starts from what the last outcome left, a success from what picks believe by now. Were both to
/// start from there, an endpoint that always fails, but is seldom asked, would be forgiven each time; were
/// neither, the first success of a healed one would put it back to where its last failure left it.
fn stored_success(state: &EndpointState) -> f64 {
    state.success.get().map_or(1.0, |(own, _)| own)
}

fn observe_latency(view: &View, state: &EndpointState, elapsed: Duration, well: bool, now: Tick) {
    let elapsed = elapsed.as_nanos() as f64;
    let Some((own, at)) = state.latency.get() else {
        let mean = view.mean.latency.get();
        let sample = if well { elapsed } else { elapsed.max(mean) };
        if well || mean > 0.0 {
            state.latency.set(sample, now);
            enter_mean(view, sample);
        }
        return;
    };
    let sample = if well { elapsed } else { elapsed.max(own) };
    let value =
        if sample >= own { sample } else { own + (sample - own) * (1.0 - decay(now.since(at), FALL)) };
    state.latency.set(value, now);
}

/// One more endpoint is known: it counts at once, without a walk over all of them.
fn enter_mean(view: &View, sample: f64) {
    let mean = &view.mean;
    let known = f64::from(mean.known.fetch_add(1, Relaxed));
    let before = mean.latency.get();
    mean.latency.set(before + (sample - before) / (known + 1.0));
}

/// Walks over all endpoints, at most once in a while and by one reporter at a time.
#[inline]
fn refresh_mean(view: &View, now: Tick) {
    let at = view.mean.at.load(Relaxed);
    if now.nanos() < at.saturating_add(MEAN_EVERY) {
        return;
    }
    if view.mean.at.compare_exchange(at, now.nanos(), Relaxed, Relaxed).is_ok() {
        work_out_mean(view, now);
    }
}

#[cold]
fn work_out_mean(view: &View, now: Tick) {
    let mean = view.mean.latency.get();
    let known = view.candidates().iter().filter_map(|slot| latency(&slot.member.state, mean, now));
    let (sum, count) = known.fold((0.0, 0u32), |(sum, count), own| (sum + own, count + 1));
    if count > 0 {
        view.mean.latency.set(sum / f64::from(count));
    }
    view.mean.known.store(count, Relaxed);
}

/// e^(−elapsed/constant). Between two calls the exponent is nearly always tiny, and three terms of the series
/// are then exact to a millionth.
#[inline]
fn decay(elapsed: Duration, constant: f64) -> f64 {
    let exponent = elapsed.as_nanos() as u64 as f64 / constant;
    if exponent < 0.02 {
        return 1.0 - exponent * (1.0 - exponent * (0.5 - exponent / 6.0));
    }
    (-exponent).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::Selection;
    use crate::membership::{Filter, ListedEndpoint, Service};
    use crate::model::{Endpoint, Query};
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use std::sync::Arc;

    const MILLI: Duration = Duration::from_millis(1);

    fn at(millis: u32) -> Tick {
        Tick::from_nanos(1).after(MILLI * millis)
    }

    fn pair() -> (Arc<Selection>, Arc<EndpointState>, Arc<EndpointState>) {
        let service = Service::new("orders");
        let listed = |port| ListedEndpoint {
            endpoint: Arc::new(Endpoint::new("orders", "127.0.0.1".parse().unwrap(), port)),
            unconfirmed: false,
        };
        service.replace(vec![listed(1), listed(2)]);
        let state = |index: usize| service.snapshot().members[index].state.clone();
        let filter = Filter { query: Query::new("orders"), callable: true };
        (service.selection(&filter), state(0), state(1))
    }

    #[test]
    fn latency_rises_at_once_and_falls_slowly() {
        let (selection, state, _) = pair();
        let millis = || state.latency.get().unwrap().0 / 1e6;
        observe(&selection.view(), &state, MILLI * 10, true, at(0));
        observe(&selection.view(), &state, MILLI * 50, true, at(10));
        assert_eq!(millis(), 50.0);
        observe(&selection.view(), &state, MILLI * 10, true, at(20));
        assert!((49.5..49.7).contains(&millis()), "{}", millis());
        observe(&selection.view(), &state, MILLI * 10, true, at(1020));
        assert!((24.0..25.0).contains(&millis()), "{}", millis());
    }

    #[test]
    fn fast_failure_does_not_lower_latency() {
        let (selection, state, other) = pair();
        observe(&selection.view(), &state, MILLI / 10, false, at(0));
        assert_eq!(state.latency.get(), None, "nobody knows yet what is usual here");
        observe(&selection.view(), &other, MILLI * 20, true, at(0));
        observe(&selection.view(), &state, MILLI / 10, false, at(1));
        assert_eq!(state.latency.get().unwrap().0, 20e6);
        observe(&selection.view(), &state, MILLI * 30, false, at(2));
        assert_eq!(state.latency.get().unwrap().0, 30e6);
    }

    #[test]
    fn idle_endpoint_drifts_to_the_mean() {
        let (selection, slow, fast) = pair();
        observe(&selection.view(), &fast, MILLI * 10, true, at(0));
        observe(&selection.view(), &slow, MILLI * 90, false, at(0));
        assert_eq!(selection.view().mean.latency.get(), 50e6);
        let drifted = latency(&slow, 50e6, at(10_000)).unwrap();
        assert!((drifted - (50e6 + 40e6 * (-1f64).exp())).abs() < 1e3, "{drifted}");
        assert_eq!(latency(&fast, 50e6, at(10_000)), Some(10e6), "what is better than the mean stays");
        assert!((success(&slow, at(0)) - 0.9).abs() < 1e-9);
        assert!(success(&slow, at(60_000)) > 0.999);
    }

    #[test]
    fn mean_updates_every_10_ms_and_at_once_for_new_endpoints() {
        let (selection, one, other) = pair();
        let mean = || selection.view().mean.latency.get() / 1e6;
        observe(&selection.view(), &one, MILLI * 10, true, at(0));
        assert_eq!(mean(), 10.0);
        observe(&selection.view(), &one, MILLI * 20, true, at(5));
        assert_eq!(mean(), 10.0);
        observe(&selection.view(), &other, MILLI * 40, true, at(6));
        assert_eq!(mean(), 25.0);
        observe(&selection.view(), &one, MILLI * 60, true, at(10));
        assert!((49.9..=50.0).contains(&mean()), "{}", mean());
    }

    #[test]
    fn series_matches_exp() {
        for millis in (0..30_000).step_by(7) {
            let exact = (-f64::from(millis) / 1e4).exp();
            assert!((decay(MILLI * millis, FORGET) - exact).abs() < 1e-8);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn figures_stay_within_what_was_seen(
            reports in prop::collection::vec((1..5000u32, any::<bool>(), 0..3000u32, any::<bool>()), 1..60),
            later in 0..100_000u32,
        ) {
            let (selection, one, other) = pair();
            let (mut now, mut least, mut most) = (0, f64::MAX, 0f64);
            for (elapsed, well, wait, first) in reports {
                now += wait;
                observe(&selection.view(), if first { &one } else { &other }, MILLI * elapsed, well, at(now));
                (least, most) = (least.min(f64::from(elapsed) * 1e6), most.max(f64::from(elapsed) * 1e6));
            }
            let mean = selection.view().mean.latency.get();
            for state in [one, other] {
                let now = at(now + later);
                prop_assert!((0.0..=1.0).contains(&success(&state, now)));
                if let Some(latency) = latency(&state, mean, now) {
                    prop_assert!(latency >= least * 0.999 && latency <= most * 1.001);
                }
            }
        }
    }
}

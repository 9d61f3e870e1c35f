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
use crate::snapshot::{Selection, State, View};

const FALL: f64 = 1e9;
const FORGET: f64 = 10e9;
const SUCCESS_WEIGHT: f64 = 0.1;
/// The mean of all is worked out anew no more often than this.
const MEAN_EVERY: u64 = 10_000_000;

/// The latency to reckon with now, nanoseconds; `None` where none was ever seen. `mean` is that of the known
/// endpoints, 0 while there are none.
#[inline]
pub fn latency(state: &State, mean: f64, now: Tick) -> Option<f64> {
    let (own, at) = state.latency.get()?;
    if mean <= 0.0 || own <= mean {
        return Some(own);
    }
    Some(mean + (own - mean) * decay(now.since(at), FORGET))
}

/// The success to reckon with now, 0 to 1.
#[inline]
pub fn success(state: &State, now: Tick) -> f64 {
    match state.success.get() {
        Some((own, at)) if own < 1.0 => 1.0 - (1.0 - own) * decay(now.since(at), FORGET),
        _ => 1.0,
    }
}

/// An attempt took this long and went well or not. Called for every strategy, so that `explain` and a change
/// of strategy find the figures.
pub fn observe(selection: &Selection, state: &State, elapsed: Duration, well: bool, now: Tick) {
    let view = selection.view();
    observe_latency(&view, state, elapsed, well, now);
    let sample = f64::from(u8::from(well));
    let before = if well { success(state, now) } else { stored_success(state) };
    state.success.set(before + (sample - before) * SUCCESS_WEIGHT, now);
    refresh_mean(&view, now);
}

/// A failure starts from what the last outcome left, a success from what picks believe by now. Were both to
/// start from there, an endpoint that always fails, but is seldom asked, would be forgiven each time; were
/// neither, the first success of a healed one would put it back to where its last failure left it.
fn stored_success(state: &State) -> f64 {
    state.success.get().map_or(1.0, |(own, _)| own)
}

fn observe_latency(view: &View, state: &State, elapsed: Duration, well: bool, now: Tick) {
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
    let known = view.slots().iter().filter_map(|slot| latency(&slot.member.state, mean, now));
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

//! A stress test of all store operations at once: after any interleaving both indexes of the store agree.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use plumline_wire::body::{EndpointHealth, RegisterRequest};

use super::queries::WatchQuery;
use super::service::Filter;
use super::services::{EndpointKey, Services};
use super::{Journal, Now, RowContent};

const THREADS: u64 = 4;
const STEPS: u64 = 1_000;
const TTL: u64 = 50;

#[test]
fn both_indexes_agree_after_concurrent_operations() {
    let services = Services::new(TTL, Journal::default(), Box::new(|| ()));
    let clock = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for seed in 0..THREADS {
            let (services, clock) = (&services, &clock);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..STEPS {
                    let lease = clock.fetch_add(1, Relaxed);
                    step(services, &mut random, Now { lease, unix: lease as i64 });
                }
            });
        }
    });
    check(&services);
    services.tick(Now { lease: clock.load(Relaxed) + TTL, unix: 0 });
    check(&services);
    for name in services.names() {
        let filter = Filter { version: "", protocol: "" };
        assert_eq!(&services.discover(&name, filter, None)[..], b"[]", "all have expired");
    }
}

fn step(services: &Services, random: &mut fastrand::Rng, now: Now) {
    let (service, instance) = (format!("s-{}", random.u8(..4)), format!("i-{}", random.u8(..8)));
    let (port, generation) = (random.i64(..2), format!("g-{}", random.u8(..200)));
    let key = EndpointKey { service: &service, instance: &instance, ip: "", port, protocol: "" };
    match random.u8(..9) {
        0..3 => {
            let body = format!(
                r#"{{"instanceId":"{instance}","generation":"{generation}","endpoints":[{{"serviceName":"{service}","port":{port}}}]}}"#
            );
            let body: RegisterRequest<'_> = serde_json::from_str(&body).unwrap();
            // A generation that was closed before is refused.
            let _refused = services.register(&body, |_| true, now);
        }
        3 => services.delete_endpoint(key, None, now),
        4 => services.delete_instance(&instance, Some(&generation), now),
        5 => {
            let health =
                format!(r#"{{"serviceName":"{service}","port":{port},"healthy":{}}}"#, random.bool());
            let health: EndpointHealth<'_> = serde_json::from_str(&health).unwrap();
            services.heartbeat(&instance, &[health], now);
        }
        6 => {
            let other = format!("i-{}", random.u8(..8));
            let to = EndpointKey { instance: &other, ..key };
            // Another endpoint may already have this identity.
            let _taken = services.move_endpoint(key, to, RowContent::default(), true, now);
        }
        7 => services.tick(now),
        _ => {
            let since = Some(random.u64(..=services.revision()));
            let (_, update) = services.watch_update(&WatchQuery { names: None, fresh: &[], since });
            serde_json::from_slice::<serde_json::Value>(&update).expect("JSON");
            services.heartbeat_with_digest(&instance, None, &[], now);
        }
    }
}

/// Every row is in both indexes and has one deadline, and the cached bodies match the rows.
fn check(services: &Services) {
    let mut rows = 0;
    for name in services.names() {
        let service = services.find_service(&name).unwrap();
        for (identity, row) in &service.lock().rows {
            let shard = services.instances.shard(&identity.instance);
            let is_indexed = shard[&identity.instance].rows.iter().any(|known| Arc::ptr_eq(known, row));
            assert!(is_indexed, "{identity:?}");
            rows += 1;
        }
        let ready = service.view(Filter { version: "", protocol: "" });
        assert_eq!(ready, service.first(Filter { version: "", protocol: "" }, usize::MAX));
    }
    let by_instance: usize = (0..8).map(|number| services.rows_of(&format!("i-{number}")).len()).sum();
    assert_eq!(rows, by_instance);
    assert_eq!(services.deadlines.lock().len(), rows);
}

//! From a name to endpoints: search domains, address records, SRV records.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RecordType};

use super::exchange::{Asked, Servers};
use super::message::{Found, Question, Reply};
use super::template;
use crate::registry::types::WaitLimit;

/// The shortest time that a result is kept, even if its TTL is 0.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time that a result is kept, whatever its TTL.
const LONGEST: Duration = Duration::from_mins(5);
/// The longest time that an empty result is kept: records may appear soon.
const LONGEST_NOTHING: Duration = Duration::from_secs(30);

/// The result of a lookup.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The addresses of the service; sorted, without duplicates.
    pub(super) places: Vec<Place>,
    /// How long the result is valid.
    pub(super) lasts: Duration,
}

/// One address of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    /// The host name of the server, if an SRV record names it.
    pub(super) host: Option<String>,
    pub(super) weight: u32,
}

/// The addresses of each host name.
type Addresses = BTreeMap<Name, Vec<IpAddr>>;

/// One lookup.
pub(super) struct Look<'a> {
    pub(super) servers: Servers<'a>,
    pub(super) has_ipv6: bool,
    pub(super) wait: WaitLimit<'a>,
}

impl Look<'_> {
    /// The addresses of the first of these names that has any.
    pub(super) fn addresses(&self, names: &[Name], port: u16) -> Asked<Outcome> {
        let mut nothing = LONGEST_NOTHING;
        for name in names {
            let replies = self.servers.ask(&self.both(name), &self.wait)?;
            let (ips, lasts) = joined(&replies);
            if !ips.is_empty() {
                let place = |ip| Place { ip, port, host: None, weight: 1 };
                return Ok(Outcome::of(ips.into_iter().map(place).collect(), lasts));
            }
            nothing = nothing.min(lasts);
        }
        Ok(Outcome::nothing(nothing))
    }

    /// The servers of the first of these names that has SRV records.
    pub(super) fn servers(&self, names: &[Name]) -> Asked<Outcome> {
        let mut nothing = LONGEST_NOTHING;
        for name in names {
            let question = Question { name: name.clone(), kind: RecordType::SRV };
            for reply in self.servers.ask(&[question], &self.wait)? {
                match reply {
                    Reply::Found(found) => return self.places(&found),
                    Reply::Nothing(lasts) => nothing = nothing.min(lasts),
                    Reply::Refused(_) => {}
                }
            }
        }
        Ok(Outcome::nothing(nothing))
    }

    /// The servers with the best priority that includes a server with an address (RFC 2782).
    fn places(&self, found: &Found) -> Asked<Outcome> {
        let mut groups: BTreeMap<u16, Vec<&SRV>> = BTreeMap::new();
        // The root as target means that the service is not available here.
        for server in found.servers().filter(|server| !server.target.is_root() && server.port != 0) {
            groups.entry(server.priority).or_default().push(server);
        }
        let mut lasts = found.ttl;
        for group in groups.into_values() {
            let (addresses, group_lasts) = self.targets(&group, found)?;
            lasts = lasts.min(group_lasts);
            let places = group.into_iter().flat_map(|server| {
                let ips = addresses.get(&server.target).cloned().unwrap_or_default();
                ips.into_iter().filter_map(|ip| place(server, ip))
            });
            let outcome = Outcome::of(places.collect(), lasts);
            if !outcome.places.is_empty() {
                return Ok(outcome);
            }
        }
        Ok(Outcome::of(Vec::new(), lasts.min(LONGEST_NOTHING)))
    }

    /// The addresses of each target.
    fn targets(&self, group: &[&SRV], found: &Found) -> Asked<(Addresses, Duration)> {
        let mut targets: Vec<Name> = group.iter().map(|server| server.target.clone()).collect();
        targets.sort_unstable();
        targets.dedup();
        if let Some(known) = beside(&targets, found) {
            return Ok(known);
        }
        let questions: Vec<Question> = targets.iter().flat_map(|name| self.both(name)).collect();
        let replies = self.servers.ask(&questions, &self.wait)?;
        let mut addresses = Addresses::new();
        let mut shortest = Duration::MAX;
        for (target, replies) in targets.into_iter().zip(replies.chunks(self.kinds().len())) {
            let (ips, lasts) = joined(replies);
            shortest = shortest.min(lasts);
            addresses.insert(target, ips);
        }
        Ok((addresses, shortest))
    }

    /// The questions for all addresses of a name.
    fn both(&self, name: &Name) -> Vec<Question> {
        self.kinds().iter().map(|kind| Question { name: name.clone(), kind: *kind }).collect()
    }

    fn kinds(&self) -> &'static [RecordType] {
        if self.has_ipv6 { &[RecordType::A, RecordType::AAAA] } else { &[RecordType::A] }
    }
}

impl Outcome {
    fn of(mut places: Vec<Place>, lasts: Duration) -> Outcome {
        places.sort_unstable();
        places.dedup_by_key(|place| (place.ip, place.port));
        Outcome { places, lasts: lasts.clamp(SHORTEST, LONGEST) }
    }

    fn nothing(lasts: Duration) -> Outcome {
        Outcome::of(Vec::new(), lasts.min(LONGEST_NOTHING))
    }
}

/// The addresses in the replies for one name, and how long they are valid; without addresses, how long that is valid.
fn joined(replies: &[Reply]) -> (Vec<IpAddr>, Duration) {
    let (mut ips, mut lasts, mut nothing) = (Vec::new(), Duration::MAX, LONGEST_NOTHING);
    for reply in replies {
        match reply {
            Reply::Found(found) => {
                ips.extend(found.addresses());
                lasts = lasts.min(found.ttl);
            }
            Reply::Nothing(some) => nothing = nothing.min(*some),
            Reply::Refused(_) => {}
        }
    }
    let lasts = if ips.is_empty() { nothing } else { lasts };
    (ips, lasts)
}

/// The addresses of the targets in the additional section of the response. They are used only if the server is
/// authoritative and sends the same address families for each target: a server silently omits what does not fit.
fn beside(targets: &[Name], found: &Found) -> Option<(Addresses, Duration)> {
    let mut addresses = Addresses::new();
    let mut shortest = Duration::MAX;
    for (name, ip, lasts) in found.beside.iter().filter(|(name, ..)| targets.contains(name)) {
        addresses.entry(name.clone()).or_default().push(*ip);
        shortest = shortest.min(*lasts);
    }
    let kinds = |name: &Name| {
        let ips = addresses.get(name)?;
        Some((ips.iter().any(IpAddr::is_ipv4), ips.iter().any(IpAddr::is_ipv6)))
    };
    let first = kinds(targets.first()?)?;
    let is_whole = found.is_authoritative && targets.iter().all(|name| kinds(name) == Some(first));
    is_whole.then_some((addresses, shortest))
}

/// The address of a server. In DNS a weight of 0 means a small chance, like 1 here; a weight of 0 here means none.
fn place(server: &SRV, ip: IpAddr) -> Option<Place> {
    let host = Some(template::host(&server.target)?);
    Some(Place { ip, port: server.port, host, weight: u32::from(server.weight).max(1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::RData;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn found(beside: &[(&str, &str)], is_authoritative: bool) -> Found {
        let beside = beside.iter().map(|(host, ip)| (name(host), ip.parse().unwrap(), secs(9)));
        Found { data: Vec::new(), ttl: secs(60), is_authoritative, beside: beside.collect() }
    }

    #[test]
    fn uses_additional_addresses_only_if_they_are_complete() {
        let targets = [name("a.test."), name("b.test.")];
        let both = [("a.test.", "10.0.0.1"), ("B.test.", "10.0.0.2"), ("c.test.", "10.0.0.3")];
        let (addresses, lasts) = beside(&targets, &found(&both, true)).unwrap();
        assert_eq!((addresses.len(), lasts), (2, secs(9)));
        assert!(
            beside(&targets, &found(&both, false)).is_none(),
            "a cache adds only the records it happens to have"
        );
        assert!(beside(&targets, &found(&both[..1], true)).is_none(), "one is missing");
        let cut = [both[0], ("a.test.", "fd00::1"), both[1]];
        assert!(beside(&targets, &found(&cut, true)).is_none(), "one target lacks an address family");
    }

    #[test]
    fn validity_is_clamped_to_its_bounds() {
        assert_eq!(Outcome::of(Vec::new(), secs(0)).lasts, secs(1));
        assert_eq!(Outcome::of(Vec::new(), secs(86_400)).lasts, secs(300));
        assert_eq!(Outcome::nothing(secs(86_400)).lasts, secs(30));
    }

    #[test]
    fn validity_is_that_of_existing_addresses() {
        let ipv4 = |ttl| {
            let data = vec![RData::A("10.0.0.1".parse().unwrap())];
            Reply::Found(Found { data, ttl, is_authoritative: true, beside: Vec::new() })
        };
        assert_eq!(joined(&[ipv4(secs(60)), Reply::Nothing(secs(3))]).1, secs(60));
        assert_eq!(joined(&[Reply::Nothing(secs(9)), Reply::Nothing(secs(3))]), (Vec::new(), secs(3)));
    }

    #[test]
    fn srv_weight_0_becomes_weight_1() {
        let weight = |weight| {
            place(&SRV::new(1, weight, 80, name("a.test.")), [10, 0, 0, 1].into()).map(|place| place.weight)
        };
        assert_eq!((weight(0), weight(1), weight(500)), (Some(1), Some(1), Some(500)));
        let odd = Name::from_labels([&b"a b"[..], b"test"]).unwrap();
        assert_eq!(place(&SRV::new(1, 1, 80, odd), [10, 0, 0, 1].into()), None);
    }

    #[test]
    fn addresses_are_sorted_and_unique() {
        let place = |last: u8| Place { ip: [10, 0, 0, last].into(), port: 80, host: None, weight: 1 };
        let outcome = Outcome::of(vec![place(2), place(1), place(2)], secs(9));
        assert_eq!(outcome.places, [place(1), place(2)]);
    }
}

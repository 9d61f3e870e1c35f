//! From a name to endpoints: search domains, addresses, the servers of a service.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RecordType};

use super::exchange::{Asked, Servers};
use super::message::{Found, Question, Reply};
use super::template;
use crate::registry::Wait;

/// Answers that are to be forgotten at once are kept so long nevertheless.
const SHORTEST: Duration = Duration::from_secs(1);
/// However long a zone wants its records to be kept.
const LONGEST: Duration = Duration::from_mins(5);
/// The same where there is nothing: something may soon appear.
const LONGEST_NOTHING: Duration = Duration::from_secs(30);

/// What a name came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Where the service is; sorted, each once.
    pub(super) places: Vec<Place>,
    /// How long that may be believed.
    pub(super) lasts: Duration,
}

/// One address of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    /// The name of the server, where the records name it.
    pub(super) host: Option<String>,
    pub(super) weight: u32,
}

/// Addresses by the name of a server.
type Addresses = BTreeMap<Name, Vec<IpAddr>>;

/// One look.
pub(super) struct Look<'a> {
    pub(super) servers: Servers<'a>,
    pub(super) has_ipv6: bool,
    pub(super) wait: Wait<'a>,
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

    /// The servers that the first of these names has.
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

    /// The servers of the first priority that has any with an address (RFC 2782).
    fn places(&self, found: &Found) -> Asked<Outcome> {
        let mut groups: BTreeMap<u16, Vec<&SRV>> = BTreeMap::new();
        // The root for a target says that there is no such service here.
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

    /// The addresses of each target, as far as it has any.
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

/// The addresses in some answers about one name, and how long they last; if there are none, how long that lasts.
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

/// The targets' addresses as the answer itself brings them. Only a server that holds the zone is believed, and only
/// if it tells the same kinds of address of each: what did not fit into the answer is left out of it without a word.
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

/// A server at one of its addresses. Its weight of 0 is a small chance to DNS, as 1 is to us; our 0 is none.
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
    fn what_an_answer_adds_is_taken_only_if_nothing_can_be_missing() {
        let targets = [name("a.test."), name("b.test.")];
        let both = [("a.test.", "10.0.0.1"), ("B.test.", "10.0.0.2"), ("c.test.", "10.0.0.3")];
        let (addresses, lasts) = beside(&targets, &found(&both, true)).unwrap();
        assert_eq!((addresses.len(), lasts), (2, secs(9)));
        assert!(beside(&targets, &found(&both, false)).is_none(), "a cache adds what it happens to have");
        assert!(beside(&targets, &found(&both[..1], true)).is_none(), "one is missing");
        let cut = [both[0], ("a.test.", "fd00::1"), both[1]];
        assert!(beside(&targets, &found(&cut, true)).is_none(), "one lacks a kind that another one has");
    }

    #[test]
    fn what_lasts_too_short_or_too_long_is_kept_within_bounds() {
        assert_eq!(Outcome::of(Vec::new(), secs(0)).lasts, secs(1));
        assert_eq!(Outcome::of(Vec::new(), secs(86_400)).lasts, secs(300));
        assert_eq!(Outcome::nothing(secs(86_400)).lasts, secs(30));
    }

    #[test]
    fn addresses_last_as_long_as_those_that_are_there() {
        let ipv4 = |ttl| {
            let data = vec![RData::A("10.0.0.1".parse().unwrap())];
            Reply::Found(Found { data, ttl, is_authoritative: true, beside: Vec::new() })
        };
        assert_eq!(joined(&[ipv4(secs(60)), Reply::Nothing(secs(3))]).1, secs(60));
        assert_eq!(joined(&[Reply::Nothing(secs(9)), Reply::Nothing(secs(3))]), (Vec::new(), secs(3)));
    }

    #[test]
    fn a_server_of_weight_0_gets_the_small_chance_that_dns_gives_it() {
        let weight = |weight| {
            place(&SRV::new(1, weight, 80, name("a.test.")), [10, 0, 0, 1].into()).map(|place| place.weight)
        };
        assert_eq!((weight(0), weight(1), weight(500)), (Some(1), Some(1), Some(500)));
        let odd = Name::from_labels([&b"a b"[..], b"test"]).unwrap();
        assert_eq!(place(&SRV::new(1, 1, 80, odd), [10, 0, 0, 1].into()), None);
    }

    #[test]
    fn each_place_is_listed_once_and_in_the_same_order_each_time() {
        let place = |last: u8| Place { ip: [10, 0, 0, last].into(), port: 80, host: None, weight: 1 };
        let outcome = Outcome::of(vec![place(2), place(1), place(2)], secs(9));
        assert_eq!(outcome.places, [place(1), place(2)]);
    }
}

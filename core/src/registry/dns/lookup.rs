//! From a name to endpoints: search domains, address records, SRV records.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RecordType};

use super::exchange::{DnsResult, NameServers};
use super::message::{DnsQuestion, DnsReply, RecordSet};
use super::name_template;
use crate::registry::types::WaitLimit;

/// The shortest time that a result is kept, even if its TTL is 0.
const MIN_VALIDITY: Duration = Duration::from_secs(1);
/// The longest time that a result is kept, whatever its TTL.
const MAX_VALIDITY: Duration = Duration::from_mins(5);
/// The longest time that an empty result is kept: records may appear soon.
const MAX_EMPTY_VALIDITY: Duration = Duration::from_secs(30);

/// The result of a lookup.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LookupResult {
    /// The addresses of the service; sorted, without duplicates.
    pub(super) addresses: Vec<ServiceAddress>,
    /// How long the result is valid.
    pub(super) valid_for: Duration,
}

/// One address of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServiceAddress {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    /// The host name of the server, if an SRV record names it.
    pub(super) host: Option<String>,
    pub(super) weight: u32,
}

/// The addresses of each host name.
type Addresses = BTreeMap<Name, Vec<IpAddr>>;

/// One lookup.
pub(super) struct Lookup<'a> {
    pub(super) servers: NameServers<'a>,
    pub(super) has_ipv6: bool,
    pub(super) wait: WaitLimit<'a>,
}

impl Lookup<'_> {
    /// The addresses of the first of these names that has any.
    pub(super) fn find_addresses(&self, names: &[Name], port: u16) -> DnsResult<LookupResult> {
        let mut nothing = MAX_EMPTY_VALIDITY;
        for name in names {
            let replies = self.servers.query(&self.address_questions(name), &self.wait)?;
            let (ips, valid_for) = merge_replies(&replies);
            if !ips.is_empty() {
                let address = |ip| ServiceAddress { ip, port, host: None, weight: 1 };
                return Ok(LookupResult::of(ips.into_iter().map(address).collect(), valid_for));
            }
            nothing = nothing.min(valid_for);
        }
        Ok(LookupResult::empty(nothing))
    }

    /// The servers of the first of these names that has SRV records.
    pub(super) fn find_servers(&self, names: &[Name]) -> DnsResult<LookupResult> {
        let mut nothing = MAX_EMPTY_VALIDITY;
        for name in names {
            let question = DnsQuestion { name: name.clone(), kind: RecordType::SRV };
            for reply in self.servers.query(&[question], &self.wait)? {
                match reply {
                    DnsReply::Records(found) => return self.srv_addresses(&found),
                    DnsReply::NoRecords(valid_for) => nothing = nothing.min(valid_for),
                    DnsReply::Refused(_) => {}
                }
            }
        }
        Ok(LookupResult::empty(nothing))
    }

    /// The servers with the best priority that includes a server with an address (RFC 2782).
    fn srv_addresses(&self, found: &RecordSet) -> DnsResult<LookupResult> {
        let mut groups: BTreeMap<u16, Vec<&SRV>> = BTreeMap::new();
        // The root as target means that the service is not available here.
        for server in found.srv_records().filter(|server| !server.target.is_root() && server.port != 0) {
            groups.entry(server.priority).or_default().push(server);
        }
        let mut valid_for = found.ttl;
        for group in groups.into_values() {
            let (addresses, group_valid_for) = self.targets(&group, found)?;
            valid_for = valid_for.min(group_valid_for);
            let addresses = group.into_iter().flat_map(|server| {
                let ips = addresses.get(&server.target).cloned().unwrap_or_default();
                ips.into_iter().filter_map(|ip| service_address(server, ip))
            });
            let outcome = LookupResult::of(addresses.collect(), valid_for);
            if !outcome.addresses.is_empty() {
                return Ok(outcome);
            }
        }
        Ok(LookupResult::of(Vec::new(), valid_for.min(MAX_EMPTY_VALIDITY)))
    }

    /// The addresses of each target.
    fn targets(&self, group: &[&SRV], found: &RecordSet) -> DnsResult<(Addresses, Duration)> {
        let mut targets: Vec<Name> = group.iter().map(|server| server.target.clone()).collect();
        targets.sort_unstable();
        targets.dedup();
        if let Some(known) = additional_addresses(&targets, found) {
            return Ok(known);
        }
        let questions: Vec<DnsQuestion> =
            targets.iter().flat_map(|name| self.address_questions(name)).collect();
        let replies = self.servers.query(&questions, &self.wait)?;
        let mut addresses = Addresses::new();
        let mut shortest = Duration::MAX;
        for (target, replies) in targets.into_iter().zip(replies.chunks(self.address_types().len())) {
            let (ips, valid_for) = merge_replies(replies);
            shortest = shortest.min(valid_for);
            addresses.insert(target, ips);
        }
        Ok((addresses, shortest))
    }

    /// The questions for all addresses of a name.
    fn address_questions(&self, name: &Name) -> Vec<DnsQuestion> {
        self.address_types().iter().map(|kind| DnsQuestion { name: name.clone(), kind: *kind }).collect()
    }

    fn address_types(&self) -> &'static [RecordType] {
        if self.has_ipv6 { &[RecordType::A, RecordType::AAAA] } else { &[RecordType::A] }
    }
}

impl LookupResult {
    fn of(mut addresses: Vec<ServiceAddress>, valid_for: Duration) -> LookupResult {
        addresses.sort_unstable();
        addresses.dedup_by_key(|address| (address.ip, address.port));
        LookupResult { addresses, valid_for: valid_for.clamp(MIN_VALIDITY, MAX_VALIDITY) }
    }

    fn empty(valid_for: Duration) -> LookupResult {
        LookupResult::of(Vec::new(), valid_for.min(MAX_EMPTY_VALIDITY))
    }
}

/// The addresses in the replies for one name, and how long they are valid; without addresses, how long that is valid.
fn merge_replies(replies: &[DnsReply]) -> (Vec<IpAddr>, Duration) {
    let (mut ips, mut valid_for, mut nothing) = (Vec::new(), Duration::MAX, MAX_EMPTY_VALIDITY);
    for reply in replies {
        match reply {
            DnsReply::Records(found) => {
                ips.extend(found.addresses());
                valid_for = valid_for.min(found.ttl);
            }
            DnsReply::NoRecords(some) => nothing = nothing.min(*some),
            DnsReply::Refused(_) => {}
        }
    }
    let valid_for = if ips.is_empty() { nothing } else { valid_for };
    (ips, valid_for)
}

/// The addresses of the targets in the additional section of the response. They are used only if the server is
/// authoritative and sends the same address families for each target: a server silently omits what does not fit.
fn additional_addresses(targets: &[Name], found: &RecordSet) -> Option<(Addresses, Duration)> {
    let mut addresses = Addresses::new();
    let mut shortest = Duration::MAX;
    for (name, ip, valid_for) in found.additional.iter().filter(|(name, ..)| targets.contains(name)) {
        addresses.entry(name.clone()).or_default().push(*ip);
        shortest = shortest.min(*valid_for);
    }
    let address_types = |name: &Name| {
        let ips = addresses.get(name)?;
        Some((ips.iter().any(IpAddr::is_ipv4), ips.iter().any(IpAddr::is_ipv6)))
    };
    let first = address_types(targets.first()?)?;
    let is_whole = found.is_authoritative && targets.iter().all(|name| address_types(name) == Some(first));
    is_whole.then_some((addresses, shortest))
}

/// The address of a server. In DNS a weight of 0 means a small chance, like 1 here; a weight of 0 here means none.
fn service_address(server: &SRV, ip: IpAddr) -> Option<ServiceAddress> {
    let host = Some(name_template::host_name(&server.target)?);
    Some(ServiceAddress { ip, port: server.port, host, weight: u32::from(server.weight).max(1) })
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

    fn found(additional: &[(&str, &str)], is_authoritative: bool) -> RecordSet {
        let additional = additional.iter().map(|(host, ip)| (name(host), ip.parse().unwrap(), secs(9)));
        RecordSet { data: Vec::new(), ttl: secs(60), is_authoritative, additional: additional.collect() }
    }

    #[test]
    fn uses_additional_addresses_only_if_they_are_complete() {
        let targets = [name("a.test."), name("b.test.")];
        let address_questions = [("a.test.", "10.0.0.1"), ("B.test.", "10.0.0.2"), ("c.test.", "10.0.0.3")];
        let (addresses, valid_for) =
            additional_addresses(&targets, &found(&address_questions, true)).unwrap();
        assert_eq!((addresses.len(), valid_for), (2, secs(9)));
        assert!(
            additional_addresses(&targets, &found(&address_questions, false)).is_none(),
            "a cache adds only the records it happens to have"
        );
        assert!(
            additional_addresses(&targets, &found(&address_questions[..1], true)).is_none(),
            "one is missing"
        );
        let cut = [address_questions[0], ("a.test.", "fd00::1"), address_questions[1]];
        assert!(
            additional_addresses(&targets, &found(&cut, true)).is_none(),
            "one target lacks an address family"
        );
    }

    #[test]
    fn validity_is_clamped_to_its_bounds() {
        assert_eq!(LookupResult::of(Vec::new(), secs(0)).valid_for, secs(1));
        assert_eq!(LookupResult::of(Vec::new(), secs(86_400)).valid_for, secs(300));
        assert_eq!(LookupResult::empty(secs(86_400)).valid_for, secs(30));
    }

    #[test]
    fn validity_is_that_of_existing_addresses() {
        let ipv4 = |ttl| {
            let data = vec![RData::A("10.0.0.1".parse().unwrap())];
            DnsReply::Records(RecordSet { data, ttl, is_authoritative: true, additional: Vec::new() })
        };
        assert_eq!(merge_replies(&[ipv4(secs(60)), DnsReply::NoRecords(secs(3))]).1, secs(60));
        assert_eq!(
            merge_replies(&[DnsReply::NoRecords(secs(9)), DnsReply::NoRecords(secs(3))]),
            (Vec::new(), secs(3))
        );
    }

    #[test]
    fn srv_weight_0_becomes_weight_1() {
        let weight = |weight| {
            service_address(&SRV::new(1, weight, 80, name("a.test.")), [10, 0, 0, 1].into())
                .map(|address| address.weight)
        };
        assert_eq!((weight(0), weight(1), weight(500)), (Some(1), Some(1), Some(500)));
        let odd = Name::from_labels([&b"a b"[..], b"test"]).unwrap();
        assert_eq!(service_address(&SRV::new(1, 1, 80, odd), [10, 0, 0, 1].into()), None);
    }

    #[test]
    fn addresses_are_sorted_and_unique() {
        let address =
            |last: u8| ServiceAddress { ip: [10, 0, 0, last].into(), port: 80, host: None, weight: 1 };
        let outcome = LookupResult::of(vec![address(2), address(1), address(2)], secs(9));
        assert_eq!(outcome.addresses, [address(1), address(2)]);
    }
}

//! Encodes questions and decodes responses of name servers. Pure: no sockets.
//!
//! A datagram that does not answer our question (another id, another question, malformed) is
//! [`DnsDatagram::Unrelated`], and the caller keeps waiting. So an attacker who guesses cannot end a query.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::error::{Error, Kind, Result};

/// The largest datagram that all networks forward without fragmentation (DNS flag day 2020).
pub(super) const MAX_DATAGRAM: u16 = 1_232;
/// How long a negative reply is valid if it contains no SOA record.
const DEFAULT_NEGATIVE_TTL: Duration = Duration::from_secs(5);

/// A name and the type of the records to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DnsQuestion {
    pub(super) name: Name,
    pub(super) kind: RecordType,
}

/// An encoded question.
pub(super) struct EncodedQuestion {
    /// Random; the response carries the same id.
    pub(super) id: u16,
    pub(super) bytes: Vec<u8>,
}

/// What a received datagram is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DnsDatagram {
    /// Not the response to this question.
    Unrelated,
    /// The response, but truncated.
    Truncated,
    /// The response.
    Reply(DnsReply),
}

/// The reply of a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DnsReply {
    /// There are such records.
    Records(RecordSet),
    /// The name does not exist or has no such records; valid this long.
    NoRecords(Duration),
    /// The server did not resolve the name; the reason.
    Refused(String),
}

/// The records that answer a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordSet {
    pub(super) data: Vec<RData>,
    /// The shortest TTL of these records and the CNAMEs that lead to them.
    pub(super) ttl: Duration,
    /// Whether the server is authoritative for the zone, so that its additional records are complete.
    pub(super) is_authoritative: bool,
    /// The addresses in the additional section.
    pub(super) additional: Vec<(Name, IpAddr, Duration)>,
}

impl DnsQuestion {
    /// Encodes the question, with a random id.
    pub(super) fn encode(&self) -> Result<EncodedQuestion> {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(self.query());
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_DATAGRAM);
        message.set_edns(edns);
        let bytes = message.to_vec().map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        Ok(EncodedQuestion { id: message.metadata.id, bytes })
    }

    fn query(&self) -> Query {
        Query::query(self.name.clone(), self.kind)
    }

    /// Decodes a datagram that was received after this question was sent with this id.
    pub(super) fn decode(&self, id: u16, bytes: &[u8]) -> DnsDatagram {
        let mut decoder = BinDecoder::new(bytes);
        let Ok(header) = Header::read(&mut decoder) else { return DnsDatagram::Unrelated };
        let head = header.metadata;
        if head.id != id || head.message_type != MessageType::Response || head.op_code != OpCode::Query {
            return DnsDatagram::Unrelated;
        }
        let Ok(queries) = Message::read_queries(&mut decoder, header.counts.queries.into()) else {
            return DnsDatagram::Unrelated;
        };
        // Some servers omit the question in an error response.
        let is_bare_refusal = queries.is_empty() && is_refusal(head.response_code);
        if queries != [self.query()] && !is_bare_refusal {
            return DnsDatagram::Unrelated;
        }
        if head.truncation {
            return DnsDatagram::Truncated;
        }
        match Message::from_vec(bytes) {
            Ok(message) => DnsDatagram::Reply(self.reply(&message)),
            Err(_) => DnsDatagram::Unrelated,
        }
    }

    fn reply(&self, message: &Message) -> DnsReply {
        let code = message.metadata.response_code;
        if is_refusal(code) {
            return DnsReply::Refused(code.to_string());
        }
        let Some((name, ttl)) = self.resolve_cnames(&message.answers) else {
            return DnsReply::Refused("a CNAME loop".into());
        };
        let query_name = |record: &&Record| record.name == name && record.record_type() == self.kind;
        let records: Vec<&Record> =
            message.answers.iter().filter(|r| is_internet(r)).filter(query_name).collect();
        if !records.is_empty() {
            return DnsReply::Records(RecordSet {
                ttl: records.iter().map(|record| ttl_of(record)).fold(ttl, Duration::min),
                data: records.into_iter().map(|record| record.data.clone()).collect(),
                is_authoritative: message.metadata.authoritative,
                additional: message
                    .additionals
                    .iter()
                    .filter(|r| is_internet(r))
                    .filter_map(address)
                    .collect(),
            });
        }
        if code == ResponseCode::NoError && is_referral(message) {
            return DnsReply::Refused("a referral to other servers: the server is not recursive".into());
        }
        DnsReply::NoRecords(negative_ttl(&message.authorities))
    }

    /// The end of the CNAME chain, and how long the chain is valid; `None` if it is a loop.
    fn resolve_cnames(&self, answers: &[Record]) -> Option<(Name, Duration)> {
        let mut name = self.name.clone();
        let mut ttl = Duration::MAX;
        for _ in 0..=answers.len() {
            let alias = answers.iter().filter(|r| is_internet(r) && r.name == name);
            let next = alias.into_iter().find_map(|record| match &record.data {
                RData::CNAME(target) => Some((target.0.clone(), ttl_of(record))),
                _ => None,
            });
            let Some((target, valid_for)) = next else { return Some((name, ttl)) };
            name = target;
            ttl = ttl.min(valid_for);
        }
        None
    }
}

impl RecordSet {
    /// The addresses among the records.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.data.iter().filter_map(ip)
    }

    /// The SRV records.
    pub(super) fn srv_records(&self) -> impl Iterator<Item = &SRV> {
        self.data.iter().filter_map(|data| if let RData::SRV(server) = data { Some(server) } else { None })
    }
}

/// Whether a response code says nothing about the name.
fn is_refusal(code: ResponseCode) -> bool {
    !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// Whether the server only names other servers.
fn is_referral(message: &Message) -> bool {
    let has = |kind| message.authorities.iter().any(|record| record.record_type() == kind);
    !message.metadata.authoritative && has(RecordType::NS) && !has(RecordType::SOA)
}

fn is_internet(record: &Record) -> bool {
    record.dns_class == DNSClass::IN
}

fn address(record: &Record) -> Option<(Name, IpAddr, Duration)> {
    Some((record.name.clone(), ip(&record.data)?, ttl_of(record)))
}

fn ip(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

/// The TTL of a record. A TTL with its highest bit set counts as 0 (RFC 2181, section 8).
fn ttl_of(record: &Record) -> Duration {
    let seconds = if record.ttl > i32::MAX.unsigned_abs() { 0 } else { record.ttl };
    Duration::from_secs(seconds.into())
}

/// How long a negative reply is valid (RFC 2308, section 5).
fn negative_ttl(authorities: &[Record]) -> Duration {
    let soa = authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(ttl_of(record).min(Duration::from_secs(soa.minimum.into()))),
        _ => None,
    });
    soa.unwrap_or(DEFAULT_NEGATIVE_TTL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{A, CNAME, NS, SOA};
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn question() -> DnsQuestion {
        DnsQuestion { name: name("orders.test."), kind: RecordType::A }
    }

    fn a(of: &str, ttl: u32, last: u8) -> Record {
        Record::from_rdata(name(of), ttl, RData::A(A::new(10, 0, 0, last)))
    }

    fn cname(of: &str, ttl: u32, to: &str) -> Record {
        Record::from_rdata(name(of), ttl, RData::CNAME(CNAME(name(to))))
    }

    /// The response with id 7 to [`question`].
    fn answer(change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::response(7, OpCode::Query);
        message.add_query(question().query());
        change(&mut message);
        message.to_vec().unwrap()
    }

    fn reply(change: impl FnOnce(&mut Message)) -> DnsReply {
        match question().decode(7, &answer(change)) {
            DnsDatagram::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn question_requests_recursion_and_limits_datagram_size() {
        let encoded = question().encode().unwrap();
        let message = Message::from_vec(&encoded.bytes).unwrap();
        assert_eq!((message.metadata.id, message.max_payload()), (encoded.id, MAX_DATAGRAM));
        assert!(message.metadata.recursion_desired && message.queries == [question().query()]);
    }

    #[test]
    fn follows_cnames_and_uses_the_shortest_ttl() {
        let reply = reply(|message| {
            message.add_answer(a("c.test.", 30, 2));
            message.add_answer(cname("b.test.", 9, "C.test."));
            message.add_answer(cname("Orders.test.", 60, "b.test."));
            message.add_answer(a("other.test.", 1, 9));
        });
        let DnsReply::Records(found) = reply else { panic!("{reply:?}") };
        assert_eq!(found.addresses().collect::<Vec<_>>(), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(found.ttl, secs(9));
    }

    #[test]
    fn cname_loop_is_refused() {
        let reply = reply(|message| {
            message.add_answer(cname("orders.test.", 9, "b.test."));
            message.add_answer(cname("b.test.", 9, "orders.test."));
        });
        assert!(matches!(reply, DnsReply::Refused(_)));
    }

    #[test]
    fn negative_reply_is_valid_for_the_soa_minimum() {
        let soa = |ttl, minimum| {
            let soa = SOA::new(name("ns.test."), name("me.test."), 1, 60, 60, 60, minimum);
            Record::from_rdata(name("test."), ttl, RData::SOA(soa))
        };
        let nothing = |code, record: Option<Record>| {
            reply(|message| {
                message.metadata.response_code = code;
                message.add_authorities(record);
            })
        };
        assert_eq!(nothing(ResponseCode::NXDomain, Some(soa(60, 3))), DnsReply::NoRecords(secs(3)));
        assert_eq!(nothing(ResponseCode::NoError, Some(soa(2, 60))), DnsReply::NoRecords(secs(2)));
        assert_eq!(nothing(ResponseCode::NXDomain, None), DnsReply::NoRecords(DEFAULT_NEGATIVE_TTL));
        // A TTL with its highest bit set counts as 0.
        assert_eq!(nothing(ResponseCode::NXDomain, Some(soa(u32::MAX, 60))), DnsReply::NoRecords(secs(0)));
    }

    #[test]
    fn server_failure_is_not_a_negative_reply() {
        for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImp] {
            assert!(matches!(reply(|message| message.metadata.response_code = code), DnsReply::Refused(_)));
        }
        let referral = reply(|message| {
            message.add_authority(Record::from_rdata(name("test."), 60, RData::NS(NS(name("ns.test.")))));
        });
        assert!(matches!(referral, DnsReply::Refused(what) if what.contains("referral")));
    }

    #[test]
    fn rejects_datagrams_that_do_not_match_the_question() {
        let right = answer(|message| {
            message.add_answer(a("orders.test.", 9, 1));
        });
        assert!(matches!(question().decode(7, &right), DnsDatagram::Reply(DnsReply::Records(_))));
        assert_eq!(question().decode(8, &right), DnsDatagram::Unrelated, "another id");
        assert_eq!(question().decode(7, &right[..right.len() - 1]), DnsDatagram::Unrelated, "cut off");
        let mut other = question();
        other.kind = RecordType::AAAA;
        assert_eq!(other.decode(7, &right), DnsDatagram::Unrelated, "another kind");
        other = question();
        other.name = name("billing.test.");
        assert_eq!(other.decode(7, &right), DnsDatagram::Unrelated, "another name");
        let query = answer(|message| message.metadata.message_type = MessageType::Query);
        assert_eq!(question().decode(7, &query), DnsDatagram::Unrelated, "a question");
        let unasked = answer(|message| message.queries.clear());
        assert_eq!(question().decode(7, &unasked), DnsDatagram::Unrelated, "no question");
        let refusal = answer(|message| {
            message.queries.clear();
            message.metadata.response_code = ResponseCode::Refused;
        });
        assert!(matches!(question().decode(7, &refusal), DnsDatagram::Reply(DnsReply::Refused(_))));
    }

    #[test]
    fn recognizes_a_truncated_response_wherever_it_was_cut() {
        let whole = answer(|message| {
            message.metadata.truncation = true;
            message.add_answer(a("orders.test.", 9, 1));
        });
        assert_eq!(question().decode(7, &whole), DnsDatagram::Truncated);
        assert_eq!(question().decode(7, &whole[..whole.len() - 3]), DnsDatagram::Truncated);
    }

    #[test]
    fn name_compression_loop_is_rejected() {
        let mut bytes = answer(|message| {
            message.add_answer(a("orders.test.", 9, 1));
        });
        let at = 12 + question().name.len() + 4;
        bytes.splice(at..at + 2, [0xc0, at as u8]);
        assert_eq!(question().decode(7, &bytes), DnsDatagram::Unrelated);
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn decode_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
            let _ = question().decode(id, &bytes);
        }

        #[test]
        fn damaged_response_never_panics(at in 0usize..200, with in any::<u8>(), length in 0usize..200) {
            let mut bytes = answer(|message| {
                message.add_answers([cname("orders.test.", 9, "b.test."), a("b.test.", 9, 1), a("b.test.", 9, 2)]);
                message.add_additional(a("c.test.", 1, 3));
            });
            let at = at % bytes.len();
            bytes[at] = with;
            bytes.truncate(length.max(12));
            let _ = question().decode(7, &bytes);
        }
    }
}

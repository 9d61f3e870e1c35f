//! Endpoints and lists of them.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use plumline::{Error, Result};

use super::boundary::{Kind, free, look, make, say};
use super::error::ErrorHandle;
use super::input::{Growing, count, fields, grown, optional_text, text};
use super::text::{Field, Str};
use crate::shelf::Shelf;

/// One address of one instance of a service. It never changes, and any thread may read it.
pub struct Endpoint {
    pub(crate) inner: Arc<plumline::Endpoint>,
    words: OnceLock<Box<Shelf>>,
}

/// A list of endpoints. It never changes, and any thread may read it.
pub struct Endpoints(Vec<Endpoint>);

/// What an endpoint is made of, for `plumline_endpoint_new()`. Initialise it with `PLUMLINE_ENDPOINT_FIELDS_INIT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EndpointFields {
    /// `sizeof(plumline_endpoint_fields)`; the initialiser sets it.
    pub size: u32,
    /// The port.
    pub port: u16,
    /// 0: healthy. 1: not.
    pub unhealthy: u16,
    /// The service it belongs to.
    pub service: Str,
    /// The name or address others know it by. Required.
    pub host: Str,
    /// Where it is reached; not given: `host`, which is an address then.
    pub ip: Str,
    /// Not given: `http`.
    pub protocol: Str,
    /// Its version; not given: none.
    pub version: Str,
    /// The zone it runs in; not given: none.
    pub zone: Str,
    /// The instance that registered it; not given: `{service}-{host}-{port}`.
    pub instance_id: Str,
    /// The machine it runs on; not given: none.
    pub node_id: Str,
    /// Who told of it; not given: nobody.
    pub source: Str,
    /// Random per registration; not given: none.
    pub generation: Str,
    /// Its labels, `label_count` of them.
    pub labels: *const Field,
    /// How many labels.
    pub label_count: usize,
    /// When it was last heard of, unix seconds; 0: unknown.
    pub last_seen: u64,
    /// Its share of the traffic; 0: the default, 1; `PLUMLINE_ZERO`: none.
    pub weight: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: repr(C), begins with its size, holds integers, pointers and strings.
unsafe impl Growing for EndpointFields {
    const NAME: &'static str = "fields";
    const INIT: &'static str = "PLUMLINE_ENDPOINT_FIELDS_INIT";
}

impl From<Arc<plumline::Endpoint>> for Endpoint {
    #[inline]
    fn from(inner: Arc<plumline::Endpoint>) -> Endpoint {
        Endpoint { inner, words: OnceLock::new() }
    }
}

impl From<&[Arc<plumline::Endpoint>]> for Endpoints {
    fn from(endpoints: &[Arc<plumline::Endpoint>]) -> Endpoints {
        Endpoints(endpoints.iter().cloned().map(Endpoint::from).collect())
    }
}

impl From<Vec<Arc<plumline::Endpoint>>> for Endpoints {
    fn from(endpoints: Vec<Arc<plumline::Endpoint>>) -> Endpoints {
        Endpoints(endpoints.into_iter().map(Endpoint::from).collect())
    }
}

/// Where an endpoint's words lie on its shelf; its labels follow, name by value.
#[derive(Clone, Copy)]
enum Word {
    Service,
    InstanceId,
    NodeId,
    Host,
    Ip,
    Protocol,
    Version,
    Zone,
    Source,
    Generation,
    Address,
}

const WORDS: usize = Word::Address as usize + 1;

impl Endpoint {
    fn words(&self) -> &Shelf {
        self.words.get_or_init(|| {
            let of = &*self.inner;
            let (ip, address) = (of.ip.to_string(), of.address());
            let words: [&str; WORDS] = [
                &of.service,
                &of.instance_id,
                &of.node_id,
                &of.host,
                &ip,
                &of.protocol,
                &of.version,
                &of.zone,
                &of.source,
                &of.generation,
                &address,
            ];
            let labels = of.labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
            Box::new(Shelf::of(words.into_iter().chain(labels)))
        })
    }
}

fn word(endpoint: Option<&Endpoint>, word: Word) -> Str {
    look(endpoint, Str::NONE, |endpoint| Str::lent_if(endpoint.words().get(word as usize)))
}

/// Makes an endpoint: to publish, or for the tests of your own code. Yours to free.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_new(
    fields: *const EndpointFields,
    endpoint: *mut *mut Endpoint,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("endpoint", endpoint, error, || made_of(&grown(fields)?))
}

fn made_of(of: &EndpointFields) -> Result<Endpoint> {
    let (service, host) = (text("service", &of.service)?, text("host", &of.host)?);
    let ip = optional_text("ip", &of.ip)?.unwrap_or(host);
    let parsed: IpAddr = ip.parse().map_err(|_| {
        Error::invalid(format!("{ip:?} is not an IP address; give ip beside a host that is a name"))
    })?;
    let or_none = |name, given| optional_text(name, given).map(|text| text.unwrap_or_default().to_owned());
    let instance_id = optional_text("instance_id", &of.instance_id)?
        .map_or_else(|| plumline::default_instance_id(service, host, of.port), str::to_owned);
    let labels = fields("labels", &of.labels, of.label_count)?;
    let mut endpoint = plumline::Endpoint::new(service, parsed, of.port);
    endpoint.instance_id = instance_id;
    endpoint.node_id = or_none("node_id", &of.node_id)?;
    host.clone_into(&mut endpoint.host);
    optional_text("protocol", &of.protocol)?.unwrap_or("http").clone_into(&mut endpoint.protocol);
    endpoint.version = or_none("version", &of.version)?;
    endpoint.labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    endpoint.weight = count(of.weight).unwrap_or(1);
    endpoint.zone = or_none("zone", &of.zone)?;
    endpoint.healthy = of.unhealthy == 0;
    endpoint.last_seen = of.last_seen;
    endpoint.source = or_none("source", &of.source)?;
    endpoint.generation = or_none("generation", &of.generation)?;
    Ok(Arc::new(endpoint).into())
}

/// The same endpoint once more, yours to free: to keep one that belongs to a list, a pick or a response. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_clone(endpoint: Option<&Endpoint>) -> Option<Box<Endpoint>> {
    look(endpoint, None, |endpoint| Some(Box::new(endpoint.inner.clone().into())))
}

/// Frees an endpoint of your own, made or cloned. Never one that belongs to something else. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_free(endpoint: Option<Box<Endpoint>>) {
    free(endpoint);
}

/// Whether two endpoints are equal in everything.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_equals(one: Option<&Endpoint>, other: Option<&Endpoint>) -> bool {
    say(false, || one.map(|one| &one.inner) == other.map(|other| &other.inner))
}

/// `ip:port`, an IPv6 address in brackets.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_address(endpoint: Option<&Endpoint>) -> Str {
    word(endpoint, Word::Address)
}

/// The service it belongs to.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_service(endpoint: Option<&Endpoint>) -> Str {
    word(endpoint, Word::Service)
}

/// The instance that registered it.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_instance_id(endpoint: Option<&Endpoint>) -> Str {
    word(endpoint, Word::InstanceId)
}

/// The machine it runs on, as the registry calls it.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_node_id(endpoint: Option<&Endpoint>) -> Str {
    word(endpoint, Word::NodeId)
}

/// The name or address it was registered under.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_host(endpoint: Option<&Endpoint>) -> Str {
    word(endpoint, Word::Host)
}

/// Where it is reached: the host resolved, or the host itself where that is an address.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_ip(endpoint: Option<&Endpoint>) -> Str {
    word(endpoint, Word::Ip)
}

/// The port.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_port(endpoint: Option<&Endpoint>) -> u16 {
    look(endpoint, 0, |endpoint| endpoint.inner.port)
}

/// `http`, `https`, `grpc`, `tcp`, …
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_protocol(endpoint: Option<&Endpoint>) -> Str {
    word(endpoint, Word::Protocol)
}

/// The version it was registered with; empty where there is none.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_version(endpoint: Option<&Endpoint>) -> Str {
    word(endpoint, Word::Version)
}

/// The zone it runs in; empty where there is none.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_zone(endpoint: Option<&Endpoint>) -> Str {
    word(endpoint, Word::Zone)
}

/// The address of the registry that told us, without secrets.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_source(endpoint: Option<&Endpoint>) -> Str {
    word(endpoint, Word::Source)
}

/// Random per registration, where the registry carries one: another one means the program was started anew.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_generation(endpoint: Option<&Endpoint>) -> Str {
    word(endpoint, Word::Generation)
}

/// Its share of the traffic against the others'.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_weight(endpoint: Option<&Endpoint>) -> u32 {
    look(endpoint, 0, |endpoint| endpoint.inner.weight)
}

/// Whether the registry reports it as healthy.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_is_healthy(endpoint: Option<&Endpoint>) -> bool {
    look(endpoint, false, |endpoint| endpoint.inner.healthy)
}

/// When the registry last heard of it, unix seconds by the registry's clock; 0 if it does not say.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_last_seen(endpoint: Option<&Endpoint>) -> u64 {
    look(endpoint, 0, |endpoint| endpoint.inner.last_seen)
}

/// How many labels it has.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_label_count(endpoint: Option<&Endpoint>) -> usize {
    look(endpoint, 0, |endpoint| endpoint.inner.labels.len())
}

/// The label at this index, sorted by name; both strings are none past the end.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_label_at(endpoint: Option<&Endpoint>, index: usize) -> Field {
    look(endpoint, Field::NONE, |endpoint| {
        let at = |place: usize| Str::lent_if(endpoint.words().get(place));
        let Some(place) = index.checked_mul(2).and_then(|place| place.checked_add(WORDS)) else {
            return Field::NONE;
        };
        Field { name: at(place), value: at(place + 1) }
    })
}

/// The value of a label; none where it is not there.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoint_label(endpoint: Option<&Endpoint>, name: Str) -> Str {
    look(endpoint, Str::NONE, |endpoint| {
        let name = text("name", &name).unwrap_or_default();
        let place = endpoint.inner.labels.keys().position(|known| known == name);
        place.map_or(Str::NONE, |place| Str::lent_if(endpoint.words().get(WORDS + 2 * place + 1)))
    })
}

/// How many endpoints there are.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoints_count(endpoints: Option<&Endpoints>) -> usize {
    look(endpoints, 0, |endpoints| endpoints.0.len())
}

/// The endpoint at this index, from 0; NULL past the end. It belongs to the list.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoints_at(endpoints: Option<&Endpoints>, index: usize) -> Option<&Endpoint> {
    look(endpoints, None, |endpoints| endpoints.0.get(index))
}

/// Frees a list that `plumline_client_discover()` gave you, with its endpoints. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_endpoints_free(endpoints: Option<Box<Endpoints>>) {
    free(endpoints);
}

/// The objects behind borrowed endpoints, for the core.
pub(crate) fn of_handles(
    name: &str,
    first: *const *const Endpoint,
    count: usize,
) -> Result<Vec<plumline::Endpoint>> {
    let handles = super::input::handles(name, &first, count)?;
    Ok(handles.into_iter().map(|endpoint| plumline::Endpoint::clone(&endpoint.inner)).collect())
}

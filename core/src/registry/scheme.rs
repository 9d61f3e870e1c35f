//! The schemes of registry addresses, and the parts that each of them allows.

/// One scheme, and the parts that its addresses may have.
pub(super) struct AddressScheme {
    pub(super) name: &'static str,
    /// What may be between `://` and the path.
    pub(super) hosts: HostsRule,
    pub(super) params: &'static [&'static str],
    pub(super) path: PathRule,
    /// Whether a user and a password may precede the hosts.
    pub(super) has_user: bool,
    pub(super) example: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HostsRule {
    /// Nothing.
    Empty,
    /// A name or nothing.
    Name,
    /// At least one host, with the default port, if there is one.
    Ports(Option<u16>),
    /// Hosts with this default port, or nothing.
    MaybePorts(u16),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PathRule {
    /// No path.
    None,
    /// A path is required.
    Required,
    /// The prefix of all records in that system, with its default.
    Prefix(&'static str),
}

/// All schemes.
pub(super) const SCHEMES: [AddressScheme; 15] = [
    plum("plum", Some(8080), "plum://127.0.0.1:8080"),
    plum("plum+tls", None, "plum+tls://registry.example:8443"),
    plum("http", Some(80), "http://127.0.0.1:8080"),
    plum("https", Some(443), "https://registry.example"),
    consul("consul", 8500, "consul://127.0.0.1:8500"),
    consul("consul+tls", 8501, "consul+tls://consul.example:8501"),
    etcd("etcd", "etcd://127.0.0.1:2379"),
    etcd("etcd+tls", "etcd+tls://etcd.example:2379"),
    AddressScheme {
        params: &["namespace", "group", "cluster"],
        has_user: true,
        ..scheme("nacos", HostsRule::Ports(Some(8848)), "nacos://127.0.0.1:8848")
    },
    AddressScheme {
        params: &["session_timeout"],
        path: PathRule::Prefix(PREFIX),
        has_user: true,
        ..scheme("zookeeper", HostsRule::Ports(Some(2181)), "zookeeper://127.0.0.1:2181")
    },
    dns("dns", "dns:///{service}.default.svc.cluster.local:8080"),
    dns("dns+srv", "dns+srv:///_http._tcp.{service}.example"),
    scheme("memory", HostsRule::Name, "memory:// or memory://name"),
    AddressScheme {
        params: &["protocol"],
        ..scheme("static", HostsRule::Ports(None), "static://10.0.0.7:8080,10.0.0.8:8080")
    },
    AddressScheme {
        path: PathRule::Required,
        ..scheme("file", HostsRule::Empty, "file:///etc/plumline/services.yaml")
    },
];

/// The default prefix of services in etcd and ZooKeeper.
const PREFIX: &str = "/laravel-go/services";

/// A scheme that allows hosts only.
const fn scheme(name: &'static str, hosts: HostsRule, example: &'static str) -> AddressScheme {
    AddressScheme { name, hosts, params: &[], path: PathRule::None, has_user: false, example }
}

const fn plum(name: &'static str, port: Option<u16>, example: &'static str) -> AddressScheme {
    AddressScheme { params: &["token"], ..scheme(name, HostsRule::Ports(port), example) }
}

const fn consul(name: &'static str, port: u16, example: &'static str) -> AddressScheme {
    AddressScheme {
        params: &["dc", "token", "tag", "prefix"],
        ..scheme(name, HostsRule::Ports(Some(port)), example)
    }
}

const fn etcd(name: &'static str, example: &'static str) -> AddressScheme {
    let hosts = HostsRule::Ports(Some(2379));
    AddressScheme { path: PathRule::Prefix(PREFIX), has_user: true, ..scheme(name, hosts, example) }
}

const fn dns(name: &'static str, example: &'static str) -> AddressScheme {
    AddressScheme {
        params: &["protocol"],
        path: PathRule::Required,
        ..scheme(name, HostsRule::MaybePorts(53), example)
    }
}

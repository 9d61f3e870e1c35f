//! The schemes of registry addresses, and the parts that each of them allows.

/// One scheme, and the parts that its addresses may have.
pub(super) struct Scheme {
    pub(super) name: &'static str,
    /// What may be between `://` and the path.
    pub(super) hosts: Hosts,
    pub(super) params: &'static [&'static str],
    pub(super) path: Path,
    /// Whether a user and a password may precede the hosts.
    pub(super) has_user: bool,
    pub(super) example: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hosts {
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
pub(super) enum Path {
    /// No path.
    None,
    /// A path is required.
    Required,
    /// The prefix of all records in that system, with its default.
    Prefix(&'static str),
}

/// All schemes.
pub(super) const SCHEMES: [Scheme; 15] = [
    plum("plum", Some(8080), "plum://127.0.0.1:8080"),
    plum("plum+tls", None, "plum+tls://registry.example:8443"),
    plum("http", Some(80), "http://127.0.0.1:8080"),
    plum("https", Some(443), "https://registry.example"),
    consul("consul", 8500, "consul://127.0.0.1:8500"),
    consul("consul+tls", 8501, "consul+tls://consul.example:8501"),
    etcd("etcd", "etcd://127.0.0.1:2379"),
    etcd("etcd+tls", "etcd+tls://etcd.example:2379"),
    Scheme {
        params: &["namespace", "group", "cluster"],
        has_user: true,
        ..scheme("nacos", Hosts::Ports(Some(8848)), "nacos://127.0.0.1:8848")
    },
    Scheme {
        params: &["session_timeout"],
        path: Path::Prefix(PREFIX),
        has_user: true,
        ..scheme("zookeeper", Hosts::Ports(Some(2181)), "zookeeper://127.0.0.1:2181")
    },
    dns("dns", "dns:///{service}.default.svc.cluster.local:8080"),
    dns("dns+srv", "dns+srv:///_http._tcp.{service}.example"),
    scheme("memory", Hosts::Name, "memory:// or memory://name"),
    Scheme {
        params: &["protocol"],
        ..scheme("static", Hosts::Ports(None), "static://10.0.0.7:8080,10.0.0.8:8080")
    },
    Scheme { path: Path::Required, ..scheme("file", Hosts::Empty, "file:///etc/plumline/services.yaml") },
];

/// The default prefix of services in etcd and ZooKeeper.
const PREFIX: &str = "/laravel-go/services";

/// A scheme that allows hosts only.
const fn scheme(name: &'static str, hosts: Hosts, example: &'static str) -> Scheme {
    Scheme { name, hosts, params: &[], path: Path::None, has_user: false, example }
}

const fn plum(name: &'static str, port: Option<u16>, example: &'static str) -> Scheme {
    Scheme { params: &["token"], ..scheme(name, Hosts::Ports(port), example) }
}

const fn consul(name: &'static str, port: u16, example: &'static str) -> Scheme {
    Scheme { params: &["dc", "token", "tag", "prefix"], ..scheme(name, Hosts::Ports(Some(port)), example) }
}

const fn etcd(name: &'static str, example: &'static str) -> Scheme {
    let hosts = Hosts::Ports(Some(2379));
    Scheme { path: Path::Prefix(PREFIX), has_user: true, ..scheme(name, hosts, example) }
}

const fn dns(name: &'static str, example: &'static str) -> Scheme {
    Scheme { params: &["protocol"], path: Path::Required, ..scheme(name, Hosts::MaybePorts(53), example) }
}

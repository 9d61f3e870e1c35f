//! Every Rust block of the documentation, as a doc test.

/// Names a page for the doc tests.
macro_rules! pages {
    ($($name:ident: $path:literal),+ $(,)?) => {
        /// The pages whose Rust blocks are doc tests.
        pub const PAGES: &[&str] = &[$($path),+];

        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../../", $path))]
            pub struct $name;
        )+
    };
}

pages! {
    Readme: "README.md",
    ReadmeZh: "README.zh.md",
    Architecture: "ARCHITECTURE.md",
    Contributing: "CONTRIBUTING.md",
    Changelog: "CHANGELOG.md",
    Roadmap: "ROADMAP.md",
    Summary: "docs/SUMMARY.md",
    GettingStarted: "docs/getting-started.md",
    Defaults: "docs/defaults.md",
    WhatIsRetried: "docs/what-is-retried.md",
    WhatCountsAsAFailure: "docs/what-counts-as-a-failure.md",
    HeadersWeSend: "docs/headers-we-send.md",
    SigtermAndContainers: "docs/sigterm-and-containers.md",
    NothingFound: "docs/nothing-found.md",
    ThreadsAndFork: "docs/threads-and-fork.md",
    TestingYourCode: "docs/testing-your-code.md",
    Rust: "docs/rust.md",
    Python: "docs/python.md",
    Java: "docs/java.md",
    C: "docs/c.md",
    Cpp: "docs/cpp.md",
    Registries: "docs/registries.md",
    Consul: "docs/consul.md",
    Dns: "docs/dns.md",
    Etcd: "docs/etcd.md",
    Nacos: "docs/nacos.md",
    ZooKeeper: "docs/zookeeper.md",
    TheCommand: "docs/the-command.md",
    Controller: "docs/controller.md",
    Benchmarks: "docs/benchmarks.md",
}

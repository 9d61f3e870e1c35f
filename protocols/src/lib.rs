//! Writes the Rust code of the gRPC protocols that registries speak.
//!
//! The code is checked in, under `core/src/registry/`, so that nobody who builds Plumline needs these tools. The
//! test here fails where it differs from what the `.proto` files beside this folder would give now;
//! `UPDATE=1 cargo test --package plumline-protocols` writes it anew.

use std::path::Path;

/// The protocols, and where in the repository each one's code lies.
pub const PROTOCOLS: [(&str, &str); 2] =
    [("etcd.proto", "core/src/registry/etcd/proto.rs"), ("nacos.proto", "core/src/registry/nacos/proto.rs")];

/// The code of one protocol; `scratch` is an empty folder.
pub fn generate(proto: &str, scratch: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let described = protox::compile([here.join(proto)], [here])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .emit_package(true)
        .out_dir(scratch)
        .compile_fds(described)?;
    let mut code =
        format!("// Written from protocols/{proto} by the tests of protocols/; not to be edited.\n\n");
    for file in std::fs::read_dir(scratch)? {
        code.push_str(&std::fs::read_to_string(file?.path())?);
    }
    Ok(code)
}

//! How the library is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // A class loader that is collected unloads its library. The core's threads may still run in it: stay mapped.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        // The jar carries it: names for a backtrace stay, line tables go.
        println!("cargo:rustc-cdylib-link-arg=-Wl,--strip-debug");
    }
}

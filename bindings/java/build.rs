//! Linker options of the library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // When a class loader is collected, its library is unloaded. Threads of the core may still be running in it, so the
        // library stays mapped.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        // The jar contains the library: keep symbol names for backtraces, drop line tables to save space.
        println!("cargo:rustc-cdylib-link-arg=-Wl,--strip-debug");
    }
}

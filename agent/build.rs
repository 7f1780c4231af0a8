//! Links the stack unwinder of GCC into the binary, so that it needs no shared library but the C library.
//!
//! Rust's standard library asks for `libgcc_s.so`. With the static `libgcc_eh.a` in front of it the linker
//! finds nothing left to take from there, and leaves it out.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |variable: &str, value: &str| std::env::var(variable).is_ok_and(|found| found == value);
    let gnu = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if !(gnu && native()) {
        return;
    }
    let Ok(found) = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output() else {
        return;
    };
    let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    // A compiler that has none prints the bare name: then the binary needs libgcc_s, and works as well.
    if let Some(folder) = Path::new(&path).parent().filter(|folder| folder.is_absolute()) {
        println!("cargo:rustc-link-search=native={}", folder.display());
        println!("cargo:rustc-link-lib=static:+whole-archive=gcc_eh");
    }
}

/// A cross compiler has another name and another library.
fn native() -> bool {
    std::env::var("HOST").ok() == std::env::var("TARGET").ok()
}

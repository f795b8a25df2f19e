//! Links the unwinder into the binary.
//!
//! Rust links glibc programs against `libgcc_s.so`, for backtraces. Finding, mapping and relocating that library takes
//! 0.07 ms at the start of every command, a hundredth of a whole `run`; the same code is in `libgcc_eh.a`, which every
//! GCC has. A linker script of the library's name, found before the library, puts it in place.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script: it asks the compiler and writes a generated file"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |key: &str| std::env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    // Another compiler's files are no business of ours, and without the archive the shared library does as well.
    let native = std::env::var("HOST").is_ok_and(|host| std::env::var("TARGET").is_ok_and(|target| target == host));
    let (true, "linux", "gnu", Some(out)) = (
        native,
        target("OS").as_str(),
        target("ENV").as_str(),
        std::env::var_os("OUT_DIR"),
    ) else {
        return;
    };
    if !has_archive("libgcc_eh.a") || !has_archive("libgcc.a") {
        return;
    }
    let out = PathBuf::from(out);
    match std::fs::write(out.join("libgcc_s.so"), "GROUP ( libgcc_eh.a libgcc.a )\n") {
        Ok(()) => println!("cargo::rustc-link-search=native={}", out.display()),
        Err(error) => println!("cargo::warning=the unwinder stays a shared library: {error}"),
    }
}

/// Whether the C compiler, which links the program, has this archive: it answers with a path only then.
fn has_archive(name: &str) -> bool {
    Command::new("cc")
        .arg(format!("-print-file-name={name}"))
        .output()
        .is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_absolute())
}

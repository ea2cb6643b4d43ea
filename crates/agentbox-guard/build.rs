//! Compiles the kernel's part with clang(1): Rust for the kernel's virtual machine needs a nightly compiler.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const SOURCE: &str = "bpf/guard.bpf.c";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=AGENTBOX_CLANG");
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<(), String> {
    let clang = std::env::var_os("AGENTBOX_CLANG").map_or_else(|| PathBuf::from("clang"), PathBuf::from);
    let out = std::env::var_os("OUT_DIR").ok_or("cargo gives no OUT_DIR")?;
    // -g: the types by which the loader finds the running kernel's offsets. The debugger's sections come
    // with them and are left out by the attribute of those that are loaded.
    let status = Command::new(&clang)
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror", "-c", SOURCE, "-o"])
        .arg(Path::new(&out).join("guard.bpf.o"))
        .status()
        .map_err(|error| {
            format!(
                "{} cannot be run: {error}; install clang and libbpf-dev (the names are Debian's), as \
                 `cargo xtask setup` does, or name a compiler in AGENTBOX_CLANG",
                clang.display()
            )
        })?;
    if !status.success() {
        return Err(format!("{SOURCE}: clang ended with {status}; it needs libbpf's headers (libbpf-dev)"));
    }
    Ok(())
}

//! Whether this kernel can ask a program at all, and why not.

use std::path::Path;

/// Names of the security modules that are in force, in order.
const MODULES: &str = "/sys/kernel/security/lsm";
/// Types of the running kernel, by which the program is fitted to it.
const TYPES: &str = "/sys/kernel/btf/vmlinux";
/// Where programs and maps are kept.
pub(super) const FILE_SYSTEM: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of statfs(2).
const MAGIC: u32 = 0xcafe_4a11;

/// What this machine lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unavailable {
    /// In words.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Unavailable {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

pub(super) const REMEDY_MODULE: &str = "add bpf to the `lsm=` list of the kernel's command line";

/// Looks, and loads nothing.
///
/// # Errors
/// [`Unavailable`] with the first thing that is missing.
pub fn observe() -> Result<(), Unavailable> {
    // Where the list cannot be read, loading the program shows whether it is asked.
    if let Ok(list) = std::fs::read_to_string(MODULES) {
        modules(list.trim())?;
    }
    if !Path::new(TYPES).exists() {
        return Err(Unavailable::new(
            format!("the kernel does not tell its types ({TYPES})"),
            "boot a kernel with CONFIG_DEBUG_INFO_BTF",
        ));
    }
    let mounted = rustix::fs::statfs(FILE_SYSTEM).is_ok_and(|fs| fs.f_type as u32 == MAGIC);
    if !mounted {
        return Err(Unavailable::new(
            format!("no file system for programs of the kernel at {FILE_SYSTEM}"),
            format!("mount -t bpf bpf {FILE_SYSTEM}"),
        ));
    }
    Ok(())
}

fn modules(list: &str) -> Result<(), Unavailable> {
    if list.split(',').any(|name| name == "bpf") {
        return Ok(());
    }
    Err(Unavailable::new(format!("`bpf` is not among the kernel's security modules ({list})"), REMEDY_MODULE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_looked_for_by_its_whole_name() {
        assert_eq!(modules("capability,landlock,bpf"), Ok(()));
        let error = modules("capability,bpfx").unwrap_err();
        assert!(error.what.contains("(capability,bpfx)") && error.remedy.contains("lsm="), "{error:?}");
    }
}

//! Whether a program is static: the launcher must not load anything that was not built with it.

use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// Program header type of the path of a dynamic loader (elf(5)).
const PT_INTERP: u32 = 3;

/// Ends with an error when the program asks for a dynamic loader.
pub(crate) fn require_static(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if names_a_loader(&bytes).with_context(|| format!("{} is no program", path.display()))? {
        bail!("{} is not static: it names a dynamic loader", path.display());
    }
    Ok(())
}

/// Looks for a `PT_INTERP` header in a 64-bit little-endian ELF file. A static position-independent
/// program has a dynamic section but no loader.
fn names_a_loader(bytes: &[u8]) -> Result<bool> {
    if bytes.get(..6) != Some(&[0x7f, b'E', b'L', b'F', 2, 1]) {
        bail!("not a 64-bit little-endian ELF file");
    }
    let table = usize::try_from(u64::from_le_bytes(field(bytes, 0x20)?))?;
    let entry_size = usize::from(u16::from_le_bytes(field(bytes, 0x36)?));
    let entries = usize::from(u16::from_le_bytes(field(bytes, 0x38)?));
    for entry in 0..entries {
        let at = table.checked_add(entry * entry_size).context("a header lies beyond any file")?;
        if u32::from_le_bytes(field(bytes, at)?) == PT_INTERP {
            return Ok(true);
        }
    }
    Ok(false)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let end = at.checked_add(N).context("a field lies beyond any file")?;
    let slice = bytes.get(at..end).context("the file is cut off")?;
    Ok(slice.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(header_type: u32) -> Vec<u8> {
        let mut bytes = vec![0; 0x40 + 0x38];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        bytes[0x20] = 0x40;
        bytes[0x36] = 0x38;
        bytes[0x38] = 1;
        bytes[0x40..0x44].copy_from_slice(&header_type.to_le_bytes());
        bytes
    }

    #[test]
    fn a_program_with_a_loader_is_found_out() {
        assert!(names_a_loader(&program(PT_INTERP)).unwrap());
        assert!(!names_a_loader(&program(1)).unwrap());
    }

    #[test]
    fn what_is_no_program_is_an_error() {
        assert!(names_a_loader(b"#!/bin/sh").is_err());
        assert!(names_a_loader(&program(1)[..0x41]).is_err());
    }

    #[test]
    fn the_test_itself_names_a_loader() {
        let this = std::env::current_exe().unwrap();
        assert!(names_a_loader(&std::fs::read(this).unwrap()).unwrap());
    }
}

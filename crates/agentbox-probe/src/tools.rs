//! Small tools for the tests around the probe.

use crate::sys::call;
use agentbox_probe::Handle;
use rustix::fs::FlockOperation;
use std::ffi::CString;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// The file handle of a path (name_to_handle_at(2)).
pub(crate) fn handle(path: &str) -> Result<Handle, String> {
    let path = CString::new(path).map_err(|error| error.to_string())?;
    let (mut bytes, mut mount) = ([0_u8; 136], [0_u8; 4]);
    bytes[..4].copy_from_slice(&128_u32.to_ne_bytes());
    call!(libc::SYS_name_to_handle_at, libc::AT_FDCWD, &*path, bytes.as_mut_slice(), mount.as_mut_slice(), 0)
        .map_err(|error| error.to_string())?;
    let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    let length = u32::from_ne_bytes(word(0)) as usize;
    Ok(Handle { kind: i32::from_ne_bytes(word(4)), bytes: bytes[8..8 + length.min(128)].to_vec() })
}

/// Joins a new session keyring, puts the content of a file into it as a key of this name that everybody
/// may read, and becomes the program.
pub(crate) fn with_key(
    name: &str,
    file: &str,
    program: &str,
    arguments: &[&str],
) -> Result<ExitCode, String> {
    let secret = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let name = CString::new(name).map_err(|error| error.to_string())?;
    call!(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, 0).map_err(|error| error.to_string())?;
    let keyring = libc::KEY_SPEC_SESSION_KEYRING;
    let key = call!(libc::SYS_add_key, c"user", &*name, secret.as_slice(), secret.len(), keyring)
        .map_err(|error| error.to_string())?;
    // Everybody may view, read, search and link it, so that nothing but the keyring keeps it away.
    for id in [i64::from(keyring), key] {
        call!(libc::SYS_keyctl, libc::KEYCTL_SETPERM, id, 0x3f1b_1b1b).map_err(|error| error.to_string())?;
    }
    Err(Command::new(program).args(arguments).exec().to_string())
}

/// Waits until standard input ends.
pub(crate) fn wait() -> Result<ExitCode, String> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// What the names of what [`keep`] removes begin with.
const REMOVABLE: &[&str] = &[".agentbox-verify-", "agentbox-probe-"];

/// Makes the first path a directory, so that it is never there without somebody who cares for it, and holds each directory
/// among the paths locked, so that others see that. Removes all of them when standard input ends: also when whoever holds
/// its other end was killed.
pub(crate) fn keep(paths: &[&str]) -> Result<ExitCode, String> {
    for path in paths {
        let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
        if !REMOVABLE.iter().any(|start| name.starts_with(start)) {
            return Err(format!("{path}: only what begins with one of {REMOVABLE:?} is removed"));
        }
    }
    // What ends the one who started this by its terminal does not end this.
    let _already_leading = rustix::process::setsid();
    if let Some(path) = paths.first() {
        DirBuilder::new().mode(0o755).create(path).map_err(|error| format!("{path}: {error}"))?;
    }
    let locked: Vec<File> = paths
        .iter()
        .filter_map(|path| File::open(path).ok())
        .filter(|file| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).is_ok())
        .collect();
    println!("kept");
    let waited = wait();
    let mut left = Vec::new();
    for path in paths {
        // A link is removed, not followed.
        let removed = match std::fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => remove_directory(path),
            Ok(_) => std::fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                left.push(format!("{path}: {error}"))
            }
            _ => {}
        }
    }
    drop(locked);
    if left.is_empty() { waited } else { Err(left.join("\n")) }
}

/// As the person whose it is, in their own home: nobody else's rights are lent to a path.
#[expect(
    clippy::disallowed_methods,
    reason = "it holds on to each directory's descriptor, and has no rights to lend"
)]
fn remove_directory(path: &str) -> std::io::Result<()> {
    std::fs::remove_dir_all(path)
}

/// Writes as many bytes to each output: a sequence that is known, another one for each.
pub(crate) fn emit(bytes: &str) -> Result<ExitCode, String> {
    let length: usize = bytes.parse().map_err(|_| format!("{bytes} is no number of bytes"))?;
    let (mut out, mut errors) = (std::io::stdout().lock(), std::io::stderr().lock());
    let (mut at, piece) = (0, 8192);
    while at < length {
        let end = (at + piece).min(length);
        let first: Vec<u8> = (at..end).map(|index| (index % 251) as u8).collect();
        let second: Vec<u8> = (at..end).map(|index| (index % 241) as u8).collect();
        out.write_all(&first).and_then(|()| errors.write_all(&second)).map_err(|error| error.to_string())?;
        at = end;
    }
    out.flush().map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// A text as a C string; an interior NUL becomes the empty string.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

//! The attacks, a file for each threat. `pitfalls` holds what an attack on the design itself found.

mod pitfalls;
mod t1_files;
mod t1_kernel_files;
mod t2_addresses;
mod t2_dns;
mod t2_http;
mod t2_kernel;
mod t2_limits;
mod t2_names;
mod t2_packets;
mod t2_protocols;
mod t2_tls;
pub(crate) mod t4_agent;
mod t4_credentials;
mod t5_host;
mod t5_link;
mod t5_ranges;
mod t6_home;
mod t6_project;
mod t6_triggers;
mod t7_namespaces;
mod t7_privilege;
mod t7_set_id;
mod t7_sockets;
mod t7_syscalls;
mod t8_neighbours;

use crate::attack::Attack;
use crate::errno::Errno;
use agentbox_probe::{Facts, MountLine};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The tables, in the order in which they are listed.
pub(crate) const TABLES: &[&[Attack]] = &[
    t1_files::TABLE,
    t1_kernel_files::TABLE,
    t2_addresses::TABLE,
    t2_names::TABLE,
    t2_protocols::TABLE,
    t2_packets::TABLE,
    t2_dns::TABLE,
    t2_tls::TABLE,
    t2_http::TABLE,
    t2_kernel::TABLE,
    t2_limits::TABLE,
    t4_credentials::TABLE,
    t4_agent::TABLE,
    t5_ranges::TABLE,
    t5_ranges::FIXED,
    t5_host::TABLE,
    t5_link::TABLE,
    t6_home::TABLE,
    t6_project::TABLE,
    t6_triggers::TABLE,
    t7_privilege::TABLE,
    t7_set_id::TABLE,
    t7_namespaces::TABLE,
    t7_syscalls::TABLE,
    t7_sockets::TABLE,
    t8_neighbours::TABLE,
    pitfalls::TABLE,
];

/// Its control runs in a pid namespace where process 1 is root's own and no program of the machine's.
const OWN_FIRST: &str = agentbox_probe::OWN_FIRST_PROCESS;

/// Most bytes of a file that are searched for a secret.
const LOOK_AT_BYTES: u64 = 64 * 1024;

/// The beginning of a file, opened so that neither a FIFO nor a terminal holds the probe up.
fn read_beginning(path: &Path) -> Result<Vec<u8>, Errno> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let mut bytes = Vec::new();
    file.take(LOOK_AT_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn open_with(path: &str, flags: i32) -> Result<File, Errno> {
    let write = flags & libc::O_ACCMODE != libc::O_RDONLY;
    let mut options = OpenOptions::new();
    options.read(flags & libc::O_ACCMODE != libc::O_WRONLY).write(write);
    Ok(options.custom_flags((flags & !libc::O_ACCMODE) | libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?)
}

/// Ids of the processes that `/proc` shows.
fn processes() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn mounts() -> Vec<MountLine> {
    MountLine::parse_all(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

/// A path as a C string; an interior NUL becomes the empty path, which no call accepts.
fn c(path: impl AsRef<Path>) -> CString {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_ref().as_os_str().as_bytes()).unwrap_or_default()
}

/// A name in the project that belongs to this run, for what an attack makes and removes again.
fn scratch(facts: &Facts, name: &str) -> PathBuf {
    let directory = if facts.project.is_empty() { "/tmp" } else { facts.project.as_str() };
    Path::new(directory).join(format!(".agentbox-probe-{}-{name}", std::process::id()))
}

/// Every planted secret.
fn secrets(facts: &Facts) -> impl Iterator<Item = &String> {
    facts.planted.secrets.values().flatten()
}

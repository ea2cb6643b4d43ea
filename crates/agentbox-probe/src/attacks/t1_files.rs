//! T1: files of the host that a session was not given.

use super::{c, mounts, open_with, processes, read_beginning, scratch, secrets};
use crate::attack::{Answer, Attack, any_of, judge, lacking, refused, succeeded};
use crate::errno::Errno;
use crate::own_state;
use crate::sys::{call, owned};
use agentbox_probe::Facts;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(super) const TABLE: &[Attack] = &[
    Attack::new("t1.read-planted-key", "read a secret of the person's home by its path", read_secrets)
        .needs(&["planted.secrets"]),
    Attack::new(
        "t1.planted-key-exists",
        "learn that a secret file exists (anything but ENOENT)",
        secrets_exist,
    )
    .needs(&["planted.secrets"])
    .l2(),
    Attack::new("t1.read-other-project", "read a file of another project", read_other_project)
        .needs(&["planted.other_project"])
        .l2(),
    Attack::new("t1.other-project-exists", "learn that another project exists", other_project_exists)
        .needs(&["planted.other_project"])
        .l2(),
    Attack::new("t1.read-shadow", "open the host's password hashes", |_| {
        judge(open_with("/etc/shadow", libc::O_RDONLY))
    })
    .root(),
    Attack::new("t1.through-proc-root", "reach a secret through /proc/PID/root", through_root)
        .needs(&["planted.secrets"]),
    Attack::new("t1.through-proc-cwd", "reach a secret through /proc/PID/cwd", through_cwd)
        .needs(&["planted.secrets", "victim"]),
    Attack::new("t1.through-proc-fd", "read a secret through /proc/PID/fd", through_fd).needs(&["victim"]),
    Attack::new("t1.search-every-mount", "find a secret by walking all that is mounted", search)
        .needs(&["canary", "planted_unix_s"])
        .l2(),
    Attack::new("t1.symlink-out", "read a secret through a symbolic link in the project", symlink_out)
        .needs(&["planted.secrets"]),
    Attack::new("t1.hard-link-out", "link a secret into the project", hard_link_out)
        .needs(&["planted.secrets"]),
    Attack::new("t1.exchange-out", "exchange a file of the project with one outside", exchange_out)
        .needs(&["planted.own_file"]),
    Attack::new("t1.move-git-aside", "rename .git so that another can take its place", move_git)
        .needs(&["project"]),
    Attack::new("t1.open-by-handle", "open a secret by its file handle", open_by_handle)
        .needs(&["planted.handle"])
        .root(),
    Attack::new("t1.inherited-descriptor", "use a descriptor that was left open", inherited),
    Attack::new("t1.write-own-file", "write a file of the person's outside the project", write_own_file)
        .needs(&["planted.own_file"]),
    Attack::new("t1.chmod-own-file", "change the mode of a file outside the project", chmod_own_file)
        .needs(&["planted.own_file"]),
    Attack::new("t1.touch-own-file", "change the times of a file outside the project", touch_own_file)
        .needs(&["planted.own_file"]),
    Attack::new("t1.attribute-own-file", "set an extended attribute outside the project", attribute_own_file)
        .needs(&["planted.own_file"]),
    Attack::new("t1.write-system-directory", "make a file in /usr", |_| make_in("/usr")).root(),
    Attack::new("t1.write-root-directory", "make a file in /", |_| make_in("/")).root(),
    Attack::new(
        "t1.system-mount-writable",
        "find a system directory on a mount that is not read-only",
        |_| writable_mount(&["/usr", "/etc", "/bin", "/lib", "/nix/store", "/opt"]),
    ),
    Attack::new("t1.root-mount-writable", "find the root directory on a mount that is not read-only", |_| {
        writable_mount(&["/"])
    }),
    Attack::new("t1.sparse-file", "make a file of 1 TB that holds nothing", sparse)
        .needs(&["project"])
        .unpromised("a size is not a boundary: it takes no room"),
];

/// Reads a file and says whether it holds the canary.
fn read_secret(facts: &Facts, path: &Path) -> Answer {
    match read_beginning(path) {
        Ok(bytes) if facts.canary.is_in(&bytes) => succeeded("read the secret"),
        Ok(_) => refused("opens, without the secret"),
        Err(error) => refused(error),
    }
}

fn try_paths<P: AsRef<Path>>(facts: &Facts, paths: impl IntoIterator<Item = P>) -> Answer {
    any_of(paths.into_iter().map(|path| {
        let path = path.as_ref();
        (path.display().to_string(), read_secret(facts, path))
    }))
}

/// Tries the secrets of one class; also what T4 asks for.
pub(super) fn read_class(facts: &Facts, class: &str) -> Answer {
    match facts.planted.secrets.get(class) {
        Some(paths) if !paths.is_empty() => try_paths(facts, paths),
        _ => lacking("secret of this class"),
    }
}

fn read_secrets(facts: &Facts) -> Answer {
    if secrets(facts).next().is_none() {
        return lacking("planted secret");
    }
    try_paths(facts, secrets(facts))
}

fn exists(path: &str) -> Answer {
    match fs::symlink_metadata(path).map_err(Errno::from) {
        Ok(_) => succeeded("exists"),
        Err(Errno(libc::ENOENT)) => refused("ENOENT"),
        Err(error) => succeeded(format!("{error} tells that it does")),
    }
}

fn secrets_exist(facts: &Facts) -> Answer {
    if secrets(facts).next().is_none() {
        return lacking("planted secret");
    }
    any_of(secrets(facts).map(|path| (path.clone(), exists(path))))
}

fn read_other_project(facts: &Facts) -> Answer {
    match &facts.planted.other_project {
        Some(path) => try_paths(facts, [path]),
        None => lacking("other project"),
    }
}

fn other_project_exists(facts: &Facts) -> Answer {
    match &facts.planted.other_project {
        Some(path) => exists(path),
        None => lacking("other project"),
    }
}

fn through_root(facts: &Facts) -> Answer {
    let Some(secret) = secrets(facts).next() else { return lacking("planted secret") };
    let relative = secret.trim_start_matches('/');
    try_paths(facts, processes().into_iter().map(|pid| format!("/proc/{pid}/root/{relative}")))
}

fn through_cwd(facts: &Facts) -> Answer {
    let Some(secret) = secrets(facts).next() else { return lacking("planted secret") };
    let relative = secret.strip_prefix(&facts.person.home).unwrap_or(secret).trim_start_matches('/');
    try_paths(facts, processes().into_iter().map(|pid| format!("/proc/{pid}/cwd/{relative}")))
}

fn through_fd(facts: &Facts) -> Answer {
    // Only regular files: reading a pipe would take what somebody else waits for.
    let own = std::process::id();
    let regular = processes().into_iter().filter(|pid| *pid != own).flat_map(|pid| {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file())
    });
    try_paths(facts, regular)
}

/// Most directory entries that the search looks at.
const MOST_ENTRIES: usize = 1_500_000;

fn search(facts: &Facts) -> Answer {
    if facts.canary.whole().is_empty() {
        return lacking("canary");
    }
    // Where people keep things first, so that a search that succeeds is short.
    let mut queue: VecDeque<PathBuf> =
        [facts.person.home.as_str(), "/home", "/root", "/tmp", "/var", "/run", "/mnt", "/srv", "/dev", "/"]
            .iter()
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .collect();
    queue.extend(mounts().into_iter().map(|mount| PathBuf::from(mount.target)));
    let (mut seen, mut entries) = (std::collections::HashSet::new(), 0_usize);
    while let Some(directory) = queue.pop_front() {
        let Ok(metadata) = fs::symlink_metadata(&directory) else { continue };
        // Files of the kernel are another attack's, and make no end.
        if directory.starts_with("/proc") || directory.starts_with("/sys") {
            continue;
        }
        if !metadata.is_dir() {
            if metadata.is_file() && holds(facts, &directory, &metadata) {
                return succeeded(format!("found in {}", directory.display()));
            }
            continue;
        }
        if !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            entries += 1;
            if entries > MOST_ENTRIES {
                return refused(format!("not found in {entries} entries"));
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => queue.push_back(entry.path()),
                Ok(kind) if kind.is_file() => {
                    if let Ok(metadata) = entry.metadata()
                        && holds(facts, &entry.path(), &metadata)
                    {
                        return succeeded(format!("found in {}", entry.path().display()));
                    }
                }
                _ => {}
            }
        }
    }
    refused(format!("not found in {entries} entries"))
}

fn holds(facts: &Facts, path: &Path, metadata: &fs::Metadata) -> bool {
    // The change time cannot be set, so a file that is older than the secret does not hold it.
    metadata.ctime() >= facts.planted_unix_s as i64
        && metadata.len() > 0
        && read_beginning(path).is_ok_and(|bytes| facts.canary.is_in(&bytes))
}

fn symlink_out(facts: &Facts) -> Answer {
    let link = scratch(facts, "link");
    any_of(secrets(facts).map(|secret| {
        let answer = match std::os::unix::fs::symlink(secret, &link) {
            Ok(()) => read_secret(facts, &link),
            Err(error) => refused(Errno::from(error)),
        };
        let _ = fs::remove_file(&link);
        (secret.clone(), answer)
    }))
}

fn hard_link_out(facts: &Facts) -> Answer {
    let link = scratch(facts, "hard");
    any_of(secrets(facts).map(|secret| {
        let answer = match fs::hard_link(secret, &link) {
            Ok(()) => read_secret(facts, &link),
            Err(error) => refused(Errno::from(error)),
        };
        let _ = fs::remove_file(&link);
        (secret.clone(), answer)
    }))
}

fn exchange_out(facts: &Facts) -> Answer {
    let Some(outside) = &facts.planted.own_file else { return lacking("own file") };
    let inside = scratch(facts, "exchange");
    if let Err(error) = fs::write(&inside, "exchanged") {
        return refused(Errno::from(error));
    }
    let (from, to) = (c(&inside), c(outside));
    let exchange =
        || call!(libc::SYS_renameat2, libc::AT_FDCWD, &*from, libc::AT_FDCWD, &*to, libc::RENAME_EXCHANGE);
    let result = exchange();
    if result.is_ok() {
        let _ = exchange();
    }
    let _ = fs::remove_file(&inside);
    judge(result)
}

fn move_git(facts: &Facts) -> Answer {
    let git = Path::new(&facts.project).join(".git");
    let aside = scratch(facts, "git");
    let result = fs::rename(&git, &aside).map_err(Errno::from);
    if result.is_ok() {
        let _ = fs::rename(&aside, &git);
    }
    judge(result)
}

fn open_by_handle(facts: &Facts) -> Answer {
    let Some(handle) = &facts.planted.handle else { return lacking("handle") };
    // struct file_handle: length, type, bytes (open_by_handle_at(2)).
    let mut bytes = (handle.bytes.len() as u32).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&handle.kind.to_ne_bytes());
    bytes.extend_from_slice(&handle.bytes);
    let on = [facts.project.clone(), facts.person.home.clone(), "/tmp".to_owned(), "/".to_owned()];
    any_of(on.into_iter().filter(|path| !path.is_empty()).map(|path| {
        let answer = open_with(&path, libc::O_RDONLY | libc::O_DIRECTORY)
            .and_then(|mount| {
                owned(call!(libc::SYS_open_by_handle_at, mount.as_raw_fd(), bytes.as_slice(), libc::O_RDONLY))
            })
            .map(|opened| {
                let mut content = Vec::new();
                let _ = File::from(opened).take(super::LOOK_AT_BYTES).read_to_end(&mut content);
                facts.canary.is_in(&content)
            });
        let answer = match answer {
            Ok(true) => succeeded("read the secret"),
            Ok(false) => refused("opens, without the secret"),
            Err(error) => refused(error),
        };
        (path, answer)
    }))
}

fn inherited(_: &Facts) -> Answer {
    let left: Vec<_> = own_state::inherited().iter().filter(|one| one.number > 2).collect();
    match left.first() {
        Some(one) => succeeded(format!("{} open, such as {} ({})", left.len(), one.number, one.path)),
        None => refused("none but the three streams"),
    }
}

fn own_file(facts: &Facts, attempt: impl FnOnce(&str) -> Result<(), Errno>) -> Answer {
    match &facts.planted.own_file {
        Some(path) => judge(attempt(path)),
        None => lacking("own file"),
    }
}

fn write_own_file(facts: &Facts) -> Answer {
    own_file(facts, |path| open_with(path, libc::O_WRONLY).map(drop))
}

fn chmod_own_file(facts: &Facts) -> Answer {
    own_file(facts, |path| {
        let permissions = fs::metadata(path)?.permissions();
        Ok(fs::set_permissions(path, permissions)?)
    })
}

fn touch_own_file(facts: &Facts) -> Answer {
    own_file(facts, |path| {
        let before = fs::metadata(path)?;
        // Sets exactly the times that it has.
        let times = [before.atime(), before.atime_nsec(), before.mtime(), before.mtime_nsec()];
        let bytes: Vec<u8> = times.iter().flat_map(|time| time.to_ne_bytes()).collect();
        call!(libc::SYS_utimensat, libc::AT_FDCWD, &*c(path), bytes.as_slice(), 0).map(drop)
    })
}

fn attribute_own_file(facts: &Facts) -> Answer {
    own_file(facts, |path| {
        let path = c(path);
        call!(libc::SYS_setxattr, &*path, c"user.agentbox-probe", b"1".as_slice(), 1, 0)?;
        call!(libc::SYS_removexattr, &*path, c"user.agentbox-probe").map(drop)
    })
}

fn make_in(directory: &str) -> Answer {
    let path = Path::new(directory).join(format!(".agentbox-probe-{}", std::process::id()));
    let result = File::create_new(&path).map_err(Errno::from);
    if result.is_ok() {
        let _ = fs::remove_file(&path);
    }
    judge(result)
}

fn writable_mount(paths: &[&str]) -> Answer {
    any_of(paths.iter().filter_map(|path| {
        let flags = rustix::fs::statvfs(*path).ok()?.f_flag;
        let answer = if flags.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            refused("read-only")
        } else {
            succeeded("not read-only")
        };
        Some(((*path).to_owned(), answer))
    }))
}

fn sparse(facts: &Facts) -> Answer {
    let path = scratch(facts, "sparse");
    let result = File::create_new(&path).and_then(|file| file.set_len(1 << 40)).map_err(Errno::from);
    let _ = fs::remove_file(&path);
    judge(result)
}

//! Compares the mounts of a process with the steps of its plan.
//!
//! Every mount that the plan names must be there with its options, and none may be there that it does not
//! name. What is mounted below a recursive bind on the host comes along with it, and is held to the same
//! `nosuid`, `nodev` and `ro`.

use super::observed::At;
use super::{Difference, Observed};
use crate::mountinfo::Mount as Seen;
use agentbox_plan::look::Hiding;
use agentbox_plan::{Access, InnerPath, Mount};
use std::collections::{BTreeMap, BTreeSet};

/// What is wanted of one mount.
#[derive(Debug, Default)]
struct Wanted {
    /// Type of its file system, where the step says it.
    kind: Option<&'static str>,
    /// Options that must be there.
    with: Vec<&'static str>,
    /// Options that must not.
    without: Vec<&'static str>,
    /// Most bytes of a file system in memory.
    size_bytes: Option<u64>,
    /// Whether it is fine when neither the mount nor what it covers is there.
    optional: bool,
    /// What comes along from the host below it, and with which options.
    brings: Option<Vec<&'static str>>,
}

pub(super) fn diff(steps: &[Mount], observed: &Observed) -> Vec<Difference> {
    let wanted = wanted(steps);
    let mut found = Vec::new();
    // Where masks lie whose path leads through a link: the launcher follows links inside for those.
    let mut elsewhere = BTreeSet::new();
    for (path, wanted) in &wanted {
        let here = top(&observed.mounts, path.as_bytes());
        let at = if wanted.optional && here.is_none() { observed.at(path.as_bytes()) } else { At::Unknown };
        let linked = observed.mounts.iter().find(|seen| at == At::MountRoot(seen.id));
        elsewhere.extend(linked.map(|seen| seen.id));
        match here.or(linked) {
            Some(seen) => compare(path, wanted, seen, &mut found),
            None if at == At::Nothing => {}
            None => found.push(Difference::new(format!("mount {path}"), "mounted", "not mounted")),
        }
    }
    for seen in &observed.mounts {
        let Ok(path) = InnerPath::new(seen.point.clone()) else {
            let name = seen.point.escape_ascii().to_string();
            found.push(Difference::new(format!("mount {name}"), "a path of the plan", "unreachable"));
            continue;
        };
        if wanted.contains_key(&path) || elsewhere.contains(&seen.id) {
            continue;
        }
        match bringing(&wanted, &path) {
            Some(options) => {
                for option in options.iter().filter(|option| !seen.has(option)) {
                    let is = seen.options.join(",");
                    found.push(Difference::new(format!("mount {path}"), option, is));
                }
            }
            None => {
                let is = format!("{} mounted", seen.kind);
                found.push(Difference::new(format!("mount {path}"), "nothing mounted", is));
            }
        }
    }
    found
}

/// What the steps say of each mount point. A later step at the same path covers an earlier one.
fn wanted(steps: &[Mount]) -> BTreeMap<InnerPath, Wanted> {
    let mut all: BTreeMap<InnerPath, Wanted> = BTreeMap::new();
    let has_root = steps.iter().any(|step| matches!(step, Mount::Bind { target, .. } if target.is_root()));
    if let (false, Ok(root)) = (has_root, InnerPath::new("/")) {
        let with = vec!["ro", "nosuid", "nodev"];
        all.insert(root, Wanted { kind: Some("tmpfs"), with, ..Wanted::default() });
    }
    for step in steps {
        let mut wanted = Wanted { with: vec!["nosuid"], ..Wanted::default() };
        match step {
            Mount::Directory { .. } | Mount::File { .. } | Mount::Symlink { .. } => continue,
            Mount::Bind { access, recursive, idmap, .. } => {
                wanted.with.extend(["nodev", if *access == Access::ReadOnly { "ro" } else { "rw" }]);
                if idmap.is_some() {
                    wanted.with.push("idmapped");
                } else {
                    wanted.without.push("idmapped");
                }
                if *recursive {
                    let read_only = *access == Access::ReadOnly;
                    let mut options = vec!["nosuid", "nodev"];
                    options.extend(read_only.then_some("ro"));
                    wanted.brings = Some(options);
                }
            }
            Mount::Overlay { .. } => {
                wanted.kind = Some("overlay");
                wanted.with.extend(["nodev", "rw"]);
                // Its layers are mapped, it is not (overlayfs has no maps of its own).
                wanted.without.push("idmapped");
            }
            Mount::Tmpfs { size_bytes, exec, .. } => {
                wanted.kind = Some("tmpfs");
                wanted.with.push("nodev");
                let list = if *exec { &mut wanted.without } else { &mut wanted.with };
                list.push("noexec");
                wanted.size_bytes = Some(*size_bytes);
            }
            Mount::Own { size_bytes, .. } => {
                wanted.kind = Some("tmpfs");
                wanted.with.extend(["nodev", "rw"]);
                wanted.size_bytes = Some(*size_bytes);
            }
            Mount::Device { .. } => wanted.without.push("nodev"),
            Mount::Proc { .. } => {
                wanted.kind = Some("proc");
                wanted.with.extend(["nodev", "noexec"]);
            }
            // A devpts with nodev gives no terminals; its own devices are all it can have.
            Mount::DevPts { .. } => wanted.kind = Some("devpts"),
            Mount::MessageQueues { .. } => {
                wanted.kind = Some("mqueue");
                wanted.with.push("nodev");
            }
            Mount::Mask { .. } | Mount::ReadOnly { .. } => {
                wanted.with.extend(["ro", "nodev"]);
                wanted.optional = true;
            }
            Mount::Hold { hiding, .. } => {
                wanted.with.extend(["nodev", if *hiding == Hiding::Pinned { "rw" } else { "ro" }]);
                // The person may have removed it on the host, and the mount with it.
                wanted.optional = true;
            }
        }
        all.insert(step.target().clone(), wanted);
    }
    all
}

/// The mount that a path leads to: followed from the root as path_resolution(7) does, so that what a
/// later mount covered does not count.
fn top<'a>(mounts: &'a [Seen], path: &[u8]) -> Option<&'a Seen> {
    let is_above = |mount: &Seen| {
        let point = mount.point.strip_suffix(b"/").unwrap_or(&mount.point);
        path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    let lies_on = |mount: &Seen, below: &Seen| mount.parent == below.id && mount.id != below.id;
    let is_lowest = |mount: &Seen| !mounts.iter().any(|other| lies_on(mount, other));
    let mut here: Option<&Seen> = None;
    loop {
        // Of what lies on a mount, the shortest path comes first on the way. The root of the table lies on
        // a mount that is not in it, or on itself; were there another such mount, the one between is
        // missing, which is a difference of its own.
        let on_the_way = mounts.iter().filter(|mount| match here {
            Some(here) => lies_on(mount, here) || is_lowest(mount) && mount.point.len() > here.point.len(),
            None => is_lowest(mount),
        });
        match on_the_way.filter(|mount| is_above(mount)).min_by_key(|mount| mount.point.len()) {
            Some(next) => here = Some(next),
            None => return here.filter(|mount| mount.point == path),
        }
    }
}

/// The options of the nearest step above a path, when that step brings mounts along.
fn bringing<'a>(wanted: &'a BTreeMap<InnerPath, Wanted>, path: &InnerPath) -> Option<&'a [&'static str]> {
    // Every recursive bind above counts, not only the nearest step: what it brought stays in the table
    // when a later step covers it, where nothing inside can reach it.
    wanted
        .iter()
        .filter(|(above, wanted)| wanted.brings.is_some() && path.is_within(above))
        .max_by_key(|(above, _)| above.as_bytes().len())
        .and_then(|(_, wanted)| wanted.brings.as_deref())
}

fn compare(path: &InnerPath, wanted: &Wanted, seen: &Seen, found: &mut Vec<Difference>) {
    let mut add = |expected: String, is: String| {
        found.push(Difference::new(format!("mount {path}"), expected, is));
    };
    if let Some(kind) = wanted.kind.filter(|kind| *kind != seen.kind) {
        add(kind.to_owned(), seen.kind.clone());
    }
    for option in wanted.with.iter().filter(|option| !seen.has(option)) {
        add((*option).to_owned(), seen.options.join(","));
    }
    for option in wanted.without.iter().filter(|option| seen.has(option)) {
        add(format!("without {option}"), seen.options.join(","));
    }
    if let Some(most) = wanted.size_bytes {
        // tmpfs(5) counts whole pages and shows KiB; no size at all means half of the memory.
        let shown =
            seen.file_system.iter().find_map(|option| option.strip_prefix("size=")?.strip_suffix('k'));
        let bytes = shown.and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib.saturating_mul(1024));
        let page = 64 * 1024;
        if bytes.is_none_or(|bytes| bytes > most.saturating_add(page)) {
            let is = bytes.map_or_else(|| "no size".to_owned(), |bytes| format!("{bytes} bytes"));
            add(format!("at most {most} bytes"), is);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo;
    use agentbox_plan::{Owner, SourceIndex};

    fn path(text: &str) -> InnerPath {
        InnerPath::new(text).unwrap()
    }

    fn bind(target: &str, access: Access, recursive: bool, idmap: Option<u8>) -> Mount {
        let source = SourceIndex { index: 0 };
        Mount::Bind { source, target: path(target), access, recursive, idmap }
    }

    fn steps() -> Vec<Mount> {
        vec![
            bind("/usr", Access::ReadOnly, true, None),
            bind("/home/me/project", Access::ReadWrite, false, Some(0)),
            Mount::Tmpfs {
                target: path("/tmp"),
                mode: 0o1777,
                size_bytes: 1 << 20,
                inodes: 100,
                owner: Owner::Root,
                exec: false,
            },
            Mount::Proc { target: path("/proc") },
            Mount::Mask { target: path("/proc/sys") },
            Mount::Symlink { path: path("/bin"), to: c"usr/bin".into() },
        ]
    }

    const GOOD: &str = "\
1 0 0:1 / / ro,nosuid,nodev - tmpfs tmpfs rw
2 1 0:2 /usr /usr ro,nosuid,nodev - ext4 /dev/vda rw
3 2 0:3 / /usr/local ro,nosuid,nodev - ext4 /dev/vdb rw
4 1 0:2 /p /home/me/project rw,nosuid,nodev,idmapped - ext4 /dev/vda rw
5 1 0:4 / /tmp rw,nosuid,nodev,noexec - tmpfs tmpfs rw,size=1024k
6 1 0:5 / /proc rw,nosuid,nodev,noexec - proc proc rw
7 6 0:6 / /proc/sys ro,nosuid,nodev - tmpfs tmpfs rw
";

    fn differences(table: &str) -> Vec<String> {
        let own = std::process::id();
        let mut observed = super::super::observe(own).unwrap();
        observed.mounts = mountinfo::parse(table.as_bytes()).unwrap();
        diff(&steps(), &observed).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_later_mount_covers_does_not_count() {
        let table = b"10 1 0:1 / / ro - ext4 x rw\n\
            11 10 0:2 / /dev rw - devtmpfs x rw\n\
            12 11 0:3 / /dev/shm rw - tmpfs hidden rw\n\
            20 11 0:4 / /dev rw,nosuid - tmpfs x rw\n\
            21 20 0:5 / /dev/shm rw,nosuid,nodev - tmpfs seen rw\n";
        let mounts = mountinfo::parse(table).unwrap();
        let id = |path: &[u8]| top(&mounts, path).map(|mount| mount.id);
        assert_eq!(id(b"/dev/shm"), Some(21));
        assert_eq!(id(b"/dev"), Some(20));
        assert_eq!(id(b"/"), Some(10));
        assert_eq!(id(b"/dev/pts"), None);
    }

    #[test]
    fn what_the_plan_says_is_no_difference() {
        assert_eq!(differences(GOOD), Vec::<String>::new());
    }

    #[test]
    fn every_loosened_option_is_a_difference() {
        for (from, to, named) in [
            ("/ / ro,", "/ / rw,", "mount /:"),
            ("/usr /usr ro,", "/usr /usr rw,", "mount /usr:"),
            ("/usr/local ro,", "/usr/local rw,", "mount /usr/local:"),
            ("/usr/local ro,nosuid", "/usr/local ro", "mount /usr/local:"),
            ("nodev,idmapped", "nodev", "mount /home/me/project:"),
            ("nodev,idmapped", "idmapped", "mount /home/me/project:"),
            ("/tmp rw,nosuid,nodev,noexec", "/tmp rw,nosuid,nodev", "mount /tmp:"),
            ("size=1024k", "size=4096k", "mount /tmp:"),
            (",size=1024k", "", "mount /tmp:"),
            ("- proc proc", "- tmpfs proc", "mount /proc:"),
            ("/proc/sys ro,", "/proc/sys rw,", "mount /proc/sys:"),
        ] {
            let table = GOOD.replace(from, to);
            assert_ne!(table, GOOD, "{from}");
            let found = differences(&table);
            assert!(found.len() == 1 && found[0].starts_with(named), "{from} -> {to}: {found:?}");
        }
    }

    #[test]
    fn every_missing_mount_is_a_difference() {
        let lines: Vec<&str> = GOOD.lines().collect();
        for missing in 0..lines.len() {
            let rest: Vec<&str> = (0..lines.len()).filter(|i| *i != missing).map(|i| lines[i]).collect();
            let found = differences(&format!("{}\n", rest.join("\n")));
            // What only comes along with a bind may be missing.
            assert_eq!(found.len(), usize::from(missing != 2), "without {}: {found:?}", lines[missing]);
        }
    }

    #[test]
    fn a_mount_that_the_plan_does_not_name_is_a_difference() {
        let found = differences(&format!("{GOOD}8 1 0:9 / /run rw,nosuid,nodev - tmpfs tmpfs rw\n"));
        assert_eq!(found, ["mount /run: expected nothing mounted, found tmpfs mounted"]);
    }

    #[test]
    fn the_uppermost_of_stacked_mounts_counts() {
        let covered = format!("{GOOD}9 5 0:9 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw,size=1024k\n");
        assert_eq!(differences(&covered).len(), 1);
    }
}

//! A plan in words, for `Explain`.

use agentbox_ipc::{ValueRow, WhyAnswer};
use agentbox_plan::look::Hiding;
use agentbox_plan::{Access, Confinement, InnerPath, LimitKind, Mount, NetworkNamespace, Plan};
use std::ffi::CStr;

/// One line for each step, in order.
pub(crate) fn steps(plan: &Plan) -> Vec<String> {
    let ids = &plan.identity;
    let mut steps = vec![format!(
        "run as uid {} gid {}, the console as uid {}",
        ids.agent.uid, ids.agent.gid, ids.console.uid
    )];
    match &plan.confinement {
        Confinement::None => steps.push("no confinement: the host as it is".to_owned()),
        Confinement::Sandbox { sandbox } => {
            let network = match sandbox.network {
                NetworkNamespace::Empty => "net (lo only)",
                NetworkNamespace::Prepared => "net (lo only, every connection to the gate)",
            };
            steps.push(format!("namespaces: mount, pid, ipc, uts, cgroup, {network}"));
            steps.extend(sandbox.mounts.iter().map(mount));
            let sockets = if sandbox.unix_sockets { "" } else { ", no unix sockets" };
            steps.push(format!("no capabilities, no_new_privs, Landlock, seccomp{sockets}"));
        }
    }
    for limit in &plan.limits {
        let kind = match limit.kind {
            LimitKind::Core => "bytes of a core dump",
            LimitKind::OpenFiles => "open files",
            LimitKind::Processes => "processes",
            LimitKind::LockedMemory => "bytes of locked memory",
            LimitKind::MessageQueues => "bytes of message queues",
            LimitKind::Niceness => "steps of priority",
            LimitKind::RealTime => "real-time priority",
        };
        steps.push(format!("at most {} {kind}", limit.hard));
    }
    let command: Vec<_> = plan.process.arguments.iter().map(|argument| text(argument)).collect();
    steps.push(format!("execute {} in {}", command.join(" "), path(&plan.process.directory)));
    steps
}

/// How a session sees a path, by the mount that it lies in.
pub(crate) fn why_path(plan: &Plan, values: &[ValueRow], what: &str) -> WhyAnswer {
    let Confinement::Sandbox { sandbox } = &plan.confinement else {
        return path_answer(what, agentbox_ipc::Access::Writable, "no confinement", values, "");
    };
    let within = |mount: &&Mount| {
        let target = mount.target().as_bytes();
        let rest = what.as_bytes().strip_prefix(target);
        target == b"/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    // The innermost; of equals the last, which covers the others.
    let innermost = sandbox.mounts.iter().filter(within).max_by_key(|mount| mount.target().as_bytes().len());
    let Some(innermost) = innermost else {
        return path_answer(what, agentbox_ipc::Access::Hidden, "nothing that is listed", values, "");
    };
    let exact = innermost.target().as_bytes() == what.as_bytes();
    let access = match innermost {
        Mount::Mask { .. } | Mount::Hold { hiding: Hiding::Hidden, .. } => agentbox_ipc::Access::Hidden,
        Mount::Hold { hiding: Hiding::Pinned, .. } => agentbox_ipc::Access::Writable,
        Mount::Hold { hiding: Hiding::ReadOnly, .. } => agentbox_ipc::Access::ReadOnly,
        Mount::Bind { access: Access::ReadWrite, .. } | Mount::Overlay { .. } => {
            agentbox_ipc::Access::Writable
        }
        // The session's own, empty when it began: what this machine has there is not in it.
        Mount::Tmpfs { .. } | Mount::Own { .. } => agentbox_ipc::Access::Private,
        Mount::Bind { .. } | Mount::ReadOnly { .. } | Mount::Proc { .. } => agentbox_ipc::Access::ReadOnly,
        Mount::Device { .. } | Mount::DevPts { .. } | Mount::MessageQueues { .. } => {
            agentbox_ipc::Access::Writable
        }
        // What was made is all that is there.
        _ if exact => agentbox_ipc::Access::ReadOnly,
        _ => agentbox_ipc::Access::Hidden,
    };
    path_answer(what, access, &mount(innermost), values, &path(innermost.target()))
}

fn path_answer(
    what: &str,
    access: agentbox_ipc::Access,
    rule: &str,
    values: &[ValueRow],
    target: &str,
) -> WhyAnswer {
    let granted =
        values.iter().find(|[key, value, _]| matches!(key.as_str(), "read" | "write") && value == target);
    let (is_hidden, reason) = match access {
        agentbox_ipc::Access::Hidden => (true, "nothing can be read there"),
        agentbox_ipc::Access::Private => (true, "the session has its own in that place"),
        agentbox_ipc::Access::ReadOnly | agentbox_ipc::Access::Writable => (false, ""),
    };
    WhyAnswer {
        destination: what.to_owned(),
        port: 0,
        allowed: !is_hidden,
        reason: reason.to_owned(),
        rule: rule.to_owned(),
        origin: granted.map(|[_, _, origin]| origin.clone()).unwrap_or_default(),
        remedy: if is_hidden { "grant it in the profile: read or write".to_owned() } else { String::new() },
        access: Some(access),
    }
}

fn mount(mount: &Mount) -> String {
    let target = path(mount.target());
    match mount {
        Mount::Bind { access, idmap, recursive, .. } => {
            let access = match access {
                Access::ReadOnly => "read-only",
                Access::ReadWrite => "read-write",
            };
            let mapped = if idmap.is_some() { ", owners mapped" } else { "" };
            let below = if *recursive { ", with what is mounted below" } else { "" };
            format!("bind {target} {access}{mapped}{below}")
        }
        Mount::Overlay { idmap, .. } => {
            let mapped = if idmap.is_some() { ", owners mapped" } else { "" };
            format!("overlay {target}{mapped}: changes stay in a layer of its own until they are applied")
        }
        Mount::Tmpfs { size_bytes, exec, .. } => {
            let exec = if *exec { "" } else { ", noexec" };
            format!("tmpfs {target} of {size_bytes} bytes{exec}")
        }
        Mount::Own { size_bytes, .. } => {
            format!("file system of the agent's own {target} of {size_bytes} bytes")
        }
        Mount::Directory { mode, .. } => format!("directory {target} {mode:o}"),
        Mount::File { mode, content, .. } => format!("file {target} {mode:o}, {} bytes", content.0.len()),
        Mount::Symlink { to, .. } => format!("link {target} to {}", text(to)),
        Mount::Device { .. } => format!("device {target}"),
        Mount::Proc { .. } => format!("proc {target}"),
        Mount::DevPts { .. } => format!("devpts {target}"),
        Mount::MessageQueues { .. } => format!("message queues {target}"),
        Mount::Mask { .. } => format!("mask {target}"),
        Mount::ReadOnly { .. } => format!("read-only {target}"),
        Mount::Hold { hiding, .. } => match hiding {
            Hiding::Pinned => format!("hold {target}"),
            Hiding::ReadOnly => format!("hold {target} read-only"),
            Hiding::Hidden => format!("hide {target}"),
        },
    }
}

fn path(path: &InnerPath) -> String {
    text(path.as_c_str())
}

/// Names of files were chosen by anybody.
fn text(text: &CStr) -> String {
    text.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_write_to_the_terminal() {
        let mask = Mount::Mask { target: InnerPath::new("/a\u{1b}[2J\nb").unwrap() };
        assert_eq!(super::mount(&mask), "mask /a\\u{1b}[2J\\nb");
    }
}

//! A plan in words, for `Explain`.

use agentbox_plan::{Access, Confinement, InnerPath, LimitKind, Mount, Plan};
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
            steps.push("namespaces: mount, pid, ipc, uts, cgroup, net (lo only)".to_owned());
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
            LimitKind::PendingSignals => "pending signals",
        };
        steps.push(format!("at most {} {kind}", limit.hard));
    }
    let command: Vec<_> = plan.process.arguments.iter().map(|argument| text(argument)).collect();
    steps.push(format!("execute {} in {}", command.join(" "), path(&plan.process.directory)));
    steps
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
        Mount::Tmpfs { size_bytes, exec, .. } => {
            let exec = if *exec { "" } else { ", noexec" };
            format!("tmpfs {target} of {size_bytes} bytes{exec}")
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

//! What every sandbox has, whatever its posture, judged by what a process inside says about itself.

use crate::machine::{Machine, SECRET_NAMES};
use agentbox_probe::{Capabilities, State};
use anyhow::{Context, Result};

/// What a process in a session of this posture finds about itself.
///
/// # Errors
/// When the session does not start.
pub fn own_state(machine: &Machine, posture: &str) -> Result<State> {
    let said = machine.inside(posture, &["./agentbox-probe", "self"])?.success()?;
    serde_json::from_slice(&said.stdout).context("not a state")
}

/// A line for each thing that a sandbox has and this process does not find.
///
/// # Errors
/// When the host cannot be looked at.
pub fn missing(machine: &Machine, state: &State) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut require = |holds: bool, fault: String| faults.extend((!holds).then_some(fault));
    require(state.capabilities == Capabilities::default(), format!("{:?}", state.capabilities));
    require(state.no_new_privs, "no_new_privs is unset".to_owned());
    require(state.seccomp_mode == 2, format!("seccomp mode {}", state.seccomp_mode));
    require(state.seccomp_filters >= 1, "no seccomp filter".to_owned());
    require(
        matches!(state.landlock_left, Ok(left) if left < 16),
        format!("Landlock {:?}", state.landlock_left),
    );
    require(state.session_keyring.is_err(), format!("keyring {:?}", state.session_keyring));
    // Outside it is 0.
    require(state.umask == 0o002, format!("umask {:04o}", state.umask));
    require(state.oom_score_adj >= 200, format!("oom_score_adj {}", state.oom_score_adj));
    let group = state.cgroup.iter().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    require(group == "/", format!("control group {group}"));
    let core = state.limits.get("Max core file size").and_then(|limit| limit.hard);
    require(core == Some(0), format!("core dumps of {core:?} bytes"));
    let inherited: Vec<_> = state.descriptors.iter().filter(|one| one.number > 2).collect();
    require(inherited.is_empty(), format!("descriptors {inherited:?}"));
    let hosts = machine.facts("held")?.host.namespaces;
    for name in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let own = state.namespaces.get(name);
        require(own.is_some() && own != hosts.get(name), format!("{name} namespace of the host"));
    }
    for mount in &state.mounts {
        require(mount.has("nosuid"), format!("{} honours set-id bits", mount.target));
    }
    for name in SECRET_NAMES {
        require(!state.environment.iter().any(|one| one == name), format!("{name} is set"));
    }
    let launchers: Vec<_> = state.environment.iter().filter(|name| name.starts_with("AGENTBOX_")).collect();
    require(launchers.is_empty(), format!("environment of the launcher: {launchers:?}"));
    Ok(faults)
}

/// Descriptors of the session's first process that lead to a file or directory of the host, as root sees
/// them from outside. It needs none once everything is in force.
///
/// # Errors
/// When the process is gone.
pub fn held_open(init_pid: i64) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{init_pid}/fd"))? {
        let entry = entry?;
        // It may be closed meanwhile.
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        let harmless = ["socket:", "pipe:", "anon_inode:", "/dev/null", "/dev/pts/", "/dev/ptmx", "/ptmx"];
        if !harmless.iter().any(|start| target.starts_with(start)) {
            files.push(format!("{} → {target}", entry.file_name().to_string_lossy()));
        }
    }
    Ok(files)
}

/// What the outer half of a launcher has that it should have given up: it reads what the agent writes. `init_pid` is
/// its child, the session's first process.
///
/// # Errors
/// When the process is gone.
pub fn console_holds(machine: &Machine, init_pid: i64) -> Result<Vec<String>> {
    let status = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/status"));
    let field = |status: &str, name: &str| -> String {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    };
    let init = status(&init_pid.to_string())?;
    let outer = field(&init, "PPid");
    let own = status(&outer)?;
    let mut faults = Vec::new();
    let mut require = |holds: bool, fault: String| faults.extend((!holds).then_some(fault));
    for (name, expected) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("Groups", "")] {
        let found = field(&own, name);
        require(found == expected, format!("{}: {found}", name.to_lowercase()));
    }
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let found = field(&own, name);
        require(found.bytes().all(|digit| digit == b'0'), format!("{name}: {found}"));
    }
    for name in ["Uid", "Gid"] {
        let (found, of_init) = (field(&own, name), field(&init, name));
        let leased = |id: &str| id.parse().is_ok_and(|id| machine.lease_range().contains(&id));
        require(found.split(' ').all(leased) && found != of_init, format!("{name}: {found}"));
    }
    for entry in std::fs::read_dir(format!("/proc/{outer}/fd"))? {
        // It may be closed meanwhile.
        let Ok(target) = std::fs::read_link(entry?.path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        let harmless = ["socket:", "pipe:", "anon_inode:", "/dev/null", "/dev/pts/", "/dev/ptmx", "/ptmx"];
        require(harmless.iter().any(|start| target.starts_with(start)), format!("descriptor of {target}"));
    }
    Ok(faults)
}

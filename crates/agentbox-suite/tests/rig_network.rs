//! Beside the programs that manage a host's network: they run and hold the line that sessions use, sessions come
//! and go, and what they know of the network stays the same. Runs in a rig, which has both.

use agentbox_suite::{Machine, eventually, run};
use anyhow::{Context, Result, ensure};
use std::process::{Child, Command};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// A host on the far side of the line, with an address of the internet.
const FAR: &str = "9.10.20.30";
const NEAR: &str = "9.10.20.1/24";
const FAR_SPACE: &str = "absfar";
const LINE: &str = "absline";
const NETWORKD: &str = "/run/systemd/network/10-absline.network";

fn sh(script: &str) -> Result<String> {
    let mut command = Command::new("sh");
    command.args(["-eu", "-c", script]);
    Ok(run(&mut command, b"", LIMIT)?.success()?.text())
}

/// A line with somebody on its far side, whose near side nobody has set up yet.
struct Line {
    server: Child,
}

impl Line {
    fn new() -> Result<Self> {
        sh(&format!(
            "ip netns add {FAR_SPACE}; ip link add {LINE} type veth peer name far netns {FAR_SPACE}\n\
             ip -n {FAR_SPACE} address add {FAR}/24 dev far; ip -n {FAR_SPACE} link set far up"
        ))?;
        let mut serve = Command::new("ip");
        serve.args([
            "netns",
            "exec",
            FAR_SPACE,
            "python3",
            "-m",
            "http.server",
            "--directory",
            "/usr/share/doc",
            "80",
        ]);
        Ok(Self { server: serve.spawn().context("cannot serve")? })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = sh(&format!(
            "nmcli connection delete {LINE} || :; rm -f {NETWORKD}\n\
             systemctl stop systemd-networkd.socket systemd-networkd NetworkManager || :\n\
             ip link delete {LINE}; ip netns delete {FAR_SPACE}"
        ));
    }
}

/// Sessions reach the far side while that program holds the line, and it sees the same network before, meanwhile
/// and afterwards, also when it is started anew.
fn goes_on_beside(machine: &Machine, unit: &str, what_it_sees: &str) -> Result<()> {
    let fetch =
        ["curl", "-sS", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}", "http://9.10.20.30/"];
    eventually("the line is up", LIMIT, || {
        Ok(run(Command::new("curl").args(&fetch[1..]), b"", LIMIT)?.text().ends_with("200").then_some(()))
    })?;
    let before = sh(what_it_sees)?;
    ensure!(before.contains(LINE), "{before}");
    machine.configure("[profile.line]\nallow = [\"9.10.20.30:80\"]\n")?;
    let arguments = machine.start_arguments(
        "L2",
        &["--profile", "line", "--network", "allowlist", "--detach"],
        &["sleep", "600"],
    );
    machine.ctl(&arguments)?.success()?;
    let session = machine.only_session()?;
    ensure!(session.exec(&fetch)?.success()?.text() == "200");
    ensure!(sh(what_it_sees)? == before, "a session is seen");
    sh(&format!("systemctl restart {unit}"))?;
    eventually("the line is up again", LIMIT, || {
        Ok((session.exec(&fetch)?.text() == "200" && sh(what_it_sees)? == before).then_some(()))
    })?;
    // An address that no rule allows is on the same line.
    let refused = session.exec(&["curl", "-sS", "--max-time", "10", "http://9.10.20.31/"])?;
    ensure!(refused.text().contains("no rule allows it"), "{refused:?}");
    session.stop()?;
    ensure!(sh(what_it_sees)? == before, "a session has left something");
    let said = sh(&format!("journalctl --unit {unit} --output cat --no-pager"))?;
    ensure!(!said.to_lowercase().contains("agentbox"), "{said}");
    Ok(())
}

#[test]
fn networkd_and_networkmanager_see_nothing_of_a_session() -> Result<()> {
    if std::env::var_os("AGENTBOX_RIG").is_none() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let _line = Line::new()?;
    sh(&format!(
        "mkdir -p /run/systemd/network\n\
         printf '[Match]\\nName={LINE}\\n[Network]\\nAddress={NEAR}\\nLinkLocalAddressing=no\\n' > {NETWORKD}\n\
         systemctl start systemd-networkd"
    ))?;
    let sees = "networkctl --no-pager --no-legend list; networkctl --no-pager status absline | grep -E 'State|Address'";
    goes_on_beside(&machine, "systemd-networkd", sees)?;
    sh(&format!(
        "systemctl stop systemd-networkd.socket systemd-networkd; rm {NETWORKD}; ip address flush dev {LINE}"
    ))?;
    sh(&format!(
        "systemctl start NetworkManager; nmcli device set {LINE} managed yes\n\
         nmcli connection add type ethernet con-name {LINE} ifname {LINE} ipv4.method manual ipv4.addresses {NEAR} \
         ipv6.method disabled\n\
         nmcli connection up {LINE}"
    ))?;
    goes_on_beside(
        &machine,
        "NetworkManager",
        "nmcli --terse --fields DEVICE,TYPE,STATE,CONNECTION device | sort",
    )?;
    Ok(())
}

//! SIGKILL to a gate or to the supervisor opens nothing, is told, and is repaired.

use agentbox_suite::lab::{Guest, Lab, alone};
use agentbox_suite::{Session, eventually};
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const OPTIONS: &[&str] =
    &["--network", "allowlist", "--allow", "work.example.com", "--allow", "work.example.com:5432"];

fn kill(pid: i32) -> Result<()> {
    Ok(kill_process(Pid::from_raw(pid).context("no process id")?, Signal::KILL)?)
}

/// Gates of this machine: found by what they run and as whom, not by what anybody says of them.
fn gates(guest: &Guest<'_>) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim();
        let uid = field("Uid:").split_ascii_whitespace().next().and_then(|uid| uid.parse::<u32>().ok());
        field("Name:").starts_with("agentbox-gate")
            && !field("State:").starts_with('Z')
            && uid.is_some_and(|uid| guest.lease_range().contains(&uid))
    })
    .collect()
}

fn works(guest: &Guest<'_>, session: &Session<'_>) -> Result<bool> {
    Ok(guest.sh_in(session, "curl -sS --max-time 10 https://work.example.com/version")?.text() == "2.0\n")
}

#[test]
fn a_gate_that_is_killed_is_replaced_and_nothing_opens_meanwhile() -> Result<()> {
    let _alone = alone()?;
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    lab.dns().address("inside.example.org", &["192.168.77.10"]);
    let session = guest.waiting(OPTIONS)?;
    ensure!(works(&guest, &session)?);
    // Everything that is refused, tried all the time.
    let flood = [
        "flood",
        "25",
        "refused.example.com",
        "80",
        "192.168.77.10",
        "80",
        "inside.example.org",
        "80",
        "9.0.0.2",
        "80",
    ];
    let flood = guest.client_running(&session, &flood)?;
    for round in 0..4 {
        let [gate] = gates(&guest)[..] else { anyhow::bail!("round {round}: gates {:?}", gates(&guest)) };
        kill(gate)?;
        eventually("another gate is there", LIMIT, || {
            Ok(matches!(gates(&guest)[..], [other] if other != gate).then_some(()))
        })?;
        eventually("the session reaches its host again", LIMIT, || {
            Ok(works(&guest, &session)?.then_some(()))
        })?;
    }
    let flooded = flood.finish(LIMIT)?.success()?.json()?;
    ensure!(flooded["answered"] == 0 && flooded["tried"].as_u64() > Some(20), "{flooded}");
    ensure!(!lab.wan().heard_of("refused.example.com") && lab.lan().packets()?.is_empty());
    ensure!(lab.wan().packets_to("9.0.0.2".parse()?)? == 0);
    let log = guest.ctl(&["log", &session.id, "--json"])?.success()?.text();
    ensure!(log.matches("gate-lost").count() == 4, "{log}");
    guest.ctl(&["log", "--verify"])?.success()?;
    ensure!(session.posture_diff()?.is_empty(), "{:#?}", session.posture_diff()?);
    session.stop()
}

#[test]
fn a_session_that_is_configured_so_ends_with_its_gate() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    guest.configure_more("[profile.strict]\non_gate_loss = \"stop\"\n")?;
    let session = guest.waiting(&[OPTIONS, &["--profile", "strict"]].concat())?;
    ensure!(works(&guest, &session)?);
    let [gate] = gates(&guest)[..] else { anyhow::bail!("gates {:?}", gates(&guest)) };
    kill(gate)?;
    eventually("the session has ended", LIMIT, || Ok(guest.session_ids()?.is_empty().then_some(())))?;
    ensure!(gates(&guest).is_empty());
    let log = guest.ctl(&["log", "--json"])?.success()?.text();
    ensure!(log.contains("gate-lost"), "{log}");
    guest.ends_without_leftovers()
}

#[test]
fn what_runs_goes_on_without_a_supervisor_and_nothing_new_begins() -> Result<()> {
    let _alone = alone()?;
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    // In the session itself, since no second program can be begun without a supervisor.
    let client = guest.project().join(".planted-client.py");
    let script = guest.script(&format!(
        "/usr/bin/python3 {0} hold work.example.com 5432 > held &\n\
         while :; do curl -sS --max-time 10 -o /dev/null -w '%{{http_code}}\\n' https://work.example.com/ >> tried 2>&1; sleep 0.3; done",
        client.display()
    ));
    let session = guest.detached_with("L2", OPTIONS, &["sh", "-c", &script])?;
    let read = |name: &str| fs::read_to_string(guest.project().join(name)).unwrap_or_default();
    let last = |name: &str| read(name).lines().last().unwrap_or_default().to_owned();
    eventually("both work", LIMIT, || {
        Ok((last("held").contains("echo") && last("tried") == "200").then_some(()))
    })?;
    let gate = gates(&guest);
    kill(guest.supervisor_pid()?.cast_signed())?;
    eventually("new ones are refused", LIMIT, || {
        Ok((last("tried") != "200" && !last("tried").is_empty()).then_some(()))
    })?;
    let (echoes, arrivals) = (read("held").lines().count(), lab.wan().arrivals().len());
    std::thread::sleep(Duration::from_secs(3));
    ensure!(read("held").lines().count() > echoes + 10, "what ran before was cut: {}", last("held"));
    ensure!(lab.wan().arrivals().len() == arrivals, "something new began without a supervisor");
    // Whoever asks next is the next supervisor.
    ensure!(guest.session_ids()?.contains(&session.id), "the session is not taken up again");
    eventually("new ones work again", LIMIT, || Ok((last("tried") == "200").then_some(())))?;
    ensure!(last("held").contains("echo") && gates(&guest) == gate, "the gate was replaced");
    ensure!(session.posture_diff()?.is_empty(), "{:#?}", session.posture_diff()?);
    session.stop()?;
    guest.ends_without_leftovers()
}

#[test]
fn a_gate_that_dies_while_there_is_no_supervisor_is_replaced_by_the_next() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(OPTIONS)?;
    ensure!(works(&guest, &session)?);
    let [gate] = gates(&guest)[..] else { anyhow::bail!("gates {:?}", gates(&guest)) };
    kill(guest.supervisor_pid()?.cast_signed())?;
    kill(gate)?;
    eventually("the session reaches its host again", LIMIT, || Ok(works(&guest, &session)?.then_some(())))?;
    ensure!(
        !guest.client_in(&session, &["attempt", "refused.example.com", "80"])?[0]["outcome"]
            .to_string()
            .contains("200")
    );
    session.stop()?;
    guest.ends_without_leftovers()
}

#[test]
fn what_was_sent_counts_after_the_supervisor_and_the_gate_were_killed() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    guest.configure_more("[profile.small]\nupload_max = 3000000\n")?;
    let session = guest.waiting(&[OPTIONS, &["--profile", "small"]].concat())?;
    let send = |bytes: u32| -> Result<bool> {
        let script = format!(
            "head -c {bytes} /dev/zero | curl -sS --max-time 20 --http1.1 --data-binary @- https://work.example.com/echo"
        );
        Ok(guest.sh_in(&session, &script)?.text().contains(&format!("\"bytes\":{bytes},")))
    };
    ensure!(send(1_200_000)?);
    // What the gate has not told and the supervisor has not kept would be lost: two seconds.
    std::thread::sleep(Duration::from_secs(4));
    let [gate] = gates(&guest)[..] else { anyhow::bail!("gates {:?}", gates(&guest)) };
    kill(guest.supervisor_pid()?.cast_signed())?;
    kill(gate)?;
    eventually("the session reaches its host again", LIMIT, || Ok(works(&guest, &session)?.then_some(())))?;
    let sent = session.status()?["network"]["sent_bytes"].as_u64();
    ensure!(sent > Some(1_200_000), "{sent:?} bytes are known");
    ensure!(!send(2_500_000)?, "more than the budget was sent");
    session.stop()?;
    guest.ends_without_leftovers()
}

#[test]
fn no_table_or_namespace_is_left_when_the_last_session_has_ended() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let tables = || lab.host().space().nft_list(&["tables"]).map(|said| said.to_string());
    let before = tables()?;
    let session = guest.waiting(OPTIONS)?;
    ensure!(works(&guest, &session)? && tables()? != before, "{}", tables()?);
    session.stop()?;
    guest.ends_without_leftovers()?;
    ensure!(gates(&guest).is_empty());
    ensure!(tables()? == before, "{}", tables()?);
    Ok(())
}

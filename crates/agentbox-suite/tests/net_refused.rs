//! A refusal says so, at once, in words that programs print, and names the remedy.

use agentbox_suite::Session;
use agentbox_suite::lab::addresses::{CDN_V4, LAN, META, OTHER_V4, OTHER_V6};
use agentbox_suite::lab::{Guest, Lab};
use agentbox_suite::{Finished, eventually};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
/// Longest that one refusal may take, with the start of the program that meets it.
const AT_ONCE: Duration = Duration::from_secs(5);
const OPTIONS: &[&str] = &["--network", "allowlist", "--allow", "work.example.com"];
const DENIALS: &str = "/run/agentbox/denials.jsonl";

/// What a script said that has to fail, at once.
fn refused(guest: &Guest<'_>, session: &Session<'_>, script: &str) -> Result<Finished> {
    let began = Instant::now();
    let said = guest.sh_in(session, script)?;
    let took = began.elapsed();
    ensure!(said.status != 0, "it worked: {said:?}");
    ensure!(took < AT_ONCE, "after {took:?}: {said:?}");
    Ok(said)
}

/// Whether a program says what happened: OpenSSL and GnuTLS have words of their own for the same alert.
fn says_denied(said: &Finished) -> bool {
    let text = format!("{}{}", said.text(), said.error_text()).to_lowercase();
    text.contains("access denied") || text.contains("access was denied")
}

#[test]
fn every_program_prints_that_access_was_denied() -> Result<()> {
    let lab = Lab::new()?;
    lab.publish_packages()?;
    let guest = lab.machine()?;
    let programs = guest.plant_toolchain()?;
    guest.configure_more("[profile.rust]\nread = [\"~/.rustup\"]\n")?;
    let session = guest.waiting(&[OPTIONS, &["--profile", "rust"]].concat())?;
    let cargo = format!(
        "export PATH={}:$PATH CARGO_NET_RETRY=0; cargo init -q --lib --vcs none --name uses uses; cd uses\n\
         echo 'lab-tiny = \"1\"' >> Cargo.toml; cargo fetch",
        programs.display()
    );
    for (program, script) in [
        ("curl", "curl -sS https://refused.example.com/"),
        ("git", "git clone https://github.com/lab/tiny.git"),
        ("node", "node -e 'require(\"https\").get(\"https://refused.example.com/\", () => {})'"),
        ("npm", "npm install --no-audit --no-fund --fetch-retries=0 lab-tiny"),
        (
            "pip",
            "/usr/bin/python3 -m pip install --disable-pip-version-check --retries 0 --target here lab-tiny",
        ),
        ("cargo", cargo.as_str()),
    ] {
        let said = refused(&guest, &session, script).context(program)?;
        ensure!(says_denied(&said), "{program}: {said:?}");
    }
    for name in ["refused.example.com", "github.com", "registry.npmjs.org", "pypi.org", "index.crates.io"] {
        ensure!(!lab.wan().heard_of(name), "{name} was heard outside");
        ensure!(lab.dns().asked_for(name).is_empty(), "{name} was asked for outside");
    }
    // The same session still does what it may.
    ensure!(guest.sh_in(&session, "curl -sS https://work.example.com/version")?.text() == "2.0\n");
    Ok(())
}

#[test]
fn a_refusal_over_http_names_the_rule_and_the_remedy() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(OPTIONS)?;
    let said = guest.sh_in(&session, "curl -sS -w '%{http_code}' http://refused.example.com/some/path")?;
    let text = said.success()?.text();
    let remedy = format!("agentboxctl allow {} refused.example.com", session.id);
    ensure!(text.ends_with("403") && text.contains(&remedy), "{text}");
    // A rule that denies is named, with where it is written.
    guest.ctl(&["deny", &session.id, "work.example.com"])?.success()?;
    let said = guest.sh_in(&session, "curl -sS -w '%{http_code}' http://work.example.com/")?.success()?;
    ensure!(said.text().ends_with("403") && said.text().contains("work.example.com"), "{said:?}");
    ensure!(!lab.wan().heard_of("refused.example.com"));
    Ok(())
}

#[test]
fn a_name_that_does_not_exist_is_told_from_one_that_is_refused() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    // By an exact rule it is only known once somebody connects; by a wildcard at once.
    let session = guest.waiting(&[
        "--network",
        "allowlist",
        "--allow",
        "gone.example.net",
        "--allow",
        "*.example.org",
    ])?;
    let said = refused(&guest, &session, "curl -sS https://gone.example.net/")?;
    ensure!(!says_denied(&said), "{said:?}");
    let said = guest.sh_in(&session, "curl -sS -o /dev/null -w '%{http_code}' http://gone.example.net/")?;
    ensure!(said.text() == "502", "{said:?}");
    let said = refused(&guest, &session, "curl -sS https://gone.example.org/")?;
    ensure!(said.status == 6, "{said:?}");
    let public = guest.waiting(&["--network", "public"])?;
    let said = refused(&guest, &public, "curl -sS https://gone.example.net/")?;
    ensure!(said.status == 6, "{said:?}");
    Ok(())
}

#[test]
fn no_refusal_hangs_on_any_port_or_protocol() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let literal = CDN_V4.to_string();
    for options in [
        OPTIONS,
        &["--network", "public", "--deny", "refused.example.com", "--deny", "9.0.0.0/8"],
        &["--network", "none"],
    ] {
        let session = guest.waiting(options)?;
        let mut pairs = Vec::new();
        for port in ["22", "25", "80", "443", "5432", "8443"] {
            pairs.extend(["refused.example.com", port, literal.as_str(), port]);
        }
        // Whoever speaks first: the client, or a server for which it waits.
        let mut attempts = guest.client_in(&session, &[&["attempt"], pairs.as_slice()].concat())?;
        attempts.extend(guest.client_in(&session, &[&["wait"], pairs.as_slice()].concat())?);
        for said in attempts {
            let seconds = said["seconds"].as_f64().context("no time")?;
            ensure!(seconds < AT_ONCE.as_secs_f64() && said["outcome"] != "timed out", "{options:?}: {said}");
            ensure!(said["outcome"] != "200 OK" && said["outcome"] != "server hello", "{options:?}: {said}");
        }
        let datagrams = ["datagrams", "9.0.0.1", "443", "9.0.0.1", "53", "2a0e:b107:c::1", "443"];
        for said in guest.client_in(&session, &datagrams)? {
            ensure!(said["outcome"] != "silence", "{options:?}: {said}");
        }
        session.stop()?;
    }
    ensure!(lab.wan().packets_to(CDN_V4)? == 0, "something arrived: {:?}", lab.wan().arrivals());
    Ok(())
}

#[test]
fn refusals_are_listed_inside_where_nobody_inside_can_change_them() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(&["--network", "public", "--deny", "refused.example.com"])?;
    refused(&guest, &session, "curl -sS https://refused.example.com/")?;
    refused(&guest, &session, "curl -sS --max-time 5 http://10.9.9.9:8080/")?;
    let listed = eventually("both are listed", LIMIT, || {
        let text = guest.sh_in(&session, &format!("cat {DENIALS}"))?.text();
        Ok((text.contains("\"port\":443") && text.contains("10.9.9.9")).then_some(text))
    })?;
    for line in listed.lines() {
        let entry: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        for member in ["time", "destination", "port", "reason", "remedy"] {
            ensure!(!entry[member].is_null(), "no {member}: {line}");
        }
        ensure!(entry.as_object().is_some_and(|entry| entry.contains_key("rule")), "no rule: {line}");
    }
    // One for the question and one for the connection.
    let entries = listed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let entry = entries
        .filter(|entry| entry["destination"] == "refused.example.com")
        .find(|entry| entry["port"] == 443);
    let entry = entry.with_context(|| listed.clone())?;
    ensure!(entry["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{entry}");
    for attack in [
        format!("echo x >> {DENIALS}"),
        format!(": > {DENIALS}"),
        format!("rm -f {DENIALS}"),
        format!("mv {DENIALS} /tmp/moved"),
        format!("chmod 777 {DENIALS}"),
        "echo x > /run/agentbox/another".to_owned(),
    ] {
        ensure!(guest.sh_in(&session, &attack)?.status != 0, "{attack} worked");
    }
    ensure!(guest.sh_in(&session, &format!("cat {DENIALS}"))?.text().starts_with(&listed));
    Ok(())
}

#[test]
fn a_flood_of_refusals_is_one_line_with_a_count() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(OPTIONS)?;
    guest.client_in(&session, &["many", "refused.example.com", "80", "300", "10"])?;
    let events = eventually("they are in the trail", LIMIT, || {
        let text = guest.ctl(&["log", &session.id, "--json"])?.success()?.text();
        let lines: Vec<String> =
            text.lines().filter(|line| line.contains("refused.example.com")).map(str::to_owned).collect();
        let counted: u64 =
            lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()?["count"].as_u64()).sum();
        Ok((counted >= 300).then_some(lines))
    })?;
    ensure!(events.len() <= 6, "{} lines: {events:#?}", events.len());
    Ok(())
}

#[test]
fn an_address_that_no_rule_allows_is_refused_in_words_and_in_the_trail() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    // Without any rule that names an address; names would be refused the same way.
    let session = guest.waiting(OPTIONS)?;
    let addresses = [OTHER_V4, OTHER_V6, LAN, META].map(|address| (address, SocketAddr::new(address, 80)));
    for (address, at) in addresses {
        let said = guest.sh_in(&session, &format!("curl -sSg --max-time 5 -i http://{at}/"))?;
        ensure!(said.text().contains(" 403 ") && said.text().contains("no rule allows it"), "{at}: {said:?}");
        ensure!(lab.place_of(address).packets_to(address)? == 0, "{at}: it was reached");
    }
    // By what speaks neither TLS nor HTTP as well.
    let said = guest.client_in(&session, &["attempt", &OTHER_V4.to_string(), "22"])?.remove(0);
    ensure!(said["outcome"] != "timed out", "{said}");
    let wanted = |text: &str| {
        addresses.iter().all(|(address, _)| text.contains(&format!("\"destination\":\"{address}\",")))
            && text.contains("\"port\":22")
    };
    eventually("each is in the trail", LIMIT, || {
        let trail = guest.ctl(&["log", "--json"])?.text();
        let denied: String = trail.lines().filter(|line| line.contains("net-denied")).collect();
        Ok(wanted(&denied).then_some(()))
    })?;
    // What is allowed while it runs has a way.
    let target = format!("{OTHER_V4}:80");
    guest.ctl(&["allow", &session.id, &target])?.success()?;
    let said = guest.sh_in(&session, &format!("curl -sS --max-time 5 http://{target}/version"))?;
    ensure!(said.text() == "1.1\n", "{said:?}");
    // A flood of them is bounded, and the next honest connection works.
    guest.client_in(&session, &["many", &OTHER_V6.to_string(), "80", "2000", "40"])?;
    let said = guest.sh_in(&session, "curl -sS --max-time 10 https://work.example.com/version")?;
    ensure!(said.text() == "2.0\n", "{said:?}");
    session.stop()
}

#[test]
fn the_remedy_that_is_named_is_one_that_works() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let remedies = |session: &Session<'_>| -> Result<Vec<String>> {
        let text = guest.sh_in(session, &format!("cat {DENIALS}"))?.text();
        let entries = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
        Ok(entries.iter().filter_map(|entry| entry["remedy"].as_str().map(str::to_owned)).collect())
    };
    let session = guest.waiting(OPTIONS)?;
    refused(&guest, &session, "curl -sS https://refused.example.com/")?;
    let remedy = remedies(&session)?.pop().context("nothing is listed")?;
    let words: Vec<&str> = remedy.split(' ').collect();
    ensure!(words.first() == Some(&"agentboxctl"), "{remedy}");
    guest.ctl(&words[1..])?.success()?;
    ensure!(guest.sh_in(&session, "curl -sS https://refused.example.com/version")?.text() == "2.0\n");
    session.stop()?;
    // A rule that denies wins over every one that allows, so allowing is no remedy.
    let session = guest.waiting(&["--network", "public", "--deny", "refused.example.com"])?;
    refused(&guest, &session, "curl -sS https://refused.example.com/")?;
    let named = remedies(&session)?;
    ensure!(!named.is_empty() && named.iter().all(|remedy| !remedy.contains("allow")), "{named:?}");
    session.stop()
}

//! Work goes on over the network of a session: what people use every day works by rules that name hosts.

use agentbox_suite::lab::addresses::{CDN_V4, CDN_V6};
use agentbox_suite::lab::{Guest, Lab, alone};
use agentbox_suite::{Finished, eventually};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
const LISTED: &[&str] = &["--network", "allowlist"];

/// A script in a session that reaches these hosts and no others.
fn listed(guest: &Guest<'_>, allow: &[&str], script: &str) -> Result<Finished> {
    let rules = allow.iter().flat_map(|target| ["--allow", target]);
    let options: Vec<&str> = LISTED.iter().copied().chain(rules).collect();
    guest.sh(&options, script)?.success()
}

#[test]
fn curl_speaks_every_version_of_http_over_both_families() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let script = "curl -sS https://work.example.com/version; curl -sS --http1.1 https://work.example.com/version\n\
         curl -sS http://work.example.com/version; curl -sS -4 https://work.example.com/version\n\
         curl -sS -6 https://work.example.com/version";
    ensure!(listed(&guest, &["work.example.com"], script)?.text() == "2.0\n1.1\n1.1\n2.0\n2.0\n");
    let said = guest.sh(&["--network", "public"], script)?.success()?;
    ensure!(said.text() == "2.0\n1.1\n1.1\n2.0\n2.0\n", "{said:?}");
    ensure!(lab.wan().heard_of("TLS work.example.com"));
    Ok(())
}

#[test]
fn public_addresses_are_reached_as_they_are_written() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let script = format!(
        "curl -sS https://{CDN_V4}/version; curl -sS https://[{CDN_V6}]/version\n\
                          curl -sS http://{CDN_V4}/version"
    );
    ensure!(guest.sh(&["--network", "public"], &script)?.success()?.text() == "2.0\n2.0\n1.1\n");
    let allow = [CDN_V4.to_string(), CDN_V6.to_string()];
    let said = listed(&guest, &[&allow[0], &allow[1]], &script)?;
    ensure!(said.text() == "2.0\n2.0\n1.1\n", "{said:?}");
    Ok(())
}

#[test]
fn git_clones_over_tls_and_over_ssh() -> Result<()> {
    let mut lab = Lab::new()?;
    lab.publish_packages()?;
    let ssh = lab.start_ssh()?;
    let (key, known) = (std::fs::read(&ssh.key)?, format!("* {}\n", ssh.host_key));
    let guest = lab.machine()?;
    guest.person.write(&guest.project().join(".planted-key"), &key, 0o600)?;
    guest.person.write(&guest.project().join(".planted-known"), known.as_bytes(), 0o644)?;
    let script = "git clone -q https://github.com/lab/tiny.git over-tls\n\
         export GIT_SSH_COMMAND=\"ssh -F none -i $PWD/.planted-key -o UserKnownHostsFile=$PWD/.planted-known\"\n\
         git clone -q root@github.com:lab/tiny.git over-ssh; cat over-tls/README over-ssh/README";
    let said = listed(&guest, &["@github"], script)?;
    ensure!(said.text() == "hello from the forge\nhello from the forge\n", "{said:?}");
    Ok(())
}

#[test]
fn npm_installs_from_its_registry() -> Result<()> {
    let lab = Lab::new()?;
    lab.publish_packages()?;
    let guest = lab.machine()?;
    let script = "mkdir uses; cd uses; npm install --silent --no-audit --no-fund --fetch-retries=0 lab-tiny\n\
         node -p 'require(\"lab-tiny\")'";
    let said = listed(&guest, &["@npm"], script)?;
    ensure!(said.text() == "tiny from npm\n", "{said:?}");
    Ok(())
}

#[test]
fn pip_installs_from_its_index() -> Result<()> {
    let lab = Lab::new()?;
    lab.publish_packages()?;
    let guest = lab.machine()?;
    let script = "/usr/bin/python3 -m pip install -q --disable-pip-version-check --retries 0 --target here lab-tiny\n\
         PYTHONPATH=here /usr/bin/python3 -c 'import lab_tiny; print(lab_tiny.WORDS)'";
    let said = listed(&guest, &["@pypi"], script)?;
    ensure!(said.text() == "tiny from PyPI\n", "{said:?}");
    Ok(())
}

#[test]
fn cargo_fetches_from_its_registry() -> Result<()> {
    let lab = Lab::new()?;
    lab.publish_packages()?;
    let guest = lab.machine()?;
    let programs = guest.plant_toolchain()?;
    guest.configure_more("[profile.rust]\nread = [\"~/.rustup\"]\n")?;
    let script = format!(
        "export PATH={}:$PATH CARGO_NET_RETRY=0\n\
         cargo init -q --lib --vcs none --name uses uses; cd uses; echo 'lab-tiny = \"1\"' >> Cargo.toml\n\
         cargo fetch -q; grep -c lab-tiny Cargo.lock",
        programs.display()
    );
    let options = ["--profile", "rust", "--network", "allowlist", "--allow", "@crates"];
    guest.sh(&options, &script)?.success().map(drop)
}

#[test]
fn what_stays_open_stays_open() -> Result<()> {
    let _alone = alone()?;
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(&[
        "--network",
        "allowlist",
        "--allow",
        "work.example.com",
        "--allow",
        "work.example.com:7",
    ])?;
    for port in ["80", "443"] {
        let said = guest.client_in(&session, &["websocket", "work.example.com", port, "one", "two"])?;
        ensure!(said[0]["back"] == serde_json::json!(["one", "two"]), "{said:?}");
    }
    let said = guest.client_in(&session, &["pipeline", "work.example.com", "80", "40"])?;
    ensure!(said[0]["answers"] == 40 && said[0]["in_order"] == true, "{said:?}");
    let said = guest.client_in(&session, &["half-close", "work.example.com", "7", "3000000"])?;
    ensure!(said[0]["same"] == true, "{said:?}");
    // An event a second, each as soon as it is sent, over both versions.
    for version in ["--http1.1", "--http2"] {
        let script = format!(
            "curl -sSN {version} https://work.example.com/events/4/1000 | while read -r line; do echo \"$(date +%s%N) $line\"; done"
        );
        let said = guest.sh_in(&session, &script)?.success()?;
        let text = said.text();
        let times: Vec<u64> = text
            .lines()
            .filter(|line| line.contains("data:"))
            .filter_map(|line| line.split(' ').next()?.parse().ok())
            .collect();
        ensure!(times.len() == 4, "{said:?}");
        ensure!(
            times.windows(2).all(|pair| (500_000_000..2_000_000_000).contains(&(pair[1] - pair[0]))),
            "{times:?}"
        );
    }
    Ok(())
}

#[test]
fn a_stream_that_is_silent_for_long_is_not_ended() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(&["--network", "allowlist", "--allow", "work.example.com"])?;
    // Longer than a client may be silent before its first word.
    let one = |version: &str, scheme: &str| {
        format!("curl -sSN {version} {scheme}://work.example.com/events/2/40000 > {scheme}{version} &\n")
    };
    let streams = [one("--http1.1", "http"), one("--http1.1", "https"), one("--http2", "https")].concat();
    let script =
        format!("cd /tmp; {streams}wait; grep -c '^data: event' http--http1.1 https--http1.1 https--http2");
    let said = guest.sh_in(&session, &script)?.success()?;
    ensure!(said.text() == "http--http1.1:2\nhttps--http1.1:2\nhttps--http2:2\n", "{said:?}");
    session.stop()
}

#[test]
fn a_hundred_megabytes_come_and_ten_go_unchanged() -> Result<()> {
    let _alone = alone()?;
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let script = "curl -sS https://work.example.com/bytes/104857600 | sha256sum\n\
         curl -sS --http1.1 http://work.example.com/bytes/104857600 | sha256sum\n\
         curl -sS http://work.example.com/bytes/10000000 | curl -sS --data-binary @- https://work.example.com/echo";
    let outside = lab.shell_outside(script)?.success()?.text();
    let inside = listed(&guest, &["work.example.com"], script)?.text();
    ensure!(inside == outside && inside.contains("\"bytes\":10000000"), "{inside}\n{outside}");
    Ok(())
}

#[test]
fn a_client_hello_is_read_however_it_is_cut() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(&["--network", "allowlist", "--allow", "work.example.com"])?;
    for arguments in [["pieces", "work.example.com"], ["grease", "work.example.com"]] {
        for said in guest.client_in(&session, &arguments)? {
            ensure!(said["outcome"] == "server hello", "{said}");
        }
    }
    Ok(())
}

#[test]
fn programs_inside_still_reach_each_other() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let script = "/usr/bin/python3 - <<'E'\n\
        import os, socket, threading\n\
        path = '/tmp/database'\n\
        unix = socket.socket(socket.AF_UNIX); unix.bind(path); unix.listen()\n\
        servers = [(unix, socket.AF_UNIX, path)]\n\
        for family, host in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):\n\
        \x20   one = socket.create_server((host, 0), family=family); servers.append((one, family, one.getsockname()))\n\
        for server, family, address in servers:\n\
        \x20   threading.Thread(target=lambda: server.accept()[0].sendall(b'served')).start()\n\
        \x20   client = socket.socket(family); client.connect(address); print(client.recv(6).decode())\n\
        print(sorted({entry[4][0] for entry in socket.getaddrinfo('localhost', 1)}))\n\
        E";
    let said = listed(&guest, &["work.example.com"], script)?;
    ensure!(
        said.text().starts_with("served\nserved\nserved\n") && said.text().contains("127.0.0.1"),
        "{said:?}"
    );
    Ok(())
}

#[test]
fn a_published_port_is_seen_on_the_loopback_of_the_host_and_nowhere_else() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let script = "echo made inside > index.html; exec /usr/bin/python3 -m http.server --bind 127.0.0.1 3000";
    let options = ["--network", "allowlist", "--publish", "3000", "--publish", "8081:3000"];
    let session = guest.detached_with("L2", &options, &["sh", "-c", script])?;
    for place in ["127.0.0.1:3000", "127.0.0.1:8081", "[::1]:8081"] {
        eventually("the port is published", LIMIT, || {
            let said = lab.shell_outside(&format!("curl -sS --max-time 5 http://{place}/"))?;
            Ok((said.text() == "made inside\n").then_some(()))
        })
        .context(place)?;
    }
    for place in ["10.77.0.2:3000", "192.168.77.2:8081", "[2a0e:b107:77::2]:8081"] {
        let said = lab.shell_outside(&format!("curl -sS --max-time 5 http://{place}/"))?;
        ensure!(said.status != 0, "{place} answers: {said:?}");
    }
    session.stop()?;
    ensure!(
        lab.shell_outside("curl -sS --max-time 5 http://127.0.0.1:3000/")?.status != 0,
        "it is still there"
    );
    Ok(())
}

#[test]
fn a_published_port_whose_server_does_not_accept_holds_up_nobody() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let script = "import socket, time\n\
         server = socket.socket(); server.bind(('127.0.0.1', 3000)); server.listen(0); time.sleep(600)";
    let options = ["--network", "allowlist", "--allow", "work.example.com", "--publish", "3000"];
    let session = guest.detached_with("L2", &options, &["/usr/bin/python3", "-c", script])?;
    // More than its queue takes, so that the last ones are not even there.
    let connect = "timeout 20 /usr/bin/python3 -c \"import socket, time\n\
         all = [socket.create_connection(('127.0.0.1', 3000)) for _ in range(9)]; time.sleep(15)\" </dev/null >/dev/null 2>&1 &";
    ensure!(lab.shell_outside(connect)?.status == 0, "nobody could connect");
    std::thread::sleep(Duration::from_secs(2));
    let begun = Instant::now();
    session.status()?;
    let said = guest.sh_in(&session, "curl -sS --max-time 5 https://work.example.com/version")?;
    ensure!(said.text() == "2.0\n", "{said:?}");
    ensure!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
    session.stop()
}

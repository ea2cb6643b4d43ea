//! The lab itself: what the tests of the network stand on works from its host without any session, and what
//! they assert on can fail.

use agentbox_suite::lab::addresses::{
    BLACKHOLE, CDN_V4, CDN_V6, CLOSED, HOST_V4, LAN, LAN6, META, RESOLVER_LAN, RESOLVER_STUB,
    RESOLVER_TAILNET, RESOLVER_V4, TAILNET,
};
use agentbox_suite::lab::dns::Says;
use agentbox_suite::lab::{Families, Lab};
use agentbox_suite::{eventually, run};
use anyhow::{Context, Result, ensure};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn the_web_speaks_every_version_of_http_to_who_trusts_the_lab() -> Result<()> {
    let lab = Lab::new()?;
    let said = lab.shell_outside(
        "curl -sS https://work.example.com/version; curl -sS --http1.1 https://work.example.com/version\n\
         curl -sS http://work.example.com/version; curl -sS -6 https://any.example.org/version\n\
         curl -sS https://9.0.0.1/version; curl -sS 'https://[2a0e:b107:c::1]/version'\n\
         head -c 300000 /dev/zero | curl -sS --data-binary @- https://work.example.com/echo\n\
         curl -sS https://work.example.com/bytes/1000000 | wc -c; curl -sS https://work.example.com/events/2/10",
    );
    lab.dns().address("any.example.org", &["9.0.0.2", "2a0e:b107:c::2"]);
    let first = said?;
    ensure!(first.status != 0, "a name that nobody set is found: {first:?}");
    let said = lab
        .shell_outside(
            "curl -sS https://work.example.com/version; curl -sS --http1.1 https://work.example.com/version\n\
             curl -sS http://work.example.com/version; curl -sS -6 https://any.example.org/version\n\
             curl -sS https://9.0.0.1/version; curl -sS 'https://[2a0e:b107:c::1]/version'\n\
             head -c 300000 /dev/zero | curl -sS --data-binary @- https://work.example.com/echo\n\
             curl -sS https://work.example.com/bytes/1000000 | wc -c; curl -sS https://work.example.com/events/2/10",
        )?
        .success()?;
    let text = said.text();
    ensure!(text.starts_with("2.0\n1.1\n1.1\n2.0\n2.0\n2.0\n{\"bytes\":300000,"), "{text}");
    ensure!(text.contains("\n1000000\nid: 1\ndata: event 1\n\nid: 2\n"), "{text}");
    ensure!(
        lab.wan().heard_of("TLS work.example.com") && lab.wan().heard_of("HTTP/2.0 POST work.example.com")
    );
    ensure!(!lab.wan().heard_of("refused.example.com"));
    let untrusting = run(
        lab.outside("curl")
            .env_remove("CURL_CA_BUNDLE")
            .env_remove("SSL_CERT_FILE")
            .args(["-sS", "https://work.example.com/"]),
        b"",
        LIMIT,
    )?;
    ensure!(untrusting.status == 60, "{untrusting:?}");
    Ok(())
}

#[test]
fn whatever_is_sent_anywhere_is_counted_where_it_arrives() -> Result<()> {
    let lab = Lab::new()?;
    let mut all: Vec<IpAddr> = vec![CDN_V4, CDN_V6, LAN, LAN6, TAILNET, META];
    for text in
        ["10.0.0.0", "172.31.255.255", "240.0.0.1", "8.8.8.8", "2606:4700::1", "fd00::1", "64:ff9b::1"]
    {
        all.push(text.parse()?);
    }
    for address in all {
        let place = lab.place_of(address);
        ensure!(place.packets_to(address)? == 0, "{address} was there before");
        let connected = lab
            .host()
            .space()
            .enter(|| TcpStream::connect_timeout(&SocketAddr::new(address, 443), Duration::from_secs(5)))?;
        connected.with_context(|| address.to_string())?;
        ensure!(place.packets_to(address)? > 0, "{address} was not counted");
        eventually("it is recorded", LIMIT, || Ok((place.arrived(address).len() == 1).then_some(())))?;
        let from = place.arrived(address)[0].from;
        ensure!(
            from.is_ipv6() || [HOST_V4, "192.168.77.2".parse()?, "100.101.102.103".parse()?].contains(&from)
        );
    }
    // Nothing listens there, and it is counted all the same.
    lab.host().space().enter(|| UdpSocket::bind("0.0.0.0:0")?.send_to(b"x", "10.9.9.9:9999"))??;
    eventually("it is counted", LIMIT, || Ok((lab.wan().packets_to("10.9.9.9".parse()?)? == 1).then_some(())))
}

#[test]
fn the_lab_has_no_way_out() -> Result<()> {
    let lab = Lab::new()?;
    for place in [lab.host(), lab.wan(), lab.lan(), lab.lan6(), lab.tailnet(), lab.meta()] {
        let said = run(place.space().command("ip").args(["-o", "link"]), b"", LIMIT)?.success()?;
        for line in said.text().lines() {
            let ends = line.contains(" lo:") || line.contains("link-netns ab-lab-");
            ensure!(ends, "{}: {line}", place.space().name());
        }
    }
    Ok(())
}

#[test]
fn resolvers_say_what_they_are_told_and_remember_who_asked() -> Result<()> {
    let lab = Lab::new()?;
    lab.dns().set("moves.example.com", Says::Then(vec![CDN_V4], 1, vec![LAN]));
    lab.dns().set("alias.example.com", Says::Alias("work.example.com".into()));
    lab.dns().set_at(RESOLVER_LAN, "split.example.com", Says::Addresses(vec![LAN]));
    lab.dns().address("split.example.com", &["9.0.0.2"]);
    let ask = |name: &str, server: IpAddr, stream: bool| -> Result<Vec<u8>> {
        let mut question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
        for label in name.split('.') {
            question.push(label.len() as u8);
            question.extend(label.as_bytes());
        }
        question.extend([0, 0, 1, 0, 1]);
        lab.host().space().enter(|| -> Result<Vec<u8>> {
            use std::io::{Read, Write};
            if stream {
                let mut stream = TcpStream::connect((server, 53))?;
                stream.write_all(&(question.len() as u16).to_be_bytes())?;
                stream.write_all(&question)?;
                let mut length = [0; 2];
                stream.read_exact(&mut length)?;
                let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut answer)?;
                return Ok(answer);
            }
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect((server, 53))?;
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            socket.send(&question)?;
            let mut answer = vec![0; 65536];
            let length = socket.recv(&mut answer)?;
            answer.truncate(length);
            Ok(answer)
        })?
    };
    let ends_in = |answer: &[u8], address: [u8; 4]| answer.ends_with(&address);
    ensure!(ends_in(&ask("moves.example.com", RESOLVER_V4, false)?, [9, 0, 0, 1]));
    ensure!(ends_in(&ask("moves.example.com", RESOLVER_V4, false)?, [192, 168, 77, 10]));
    ensure!(ends_in(&ask("alias.example.com", RESOLVER_TAILNET, true)?, [9, 0, 0, 1]));
    ensure!(ends_in(&ask("split.example.com", RESOLVER_LAN, false)?, [192, 168, 77, 10]));
    ensure!(ends_in(&ask("split.example.com", RESOLVER_STUB, false)?, [9, 0, 0, 2]));
    ensure!(ask("nobody.example.com", RESOLVER_V4, false)?[3] & 15 == 3);
    lab.dns().set("silent.example.com", Says::Silence);
    ensure!(ask("silent.example.com", RESOLVER_V4, false).is_err());
    for (says, name) in [
        (Says::WrongId(vec![CDN_V4]), "a"),
        (Says::Huge(CDN_V4), "b"),
        (Says::Truncated(vec![CDN_V4]), "c"),
        (Says::CompressionLoop, "d"),
        (Says::AliasLoop, "e"),
        (Says::Garbage, "f"),
        (Says::WrongQuestion(vec![CDN_V4]), "g"),
        (Says::Failure, "h"),
    ] {
        let name = format!("{name}.hostile.example.com");
        lab.dns().set(&name, says.clone());
        ensure!(!ask(&name, RESOLVER_V4, false)?.is_empty(), "{says:?}");
    }
    let asked = lab.dns().asked_for("split.example");
    ensure!(asked.len() == 2 && asked[0].resolver == RESOLVER_LAN && !asked[0].stream, "{asked:?}");
    Ok(())
}

#[test]
fn packages_and_repositories_are_there_for_their_own_programs() -> Result<()> {
    let mut lab = Lab::new()?;
    lab.publish_packages()?;
    let (key, host_key) = {
        let ssh = lab.start_ssh()?;
        (ssh.key.clone(), ssh.host_key.clone())
    };
    std::fs::write(lab.directory().join("known"), format!("* {host_key}\n"))?;
    let said = lab.shell_outside(&format!(
        "mkdir work; cd work; git clone -q https://github.com/lab/tiny.git over-https\n\
         export GIT_SSH_COMMAND='ssh -F none -i {} -o UserKnownHostsFile=../known -o IdentitiesOnly=yes'\n\
         git clone -q root@github.com:lab/tiny.git over-ssh; cat over-https/README over-ssh/README\n\
         npm install --silent --no-audit --no-fund lab-tiny; node -p 'require(\"lab-tiny\")'\n\
         /usr/bin/python3 -m pip install -q --disable-pip-version-check --target here lab-tiny\n\
         PYTHONPATH=here /usr/bin/python3 -c 'import lab_tiny; print(lab_tiny.WORDS)'",
        key.display()
    ))?;
    let said = said.success()?;
    let forge = "hello from the forge\n";
    ensure!(said.text() == format!("{forge}{forge}tiny from npm\ntiny from PyPI\n"), "{said:?}");
    let sysroot = run(Command::new("rustc").args(["--print", "sysroot"]), b"", LIMIT)?.success()?;
    let said = lab.shell_outside(&format!(
        "export PATH={}/bin:$PATH\n\
         cargo init -q --lib --vcs none --name uses uses; cd uses; echo 'lab-tiny = \"1\"' >> Cargo.toml; cargo fetch; ls Cargo.lock",
        sysroot.text().trim()
    ))?;
    said.success().map(drop)
}

#[test]
fn hostile_addresses_behave_as_badly_as_they_should() -> Result<()> {
    let lab = Lab::new()?;
    let connect = |address: IpAddr| {
        lab.host().space().enter(|| {
            TcpStream::connect_timeout(&SocketAddr::new(address, 443), Duration::from_secs(1)).map(drop)
        })
    };
    ensure!(connect(BLACKHOLE)?.is_err_and(|error| error.kind() == std::io::ErrorKind::TimedOut));
    ensure!(connect(CLOSED)?.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused));
    let said = lab.shell_outside(
        "for n in 2 3 5; do curl -sSk --max-time 5 https://9.66.0.$n/ && exit 1 || echo $n $?; done\n\
         curl -sSk --max-time 1 https://9.66.0.1/ || echo silent $?; head -c 10 < /dev/null",
    )?;
    let text = said.success()?.text();
    ensure!(
        text.contains("2 35\n")
            && (text.contains("3 35\n") || text.contains("3 7\n"))
            && text.contains("silent 28"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_host_of_one_family_reaches_the_web_by_it() -> Result<()> {
    for (families, works, fails) in [(Families::OnlyV4, "-4", "-6"), (Families::OnlyV6, "-6", "-4")] {
        let lab = Lab::with(families)?;
        let said = lab.shell_outside(&format!("curl -sS {works} https://work.example.com/version"))?;
        ensure!(said.success()?.text() == "2.0\n");
        ensure!(
            lab.shell_outside(&format!("curl -sS {fails} https://work.example.com/version"))?.status != 0
        );
    }
    Ok(())
}

#[test]
fn nothing_of_a_lab_is_left_and_what_was_abandoned_is_swept() -> Result<()> {
    let names = |lab: &Lab| lab.host().space().name().to_owned();
    // As a process that was killed leaves it.
    let mut gone = Command::new("true").spawn()?;
    let (pid, _) = (gone.id(), gone.wait()?);
    let abandoned = format!("ab-lab-{pid}-0-host");
    run(Command::new("ip").args(["netns", "add", &abandoned]), b"", LIMIT)?.success()?;
    let began = Instant::now();
    let lab = Lab::new()?;
    println!("a lab takes {:?}", began.elapsed());
    let name = names(&lab);
    let prefix = name.trim_end_matches("host").to_owned();
    drop(lab);
    let left = run(Command::new("ip").args(["netns", "list"]), b"", LIMIT)?.success()?.text();
    ensure!(!left.contains(&prefix) && !left.contains(&abandoned), "{left}");
    ensure!(!std::path::Path::new("/etc/netns").join(name).exists());
    Ok(())
}

#[test]
fn the_client_says_on_the_wire_what_it_should() -> Result<()> {
    let lab = Lab::new()?;
    for (arguments, wanted) in [
        (&["pieces", "work.example.com"][..], r#""outcome":"server hello""#),
        (&["grease", "work.example.com"], r#""outcome":"server hello""#),
        (&["tls", "work.example.com", "other.example.com"], r#""outcome":"server hello""#),
        (&["attempt", "work.example.com", "80", "work.example.com", "443"], "o"),
        (&["websocket", "work.example.com", "443", "one", "two"], r#""back":["one","two"]"#),
        (&["websocket", "work.example.com", "80", "one"], r#""back":["one"]"#),
        (&["pipeline", "work.example.com", "80", "20"], r#""answers":20,"in_order":true"#),
        (&["half-close", "work.example.com", "7", "300000"], r#""got":300000,"same":true"#),
        (&["many", "work.example.com", "80", "500", "20"], r#""wrong":{}"#),
        (&["loris", "work.example.com", "443", "20", "0.3"], r#""open":20"#),
        (&["resolve", "work.example.com"], r#""found":["2a0e:b107:c::1","9.0.0.1"]"#),
        (&["ask", "work.example.com", "1", "28"], r#""code":0"#),
        (
            &["raw", "work.example.com", "80", r"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
            "hello from a",
        ),
        (&["flood", "0.2", "work.example.com", "80"], "answered"),
        (&["datagrams", "9.1.1.1", "99"], "refused"),
    ] {
        let said = lab.client_outside(arguments)?;
        ensure!(!said.is_empty(), "{arguments:?} says nothing");
        for answer in said {
            ensure!(answer.to_string().contains(wanted), "{arguments:?}: {answer}");
        }
    }
    ensure!(lab.wan().heard_of("TLS other.example.com"));
    Ok(())
}

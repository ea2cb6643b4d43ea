//! What each target begins with: a few inputs of every kind, so that it need not find the form by itself.

use super::{kept, others};
use agentbox_plan::console::{Client, Hello};
use agentbox_plan::gate::{Answer, GateLimits, GatePlan, Request, Sent, Transport};
use agentbox_plan::net::{Destination, HostName, Mode, Reason, Rule, Rules, Translator, Verdict};
use agentbox_plan::wire::Bytes;
use agentbox_plan::{
    Confinement, Identity, Ids, InnerPath, Mount, NetworkNamespace, Owner, Plan, Process, Sandbox, Streams,
    TerminalSize, Wire,
};
use anyhow::{Context as _, Result};
use std::path::Path;

/// A name for the file, and what is in it.
pub(super) type Seed = (&'static str, Vec<u8>);

/// Writes them below this directory, a directory for each target. What else is there is left: inputs that
/// once found something are kept beside them.
pub(super) fn write(corpus: &Path) -> Result<()> {
    for (target, seeds) in all()? {
        let directory = corpus.join(target);
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        for (name, bytes) in seeds {
            std::fs::write(directory.join(name), bytes)?;
        }
    }
    Ok(())
}

fn all() -> Result<Vec<(&'static str, Vec<Seed>)>> {
    Ok(vec![
        ("agent_requests", agent_requests()),
        ("client_hello", client_hello()),
        ("command_line", kept::command_line()?),
        ("configuration", others::configuration()),
        ("console_frames", others::console_frames()),
        ("dns_answer", dns_answer()),
        ("dns_question", dns_question()),
        ("gate_messages", gate_messages()?),
        ("git_files", others::git_files()),
        ("http_requests", http_requests()),
        ("kernel_answers", others::kernel_answers()),
        ("kept_state", kept::kept_state()?),
        ("plan", plan()?),
        ("rules", rules()),
        ("session_messages", others::session_messages()),
        ("spelling", others::spelling()),
        ("terminal_output", others::terminal_output()),
        ("trail", kept::trail()),
    ])
}

fn rules() -> Vec<Seed> {
    let text = |name, lines: &str| (name, lines.as_bytes().to_vec());
    vec![
        text("name", "api.example.org\napi.example.org\n!paste.example.org\nexample.org:22\n"),
        text("wildcard", "a.b.example.org\n*.example.org\n**.example.org:443\n!**.b.example.org\n"),
        text("address", "10.1.2.3\n10.0.0.0/8:22\n!10.1.0.0/16\n10.1.2.3\n"),
        text("address-6", "2606:4700::1\n[2606:4700::]/32:443\n::ffff:10.0.0.1\n![fd00::1]:80\n"),
        text("spelling", "api.example.org\nAPI.Example.ORG.\nHost:79\n!host.:80\n"),
        text("host", "host.agentbox.internal\nhost:5432\n!host:80\n"),
    ]
}

/// The length of pieces that the targets of streams take from their first byte.
pub(super) const PIECES: u8 = 7;

fn http_requests() -> Vec<Seed> {
    let stream = |name, text: &str| (name, [&[PIECES], text.as_bytes()].concat());
    vec![
        stream("get", "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
        stream(
            "pipelined",
            "POST /a HTTP/1.1\r\nHost: example.org:80\r\nContent-Length: 3\r\n\r\nabc\
             GET /b HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        ),
        stream(
            "chunked",
            "PUT / HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n\
             2;a=b\r\nde\r\n1\r\nf\r\n0\r\nTrailer: x\r\n\r\nGET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
        ),
        stream("absolute", "GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n"),
        stream("connect", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n"),
        stream(
            "upgrade",
            "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbehind",
        ),
        stream("http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        stream("switched", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
    ]
}

/// Messages of the ssh-agent protocol, each behind its length; the first byte says that git may sign.
fn agent_requests() -> Vec<Seed> {
    let string = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let key = b"\0\0\0\x0bssh-ed25519\0\0\0\x20the key of the person, 32 bytes.";
    let sign = |data: &[u8]| [&[13], &string(key)[..], &string(data), &[0; 4]].concat();
    let sshsig = |name: &[u8]| {
        [b"SSHSIG", &string(name)[..], &string(b""), &string(b"sha512"), &string(&[1; 64])].concat()
    };
    let words = [string(b"git"), string(b"ssh-connection"), string(b"publickey")].concat();
    let login = [&string(&[9; 32])[..], &[50], &words, &[1], &string(b"ssh-ed25519"), &string(key)].concat();
    let host = [string(b"ssh-ed25519"), string(&[2; 32])].concat();
    let signature = [string(b"ssh-ed25519"), string(&[3; 64])].concat();
    let bound = [string(b"session-bind@openssh.com"), string(&host), string(&[9; 32]), string(&signature)];
    let bind = [&[27], &bound.concat()[..], &[0]].concat();
    let list = [&[12, 0, 0, 0, 1], &string(key)[..], &string(b"comment")].concat();
    let all = |name, messages: &[Vec<u8>]| {
        let framed = messages.iter().map(|message| long(message)).collect::<Vec<_>>().concat();
        (name, [&[1], &framed[..]].concat())
    };
    vec![
        all("list", &[vec![11], list]),
        all("git", &[sign(&sshsig(b"git"))]),
        all("file", &[sign(&sshsig(b"file"))]),
        all("login", &[bind, sign(&login)]),
        all("others", &[vec![17], vec![19], vec![22], vec![27]]),
    ]
}

/// Behind a length of two bytes.
fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn client_hello() -> Vec<Seed> {
    let extension = |number: u16, content: &[u8]| [&number.to_be_bytes()[..], &long(content)].concat();
    let server_name = |name: &str| extension(0, &long(&[&[0], &long(name.as_bytes())[..]].concat()));
    let hello = |extensions: &[u8]| {
        // Version, random, no session, one cipher suite, no compression.
        let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &long(extensions)].concat();
        [&[1, 0][..], &long(&body)].concat()
    };
    let record = |payload: &[u8]| [&[22, 3, 1][..], &long(payload)].concat();
    let stream = |name, records: &[Vec<u8>]| (name, [&[PIECES], records.concat().as_slice()].concat());
    // Which versions, which names of protocols: what every client sends besides.
    let others = [extension(43, &[2, 3, 4]), extension(16, &long(b"\x02h2"))].concat();
    let whole = hello(&[server_name("example.org"), others.clone()].concat());
    let (first, second) = whole.split_at(60);
    vec![
        stream("name", &[record(&whole)]),
        stream("two-records", &[record(first), record(second)]),
        stream("no-name", &[record(&hello(&others))]),
        stream(
            "two-names",
            &[record(&hello(&[server_name("a.example"), server_name("b.example")].concat()))],
        ),
        stream("zero", &[record(&hello(&server_name("a.example\0.b.example")))]),
        stream("http", &[b"GET / HTTP/1.1\r\n\r\n".to_vec()]),
    ]
}

/// A DNS message with one question.
fn message(flags: u16, counts: [u16; 3], name: &str, kind: u16, behind: &[u8]) -> Vec<u8> {
    let mut out = vec![7, 8];
    for word in [flags, 1].into_iter().chain(counts) {
        out.extend(word.to_be_bytes());
    }
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    out.extend(behind);
    out
}

const A: u16 = 1;
const AAAA: u16 = 28;
const HTTPS: u16 = 65;
const QUESTION: u16 = 0x0100;
const ANSWER: u16 = 0x8180;

fn dns_question() -> Vec<Seed> {
    const EDNS: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    vec![
        ("a", message(QUESTION, [0; 3], "a.example.org", A, &[])),
        ("aaaa-edns", message(QUESTION, [0, 0, 1], "A.Example.ORG", AAAA, EDNS)),
        ("https", message(QUESTION, [0; 3], "a.example.org", HTTPS, &[])),
        ("label", message(QUESTION, [0; 3], "localhost", A, &[])),
        ("answer", message(ANSWER, [0; 3], "a.example.org", A, &[])),
    ]
}

fn dns_answer() -> Vec<Seed> {
    /// Records of the name in the question, which is at byte 12.
    const ADDRESS: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 93, 184, 216, 10];
    const ADDRESS_6: &[u8] =
        &[0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16, 0x26, 6, 0x47, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    /// To `b.example.org`, whose end is that of the question, and its address behind.
    const ALIAS: &[u8] = &[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, b'b', 0xc0, 14];
    const OF_ALIAS: &[u8] = &[0xc0, 43, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1];
    let seed = |which: u8, flags: u16, count: u16, kind: u16, records: &[u8]| {
        [vec![which], message(flags, [count, 0, 0], "a.example.org", kind, records)].concat()
    };
    vec![
        ("a", seed(0, ANSWER, 1, A, ADDRESS)),
        ("aaaa", seed(1, ANSWER, 1, AAAA, ADDRESS_6)),
        ("alias", seed(0, ANSWER, 2, A, &[ALIAS, OF_ALIAS].concat())),
        ("alias-alone", seed(0, ANSWER, 1, A, ALIAS)),
        ("not-found", seed(0, ANSWER | 3, 0, A, &[])),
        ("truncated", seed(0, ANSWER | 0x200, 0, A, &[])),
    ]
}

fn gate_messages() -> Result<Vec<Seed>> {
    let name = || "api.example.org".parse::<HostName>();
    let destination = Destination::Name { name: name()? };
    let rules = Rules {
        mode: Mode::Allowlist,
        rules: vec![Rule {
            verdict: Verdict::Allow,
            target: "*.example.org:443".parse()?,
            internal: true,
            origin: "x".to_owned(),
        }],
    };
    let plan = GatePlan {
        session: "abc".parse()?,
        ids: Ids { uid: 7, gid: 7, groups: vec![] },
        rules: rules.clone(),
        ipv6: true,
        limits: GateLimits { upload_max: Some(1), name_upload_max: None, connections: 2, names: 3 },
        sent: vec![Sent { destination: destination.clone(), sent: 1, received: 2 }],
        sent_in_all: 3,
        published: vec![3000],
    };
    let sent = Sent { destination: Destination::HostLoopback, sent: 1, received: 2 };
    let translators = Translator::new("2001:db8:64::/96".parse()?).into_iter().collect();
    let dial =
        Request::Dial { number: 1, destination: destination.clone(), address: "1.2.3.4".parse()?, port: 443 };
    let decided = Request::Decided {
        destination: Destination::Address { address: "2606:4700::1".parse()? },
        port: 80,
        reason: Some(Reason::NameMismatch),
        rule: Some(0),
        other: Some(name()?),
    };
    // The first byte says which of the three it is.
    let seed = |which: u8, message: Vec<u8>| [vec![which], message].concat();
    Ok(vec![
        ("dial", seed(0, dial.to_bytes())),
        (
            "resolver",
            seed(0, Request::Resolver { number: 2, which: 1, transport: Transport::Tcp }.to_bytes()),
        ),
        ("inside", seed(0, Request::DialInside { number: 3, port: 3000 }.to_bytes())),
        ("decided", seed(0, decided.to_bytes())),
        ("used", seed(0, Request::Used { sent }.to_bytes())),
        ("translates", seed(0, Request::Translates { translators }.to_bytes())),
        ("socket", seed(1, Answer::Socket { number: 1 }.to_bytes())),
        ("refused", seed(1, Answer::Refused { number: 1, reason: Reason::OnLink }.to_bytes())),
        ("rules", seed(1, Answer::Rules { rules }.to_bytes())),
        ("network", seed(1, Answer::OtherNetwork.to_bytes())),
        ("plan", seed(2, plan.to_bytes())),
    ])
}

fn plan() -> Result<Vec<Seed>> {
    let ids = || Ids { uid: 1, gid: 1, groups: vec![2] };
    let path = |text: &str| InnerPath::new(text).with_context(|| format!("{text} is no path inside"));
    let file = Mount::File {
        path: path("/etc/hosts")?,
        mode: 0o644,
        owner: Owner::Root,
        content: Bytes(b"x".to_vec()),
    };
    let sandbox = Sandbox {
        hostname: c"box".into(),
        network: NetworkNamespace::Empty,
        idmaps: vec![],
        mounts: vec![
            file,
            Mount::Proc { target: path("/proc")? },
            Mount::Mask { target: path("/proc/kcore")? },
        ],
        unix_sockets: true,
    };
    let size = TerminalSize::default();
    let plan = Plan {
        session: "abc".parse()?,
        label: "L2".to_owned(),
        identity: Identity { agent: ids(), console: ids() },
        confinement: Confinement::Sandbox { sandbox },
        limits: vec![],
        oom_score_adj: 0,
        umask: 0o22,
        process: Process {
            arguments: vec![c"true".into()],
            environment: vec![c"A=b".into()],
            directory: path("/")?,
            streams: Streams::PIPES,
            size,
        },
    };
    let attach = Hello::Attach { client: Client { streams: Streams::PIPES, size } };
    Ok(vec![("sandbox", plan.to_bytes()), ("attach", attach.to_bytes())])
}

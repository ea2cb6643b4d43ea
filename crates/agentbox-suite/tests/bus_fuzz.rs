//! Every method of every object with random and boundary arguments, by people who may use the supervisor and by
//! strangers: it does not crash, keeps nothing, starts nothing, and tells nothing of others.
//!
//! `AGENTBOX_TEST_LONG=1` makes it ten minutes; `AGENTBOX_FUZZ_SEED` repeats a run.

use agentbox_suite::bus::{MANAGER, NAME, PATH, SESSION, converse, object};
use agentbox_suite::{Machine, Numbers, Person, eventually};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use zbus::{Array, Connection, Dict, Fd, Message, Signature, Str, Structure, Variant};

const LIMIT: Duration = Duration::from_secs(60);
/// Calls that wait for something are left after this time.
const PATIENCE: Duration = Duration::from_millis(100);
/// What memory may grow by: caches and the allocator's own.
const MAX_GROWTH_KIB: u64 = 64 << 10;

/// What arguments are made of.
struct Maker<'a> {
    numbers: Numbers,
    texts: Vec<String>,
    files: &'a [OwnedFd],
}

/// Keys that requests have, and some that none has.
const KEYS: &[&str] = &[
    "options",
    "person",
    "project_file",
    "inspection",
    "environment",
    "git_name",
    "ssh",
    "streams",
    "rows",
    "columns",
    "umask",
    "detach",
    "resume",
    "base_commit",
    "posture",
    "profile",
    "agent",
    "network",
    "workspace",
    "state",
    "command",
    "name",
    "allow",
    "deny",
    "allow_unconfined",
    "allow_trifecta",
    "allow_root_project",
    "written",
    "triggers",
    "config",
    "file",
    "lines",
    "no-such-key",
    "",
    "__proto__",
    "PATH",
];

impl<'a> Maker<'a> {
    fn number(&mut self) -> u64 {
        match self.numbers.below(4) {
            0 => *self.numbers.one(&[0, 1, 2, 255, 65_535, u64::from(u32::MAX), i64::MAX as u64, u64::MAX]),
            1 => self.numbers.next() % 100,
            _ => self.numbers.next(),
        }
    }

    fn text(&mut self) -> String {
        match self.numbers.below(8) {
            0 => "x".repeat(self.numbers.below(70_000)),
            1 => (0..self.numbers.below(40))
                .filter_map(|_| char::from_u32(self.numbers.next() as u32 % 0x11_0000))
                .filter(|c| *c != '\0')
                .collect(),
            _ => self.numbers.one(&self.texts).clone(),
        }
    }

    fn file(&mut self) -> Variant<'a> {
        Variant::Fd(Fd::from(self.numbers.one(self.files)))
    }

    fn variant(&mut self, depth: usize) -> Variant<'a> {
        if depth > 12 {
            return Variant::Bool(true);
        }
        match self.numbers.below(12) {
            0 => Variant::U8(self.numbers.next() as u8),
            1 => Variant::Bool(self.numbers.below(2) == 0),
            2 => Variant::I64(self.number() as i64),
            3 => Variant::U64(self.number()),
            4 => Variant::F64(f64::from_bits(self.numbers.next())),
            5 => self.file(),
            6 => Variant::Variant(Box::new(self.variant(depth + 1))),
            7 => self.dict(depth + 1),
            8 => self.array(&Signature::Variant, depth + 1),
            9 => self.array(&Signature::Str, depth + 1),
            _ => Variant::Str(Str::from(self.text())),
        }
    }

    fn array(&mut self, element: &Signature, depth: usize) -> Variant<'a> {
        let mut array = Array::new(element);
        for _ in 0..self.numbers.below(6) {
            let value = self.value(element, depth);
            let _of_another_type = array.append(value);
        }
        Variant::Array(array)
    }

    fn dict(&mut self, depth: usize) -> Variant<'a> {
        let mut dict = Dict::new(&Signature::Str, &Signature::Variant);
        for _ in 0..self.numbers.below(9) {
            let key =
                if self.numbers.below(8) == 0 { self.text() } else { (*self.numbers.one(KEYS)).to_owned() };
            let value = self.variant(depth + 1);
            let _of_another_type =
                dict.append(Variant::Str(Str::from(key)), Variant::Variant(Box::new(value)));
        }
        Variant::Dict(dict)
    }

    /// A value of a type; now and then of another one.
    fn value(&mut self, signature: &Signature, depth: usize) -> Variant<'a> {
        match signature {
            Signature::Str => Variant::Str(Str::from(self.text())),
            Signature::U64 => Variant::U64(self.number()),
            Signature::U32 => Variant::U32(self.number() as u32),
            Signature::Bool => Variant::Bool(self.numbers.below(2) == 0),
            Signature::Fd => self.file(),
            Signature::Array(child) => self.array(child.signature(), depth),
            Signature::Dict { .. } => self.dict(depth),
            Signature::Variant => Variant::Variant(Box::new(self.variant(depth))),
            _ => self.variant(depth),
        }
    }

    fn body(&mut self, signatures: &[Signature]) -> Result<Option<Structure<'a>>> {
        let mut builder = Structure::builder();
        let mut count = 0;
        for signature in signatures {
            // Too few, too many, another type.
            let value = match self.numbers.below(40) {
                0 => continue,
                1 => self.variant(0),
                _ => self.value(signature, 0),
            };
            count += 1;
            builder = builder.append_field(value);
        }
        if self.numbers.below(40) == 0 {
            count += 1;
            builder = builder.append_field(self.variant(0));
        }
        Ok(if count == 0 { None } else { Some(builder.build()?) })
    }
}

/// A method with the types of its arguments.
struct Method {
    path: String,
    interface: String,
    name: String,
    takes: Vec<Signature>,
}

fn signature(text: &str) -> Result<Signature> {
    Signature::try_from(text).map_err(|error| anyhow::anyhow!("{text}: {error}"))
}

/// The methods in what an object says of itself.
fn methods(path: &str, interface: &str, xml: &str) -> Result<Vec<Method>> {
    let part =
        xml.split("<interface name=\"").find(|part| part.starts_with(interface)).context("no interface")?;
    let mut methods = Vec::new();
    for text in part.split("<method name=\"").skip(1) {
        let (name, rest) = text.split_once('"').context("a method")?;
        let arguments = rest.split("</method>").next().unwrap_or_default();
        let arguments =
            if rest.trim_start_matches(|c| c != '>' && c != '/').starts_with("/>") { "" } else { arguments };
        let mut takes = Vec::new();
        for argument in
            arguments.split("<arg ").skip(1).filter(|argument| argument.contains("direction=\"in\""))
        {
            let kind =
                argument.split("type=\"").nth(1).and_then(|kind| kind.split('"').next()).context("a type")?;
            takes.push(signature(kind)?);
        }
        methods.push(Method { path: path.into(), interface: interface.into(), name: name.into(), takes });
    }
    Ok(methods)
}

const STANDARD: &[(&str, &str, &[&str])] = &[
    ("org.freedesktop.DBus.Properties", "Get", &["s", "s"]),
    ("org.freedesktop.DBus.Properties", "GetAll", &["s"]),
    ("org.freedesktop.DBus.Properties", "Set", &["s", "s", "v"]),
    ("org.freedesktop.DBus.Introspectable", "Introspect", &[]),
    ("org.freedesktop.DBus.Peer", "GetMachineId", &[]),
];

async fn all_methods(connection: &Connection, id: &str) -> Result<Vec<Method>> {
    connection.call_method(Some(NAME), PATH, Some(MANAGER), "Subscribe", &()).await?;
    let mut all = Vec::new();
    for (path, interface) in [(PATH.to_owned(), MANAGER), (object(id), SESSION)] {
        let interface_of = Some("org.freedesktop.DBus.Introspectable");
        let answer =
            connection.call_method(Some(NAME), path.as_str(), interface_of, "Introspect", &()).await?;
        all.extend(methods(&path, interface, &answer.body().deserialize::<String>()?)?);
        for (interface, name, takes) in STANDARD {
            let takes = takes.iter().map(|kind| signature(kind)).collect::<Result<_>>()?;
            all.push(Method {
                path: path.clone(),
                interface: (*interface).into(),
                name: (*name).into(),
                takes,
            });
        }
    }
    ensure!(all.len() > 45, "only {} methods", all.len());
    Ok(all)
}

/// Calls whatever it may until the time is over; how often it was answered.
async fn fuzz(
    connection: &Connection,
    methods: &[Method],
    maker: &mut Maker<'_>,
    forbidden: &[&[u8]],
    time: Duration,
) -> Result<u64> {
    // A peer has objects once it is told of them; strangers are not.
    let _ = connection.call_method(Some(NAME), PATH, Some(MANAGER), "Subscribe", &()).await;
    let begun = Instant::now();
    let mut answered = 0;
    while begun.elapsed() < time {
        let method = maker.numbers.one(methods);
        let body = maker.body(&method.takes)?;
        let (path, interface, name) = (method.path.as_str(), method.interface.as_str(), method.name.as_str());
        let call = async {
            match &body {
                Some(body) => connection.call_method(Some(NAME), path, Some(interface), name, body).await,
                None => connection.call_method(Some(NAME), path, Some(interface), name, &()).await,
            }
        };
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(Ok(answer)) => {
                answered += 1;
                check(&answer, forbidden).with_context(|| format!("{name} on {path}"))?;
            }
            Ok(Err(zbus::Error::MethodError(_, _, answer))) => {
                answered += 1;
                check(&answer, forbidden).with_context(|| format!("{name} on {path}"))?;
            }
            Ok(Err(zbus::Error::FDO(_))) => answered += 1,
            // Of who may use nothing it ends after seconds, which is for the caller to judge.
            Ok(Err(zbus::Error::InputOutput(_))) => return Ok(answered),
            // What this side does not send is no call.
            Ok(Err(_)) | Err(_) => {}
        }
    }
    Ok(answered)
}

/// Nothing of somebody else's is in an answer.
fn check(answer: &Message, forbidden: &[&[u8]]) -> Result<()> {
    let bytes: &[u8] = answer.data();
    for word in forbidden {
        ensure!(!bytes.windows(word.len()).any(|window| window == *word), "it tells {}", word.escape_ascii());
    }
    Ok(())
}

/// Messages with bytes changed, right into the supervisor's own socket, where no bus looks at them first.
fn broken_messages(
    machine: &Machine,
    maker: &mut Maker<'_>,
    methods: &[Method],
    time: Duration,
) -> Result<u64> {
    let begun = Instant::now();
    let mut sent = 0;
    while begun.elapsed() < time {
        let mut stream = UnixStream::connect(machine.runtime().join("bus"))?;
        let whole = maker.numbers.below(8) != 0;
        // Root: 30 in hexadecimal digits is `0`.
        let greeted = stream.write_all(if whole {
            b"\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
        } else {
            b"\0AUTH \xff\r\n"
        });
        if greeted.is_err() {
            // Closed at once: more than one user may have are still being taken apart.
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        for _ in 0..maker.numbers.below(20) {
            let method = maker.numbers.one(methods);
            // Nothing with descriptors, and nothing that this caller may do: its id is that of nobody.
            let text = maker.text();
            let built =
                Message::method_call("/org/agentbox1/nothing", method.name.as_str()).interface(MANAGER);
            let mut bytes = built.build(&(text.as_str(), 1_u64))?.data().to_vec();
            for _ in 0..1 + maker.numbers.below(6) {
                let at = maker.numbers.below(bytes.len().min(400));
                bytes[at] = maker.numbers.next() as u8;
            }
            sent += 1;
            if stream.write_all(&bytes).is_err() {
                break;
            }
        }
    }
    Ok(sent)
}

#[test]
fn no_arguments_crash_it_make_it_keep_something_or_give_anybody_anything() -> Result<()> {
    let is_long = std::env::var_os("AGENTBOX_TEST_LONG").is_some();
    let time = Duration::from_secs(if is_long { 600 } else { 30 });
    let seed =
        std::env::var("AGENTBOX_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_126);
    println!("AGENTBOX_FUZZ_SEED={seed}");
    let machine = Machine::new()?;
    let (other, stranger) = (Person::new()?, Person::new()?);
    let file = machine.config().join("agentbox.toml");
    let text = fs::read_to_string(&file)?;
    let mine = format!("{:?}]", machine.person.name);
    fs::write(&file, text.replace(&mine, &format!("{:?}, {:?}]", machine.person.name, other.name)))?;
    machine.service().map_or(Ok(()), |service| service.restart())?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let agent = session.status()?["agent_pid"].as_u64().context("no agent")?;
    let id = session.id.clone();
    let methods = converse(&machine, 0, async |connection| all_methods(connection, &id).await)?;
    if let Some(service) = machine.service() {
        service.wait_for_stock()?;
    }
    let before = machine.supervisor()?;
    let trail = fs::metadata(machine.logs().join("audit.jsonl"))?.len();
    let project = machine.project().display().to_string();
    // The id is one that was guessed; that it is there, or what it is, is told to nobody.
    let texts = [
        "",
        &id,
        "abcdefgh",
        "../../etc",
        "/etc/shadow",
        "/",
        "*",
        "host:22",
        "10.0.0.0/8",
        "@github",
        "%n%s",
        "-",
        "0",
        "\u{1b}[2J",
        "a\nb",
        "::1",
        "root",
        "L0",
        "L2",
        "none",
        "true",
        "org.agentbox1.Session",
        "State",
        "Owner",
    ]
    .map(str::to_owned);
    let mut places: Vec<OwnedFd> = Vec::new();
    for path in ["/", "/etc", "/proc", "/dev/null", "/etc/passwd"] {
        places.push(File::open(path)?.into());
    }
    places.push(UnixStream::pair()?.0.into());
    let mut answered = Vec::new();
    for (at, person) in [&other, &stranger].into_iter().enumerate() {
        let numbers = Numbers::new(seed + at as u64);
        let forbidden: [&[u8]; 2] = [project.as_bytes(), machine.planted.canary.as_bytes()];
        let mut maker = Maker { numbers, texts: texts.to_vec(), files: &places };
        let (begun, time, may) = (Instant::now(), time * 2 / 5, at == 0);
        let mut count = 0;
        while begun.elapsed() < time {
            count += converse(&machine, person.uid, async |connection| {
                let left = time.saturating_sub(begun.elapsed());
                fuzz(connection, &methods, &mut maker, &forbidden, left).await
            })?;
            ensure!(!may || begun.elapsed() >= time, "the connection of who may use it was closed");
        }
        answered.push(count);
    }
    if machine.service().is_none() {
        let mut maker = Maker { numbers: Numbers::new(seed + 7), texts: texts.to_vec(), files: &places };
        answered.push(broken_messages(&machine, &mut maker, &methods, time / 5)?);
    }
    println!("answered: {answered:?}");
    ensure!(answered.iter().all(|count| *count > 200), "{answered:?}");
    // Nobody's session is another one, and nothing was begun.
    ensure!(machine.session_ids()? == [session.id.clone()], "{:?}", machine.session_ids()?);
    ensure!(session.status()?["agent_pid"].as_u64() == Some(agent));
    ensure!(session.posture_diff()?.is_empty(), "{:?}", session.posture_diff()?);
    let after = eventually("descriptors are closed", LIMIT, || {
        let now = machine.supervisor()?;
        Ok((now.descriptors <= before.descriptors + 2).then_some(now))
    })?;
    ensure!(after.pid == before.pid, "it is another process");
    println!("memory: {} KiB before, {} KiB after", before.memory_kib, after.memory_kib);
    ensure!(after.memory_kib < before.memory_kib + MAX_GROWTH_KIB, "{} KiB", after.memory_kib);
    let grown = fs::metadata(machine.logs().join("audit.jsonl"))?.len() - trail;
    println!("trail: {grown} bytes more");
    session.stop()?;
    machine.ends_without_leftovers()
}

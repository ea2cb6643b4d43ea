//! The real program, spoken to over its socket. Sessions are the suite's; here nothing is started.
#![allow(clippy::unwrap_used, reason = "the functions of the rig are part of tests")]

mod rig;

use agentbox_ipc::{Client, Dict, Error, LogVerdict, StartRequest, SupervisorStatus, from_dict, to_dict};
use rig::{NOBODY, Rig, converse, open, proxy, request};
use rustix::process::Signal;
use std::io::Write;
use std::path::Path;
use zbus::{OwnedVariant, Variant};

fn dict(request: &StartRequest) -> Dict {
    to_dict(request).unwrap()
}

fn value(value: impl Into<Variant<'static>>) -> OwnedVariant {
    value.into().try_into().unwrap()
}

/// The text of a failed start.
async fn start_error(rig: &Rig, path: &Path, request: Dict) -> Error {
    let directory = open(path);
    rig.peer().await.start((&directory).into(), request).await.unwrap_err()
}

#[tokio::test]
async fn an_idle_supervisor_says_who_it_is() {
    let rig = Rig::start("");
    let peer = rig.peer().await;
    assert!(peer.list().await.unwrap().is_empty());
    let status: SupervisorStatus = from_dict(peer.status("").await.unwrap()).unwrap();
    assert_eq!((status.sessions, status.version.as_str()), (0, env!("CARGO_PKG_VERSION")));
    assert_eq!(Path::new(&status.runtime_dir), rig.path("runtime"));
    assert_eq!(status.configuration.len(), 1);
}

#[tokio::test]
async fn unknown_keys_are_refused_by_name() {
    let rig = Rig::start("");
    let mut request = dict(&request());
    request.insert("privileged".into(), value(true));
    match start_error(&rig, &rig.path("."), request).await {
        Error::Invalid(text) => assert!(text.contains("privileged"), "{text}"),
        other => panic!("{other:?}"),
    }
    let mut inside = dict(&rig::request());
    inside
        .insert("options".into(), value(std::collections::HashMap::from([("colour", Variant::from("red"))])));
    match start_error(&rig, &rig.path("."), inside).await {
        Error::Invalid(text) => assert!(text.contains("colour"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(!rig.events().contains(&"start".to_owned()));
}

#[tokio::test]
async fn malformed_values_are_refused() {
    let rig = Rig::start("");
    let deep = (0..20).fold(Variant::from(1_u8), |inner, _| Variant::Variant(Box::new(inner)));
    let bad = [
        ("rows", value(-1_i32)),
        ("rows", value("24")),
        ("rows", value(1.5_f64)),
        ("columns", value(70_000_u32)),
        ("umask", value(0o1000_u32)),
        ("streams", value(vec![true, true])),
        ("environment", value("PATH=/bin")),
        ("options", deep.try_into().unwrap()),
        ("detach", value((1_u8, 2_u8))),
    ];
    for (key, value) in bad {
        let mut request = dict(&request());
        request.insert(key.into(), value);
        let error = start_error(&rig, &rig.path("."), request).await;
        assert!(matches!(error, Error::Invalid(_)), "{key}: {error:?}");
    }
}

#[tokio::test]
async fn a_descriptor_that_proves_no_right_is_no_project() {
    use rustix::fs::{Mode, OFlags};
    let rig = Rig::start("");
    let peer = rig.peer().await;
    let bare = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let error = peer.start((&bare).into(), dict(&request())).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(text) if text.contains("not open for reading")), "{error:?}");
    let file = open(Path::new("/dev/null"));
    let error = peer.start((&file).into(), dict(&request())).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(text) if text.contains("not a directory")), "{error:?}");
    assert!(rig.events().contains(&"refused".to_owned()));
}

#[tokio::test]
async fn an_environment_that_is_too_large_is_refused() {
    let rig = Rig::start("");
    let mut request = request();
    request.environment.insert("A".into(), "x".repeat(1 << 20));
    let error = start_error(&rig, &rig.path("."), dict(&request)).await;
    assert!(matches!(&error, Error::Invalid(text) if text.contains("environment")), "{error:?}");
}

#[tokio::test]
async fn a_session_that_is_not_there_is_not_found() {
    let rig = Rig::start("");
    let peer = rig.peer().await;
    let client = || to_dict(&Client::default()).unwrap();
    for id in ["abcdefgh", "../../etc", "A", "a\u{1b}[2J", &"x".repeat(10_000)] {
        let errors = [
            peer.status(id).await.unwrap_err(),
            peer.stop(id, 0).await.unwrap_err(),
            peer.attach(id, client()).await.unwrap_err(),
            peer.exec(id, &["true".to_owned()], client()).await.unwrap_err(),
        ];
        for error in errors {
            let Error::NotFound(text) = &error else { panic!("{error:?}") };
            assert!(text.len() < 200 && !text.contains('\u{1b}'), "{text:?}");
        }
    }
}

#[tokio::test]
async fn who_is_not_named_is_told_so_and_gets_nothing() {
    let rig = Rig::start("");
    let connection = converse(rig.connect_as(NOBODY), Some(NOBODY)).await.unwrap();
    let peer = proxy(&connection).await;
    let root = open(Path::new("/"));
    let errors = [
        peer.list().await.unwrap_err(),
        peer.status("").await.unwrap_err(),
        peer.start((&root).into(), dict(&request())).await.unwrap_err(),
        peer.explain((&root).into(), dict(&request())).await.unwrap_err(),
        peer.log("", 0).await.unwrap_err(),
        peer.verify_log().await.unwrap_err(),
        peer.diagnose().await.unwrap_err(),
        peer.repair().await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::NotAuthorized(_)), "{error:?}");
    }
}

#[tokio::test]
async fn who_is_named_may_ask_and_is_not_root() {
    let rig = Rig::start("users = [\"nobody\"]\n");
    let connection = converse(rig.connect_as(NOBODY), Some(NOBODY)).await.unwrap();
    let peer = proxy(&connection).await;
    assert!(peer.list().await.unwrap().is_empty());
    assert!(peer.log("", 0).await.unwrap().is_empty(), "the supervisor's own events are for root");
    assert!(matches!(peer.repair().await.unwrap_err(), Error::NotAuthorized(_)));
}

#[tokio::test]
async fn nobody_becomes_root_by_saying_so() {
    let rig = Rig::start("");
    assert!(converse(rig.connect_as(NOBODY), Some(0)).await.is_err());
    assert!(rig.peer().await.list().await.is_ok());
}

#[tokio::test]
async fn an_agent_cannot_drive_the_supervisor() {
    let rig = Rig::start("");
    let agent = 2_001_000_004;
    let peer = proxy(&converse(rig.connect_as(agent), Some(agent)).await.unwrap()).await;
    let error = peer.list().await.unwrap_err();
    assert!(matches!(&error, Error::NotAuthorized(text) if text.contains("uid_range")), "{error:?}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_refuses_every_start_and_says_where() {
    let rig = Rig::start("default_posture = \"L2\"\nnonsense = 1\n");
    let status: SupervisorStatus = from_dict(rig.peer().await.status("").await.unwrap()).unwrap();
    assert!(status.problems.iter().any(|problem| problem.contains("agentbox.toml")), "{status:?}");
    let error = start_error(&rig, &rig.path("."), dict(&request())).await;
    assert!(matches!(&error, Error::Invalid(text) if text.contains("agentbox.toml:2")), "{error:?}");
}

#[tokio::test]
async fn one_user_cannot_use_up_the_connections() {
    let rig = Rig::start("users = [\"nobody\"]\n");
    let first = rig.peer().await;
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(rig.connect_as(NOBODY));
    }
    assert!(rig::is_closed(&held[199]), "the last of 200 is turned away");
    assert!(first.list().await.is_ok());
    assert!(rig.peer().await.list().await.is_ok(), "another user is not");
    drop(held);
    // The supervisor learns of each end when it gets to it.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let connection = loop {
        match converse(rig.connect_as(NOBODY), Some(NOBODY)).await {
            Ok(connection) => break connection,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
    };
    assert!(proxy(&connection).await.list().await.is_ok());
}

#[tokio::test]
async fn two_hundred_conversations_one_after_the_other() {
    let rig = Rig::start("");
    let _kept = rig.peer().await;
    for _ in 0..200 {
        assert!(rig.peer().await.list().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn noise_on_one_connection_does_not_disturb_another() {
    let rig = Rig::start("");
    let silent = rig.connect();
    let mut noisy = rig.connect();
    noisy.write_all(&[0]).unwrap();
    // It is closed by the other end at some point, which is what is wanted.
    let _ = noisy.write_all(&[0xff; 70_000]);
    assert!(rig.peer().await.list().await.is_ok());
    drop(silent);
}

#[tokio::test]
async fn it_ends_with_its_last_connection_and_leaves_a_whole_trail() {
    let mut rig = Rig::start("");
    let peer = rig.peer().await;
    let verdict: LogVerdict = from_dict(peer.verify_log().await.unwrap()).unwrap();
    assert!(verdict.whole, "{verdict:?}");
    drop(peer);
    assert!(rig.ended().await.success());
    assert!(!rig.path("runtime/bus").exists());
    assert_eq!(rig.events(), ["daemon-started", "daemon-ended"]);
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_keep_it_from_being_told_to_end() {
    let mut rig = Rig::start("");
    let _silent = rig.connect();
    let _peer = rig.peer().await;
    rig.signal(Signal::TERM);
    assert!(rig.ended().await.success());
    assert_eq!(rig.events().last().map(String::as_str), Some("daemon-ended"));
}

#[test]
fn only_root_reads_the_audit_trail() {
    use std::os::unix::fs::MetadataExt;
    let rig = Rig::start("");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { rig.peer().await.list().await.unwrap() });
    for name in ["logs/audit.jsonl", "logs/audit.head"] {
        let metadata = std::fs::metadata(rig.path(name)).unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o600, 0), "{name}");
    }
}

use super::*;
use crate::*;
use proptest::prelude::*;
use serde::Deserialize;

/// Through the bytes of a message, not only through the tree.
fn over_the_wire(dict: &Dict) -> Dict {
    let message = zbus::Message::method_call("/org/agentbox1", "List").build(&(dict,)).unwrap();
    let (dict,): (Dict,) = message.body().deserialize().unwrap();
    dict
}

fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let dict = over_the_wire(&to_dict(value).unwrap());
    assert_eq!(&from_dict::<T>(dict).unwrap(), value);
}

fn text() -> impl Strategy<Value = String> {
    "[^\\x00]{0,12}"
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ]
}

fn tree() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(text(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_tree_survives_the_wire(map in proptest::collection::btree_map(text(), tree(), 0..5)) {
        let value = Value::Object(map.into_iter().collect());
        let dict = over_the_wire(&to_dict(&value).unwrap());
        prop_assert_eq!(from_dict::<Value>(dict).unwrap(), value);
    }

    #[test]
    fn every_summary_survives(
        id in text(), name in proptest::option::of(text()), project in text(), started in any::<u64>(),
        memory in proptest::option::of(any::<u64>()), owner in any::<u32>(), state in 0usize..4,
    ) {
        let state = [SessionState::Starting, SessionState::Running, SessionState::Stopping, SessionState::Ending][state];
        survives(&summary(id, name, project, started, memory, owner, state));
    }

    #[test]
    fn every_request_survives(
        environment in proptest::collection::btree_map(text(), text(), 0..9),
        git in proptest::option::of(text()), streams in any::<[bool; 3]>(), rows in any::<u16>(), detach in any::<bool>(),
    ) {
        survives(&StartRequest {
            environment, git_name: git.clone(), git_email: git, streams, rows, columns: rows, detach,
            umask: detach.then_some(rows), ..StartRequest::default()
        });
    }

    #[test]
    fn every_client_survives(streams in any::<[bool; 3]>(), rows in any::<u16>(), columns in any::<u16>()) {
        survives(&Client { streams, rows, columns });
    }

    #[test]
    fn every_verdict_survives(whole in any::<bool>(), lines in any::<u64>(), problems in proptest::collection::vec(text(), 0..4)) {
        survives(&LogVerdict { whole, lines, last: lines, anchors: whole.then_some(lines), problems });
    }
}

fn summary(
    id: String,
    name: Option<String>,
    project: String,
    started_unix_s: u64,
    memory_bytes: Option<u64>,
    owner_uid: u32,
    state: SessionState,
) -> SessionSummary {
    SessionSummary {
        id,
        name,
        project,
        profile: "work".into(),
        posture: "L2".into(),
        agent: "shell".into(),
        state,
        started_unix_s,
        memory_bytes,
        tasks: memory_bytes,
        denied: started_unix_s,
        owner_uid,
    }
}

#[test]
fn the_other_answers_survive() {
    let values = vec![["a".to_owned(), "b".to_owned(), String::new()]];
    survives(&StartAnswer { id: "a".into(), banner: vec!["x".into()], ..StartAnswer::default() });
    survives(&StartAnswer {
        allowed: 3,
        internal: 1,
        published: vec![PublishedPort { host: 1, inside: 65535 }],
        ..StartAnswer::default()
    });
    survives(&AllowAnswer { target: "a.org:22".into(), rules: 15, cut: 2, warnings: vec!["w".into()] });
    survives(&WhyAnswer::default());
    for access in [Access::Hidden, Access::Private, Access::ReadOnly, Access::Writable] {
        survives(&WhyAnswer { access: Some(access), destination: "/a".into(), ..WhyAnswer::default() });
    }
    survives(&ExplainAnswer {
        values: values.clone(),
        steps: vec![],
        hash: "h".into(),
        legs: legs(),
        warnings: vec![],
    });
    survives(&SessionStatus {
        summary: summary("a".into(), None, "/p".into(), 1, None, 1000, SessionState::Running),
        network: NetworkStatus {
            mode: "allowlist".into(),
            rules: 14,
            gate_pid: 9,
            gate_restarts: 1,
            sent_bytes: u64::MAX,
            received_bytes: 3,
            destinations: vec![DestinationTotal { destination: "a.org".into(), ..Default::default() }],
            published: vec![PublishedPort { host: 8080, inside: 3000 }],
        },
        legs: legs(),
        workspace: "direct".into(),
        uid: 1,
        gid: 1,
        init_pid: 2,
        agent_pid: 3,
        policy_hash: "h".into(),
        cgroup: "/c".into(),
        values,
        posture_diff: vec!["umask".into()],
        streams: [true, false, true],
        frozen: Some("no room".into()),
        guard: "kernel".into(),
        exit: Some("0".into()),
    });
    survives(&Check { check: "c".into(), state: CheckState::Missing, found: "f".into(), remedy: "r".into() });
    survives(&SupervisorStatus {
        version: "0".into(),
        mode: Mode::Embedded,
        pid: 1,
        sessions: 2,
        runtime_dir: "/r".into(),
        state_dir: "/s".into(),
        logs_dir: "/l".into(),
        configuration: vec!["f".into()],
        problems: vec![],
    });
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let mut dict = to_dict(&Client::default()).unwrap();
    dict.insert("colour".into(), Variant::from(true).try_into().unwrap());
    assert!(from_dict::<Client>(dict).unwrap_err().to_string().contains("colour"));
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let mut dict = to_dict(&Client::default()).unwrap();
    dict.insert("rows".into(), Variant::from(70_000_u64).try_into().unwrap());
    assert!(from_dict::<Client>(dict).is_err());
}

#[test]
fn narrow_integers_and_plain_lists_are_read() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Narrow {
        number: u64,
        words: Vec<String>,
    }
    let mut dict = Dict::new();
    dict.insert("number".into(), Variant::from(7_u8).try_into().unwrap());
    dict.insert("words".into(), Variant::from(vec!["a", "b"]).try_into().unwrap());
    let read: Narrow = from_dict(over_the_wire(&dict)).unwrap();
    assert_eq!(read, Narrow { number: 7, words: vec!["a".into(), "b".into()] });
}

#[test]
fn what_is_no_plain_value_is_refused() {
    let null = std::fs::File::open("/dev/null").unwrap();
    let bad: Vec<Variant<'_>> = vec![
        Variant::F64(1.0),
        Variant::from((1_u32, "structure")),
        Variant::from(zbus::Fd::from(&null)),
        Variant::from(zbus::ObjectPath::try_from("/a").unwrap()),
    ];
    for value in bad {
        let mut dict = Dict::new();
        dict.insert("k".into(), value.try_to_owned().unwrap());
        assert!(from_dict::<Value>(dict).is_err(), "{value:?}");
    }
}

#[test]
fn a_tree_that_is_too_deep_is_refused_both_ways() {
    let nested = |levels: usize| {
        (1..levels).fold(Value::Object(Map::new()), |inner, _| {
            Value::Object([("k".to_owned(), inner)].into_iter().collect())
        })
    };
    let deepest = to_dict(&nested(MAX_DEPTH)).unwrap();
    assert_eq!(from_dict::<Value>(over_the_wire(&deepest)).unwrap(), nested(MAX_DEPTH));
    assert!(matches!(to_dict(&nested(MAX_DEPTH + 1)), Err(DictionaryError::TooDeep)));
    let mut one_more = Dict::new();
    one_more.insert("k".into(), Variant::from(deepest).try_into().unwrap());
    assert!(matches!(from_dict::<Value>(one_more), Err(DictionaryError::TooDeep)));
    let boxed = (0..MAX_DEPTH + 1).fold(Variant::from(1_u8), |inner, _| Variant::Variant(Box::new(inner)));
    let mut dict = Dict::new();
    dict.insert("k".into(), boxed.try_into().unwrap());
    assert!(matches!(from_dict::<Value>(dict), Err(DictionaryError::TooDeep)));
}

#[test]
fn a_tree_that_is_too_large_is_refused() {
    let many = serde_json::json!({ "k": vec![1; MAX_VALUES] });
    assert!(matches!(to_dict(&many), Err(DictionaryError::TooLarge)));
    let long = serde_json::json!({ "k": "x".repeat(MAX_TEXT_BYTES + 1) });
    assert!(matches!(to_dict(&long), Err(DictionaryError::TooLarge)));
}

#[test]
fn text_with_a_nul_byte_is_refused() {
    assert!(to_dict(&serde_json::json!({ "k": "a\0b" })).is_err());
    assert!(to_dict(&serde_json::json!({ "a\0b": 1 })).is_err());
}

fn legs() -> agentbox_policy::Legs {
    let cause = agentbox_policy::Cause { what: "w".into(), rule: "r".into(), remedy: "m".into() };
    agentbox_policy::Legs { private: vec![cause], ..agentbox_policy::Legs::default() }
}

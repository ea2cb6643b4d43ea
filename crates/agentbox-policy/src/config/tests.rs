//! What is refused in a file, in whole messages.

use super::*;
use crate::lattice::{Key, TABLE};
use crate::{Request, merge_system};

fn refusal(file: &str, text: impl AsRef<[u8]>, kind: LayerKind) -> String {
    Layer::parse(file, text.as_ref(), kind).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_line() {
    let cases: &[(&str, &str, &str)] = &[
        // Unknown keys and values, with the nearest known one.
        (
            "a.toml",
            "\n[profile.work]\nnetwrok = \"none\"",
            "a.toml:3: profile.work.netwrok: unknown key (did you mean `network`?)",
        ),
        (
            "a.json",
            "{\n \"profile\": { \"work\": {\n  \"netwrok\": 1 } } }",
            "a.json:3: profile.work.netwrok: unknown key (did you mean `network`?)",
        ),
        (
            "a.toml",
            "floor.network = \"nothing\"",
            "a.toml:1: floor.network: unknown value `nothing` (known: `host`, `public`, `allowlist`, `none`)",
        ),
        (
            "a.toml",
            "floor.network = \"allow-list\"",
            "a.toml:1: floor.network: unknown value `allow-list` (did you mean `allowlist`?)",
        ),
        (
            "a.toml",
            "[ceiling]\nzzz = 1",
            "a.toml:2: ceiling.zzz: unknown key (known: `read`, `write`, `env`, `allow`, `internal`, `publish`, `ssh_agent`)",
        ),
        (
            "a.toml",
            "[uid_range]\n\"a\\u001b[2Jb\" = 1",
            "a.toml:2: uid_range.a\\u{1b}[2Jb: unknown key (known: `first`, `count`)",
        ),
        // Duplicate keys.
        ("a.toml", "default_posture = \"L1\"\n\ndefault_posture = \"L2\"", "a.toml:3: duplicate key"),
        ("a.toml", "[profile.a]\n[profile.b]\n[profile.a]", "a.toml:3: duplicate key"),
        (
            "a.json",
            "{\n\"default_posture\": \"L1\",\n\"default_posture\": \"L2\"}",
            "a.json:3: duplicate key `default_posture`",
        ),
        ("a.json", "{\"profile\": {\"a\": {},\n\"\\u0061\": {}}}", "a.json:2: duplicate key `a`"),
        // Names, paths and numbers.
        (
            "a.toml",
            "[profile.\"../x\"]",
            "a.toml:1: profile.../x: a name is 1 to 64 characters of A-Z, a-z, 0-9, `_` and `-`, the first a letter or a digit",
        ),
        (
            "a.toml",
            "[project.\"\"]",
            "a.toml:1: project.: a name is 1 to 64 characters of A-Z, a-z, 0-9, `_` and `-`, the first a letter or a digit",
        ),
        (
            "a.toml",
            "[project.a]\npath = \"../x\"",
            "a.toml:2: project.a.path: a path begins with `/` or `~/`",
        ),
        (
            "a.toml",
            "[project.a]\npath = \"/x/../y\"",
            "a.toml:2: project.a.path: a path has no `.`, no `..`, no doubled and no trailing `/`",
        ),
        (
            "a.toml",
            "[profile.a]\nread = [\n  \"~/a\",\n  \"b\",\n]",
            "a.toml:4: profile.a.read[1]: a path begins with `/` or `~/`",
        ),
        (
            "a.json",
            "{\"profile\": {\"a\": {\"read\": [\n\"~/a\",\n\"~root/b\"]}}}",
            "a.json:3: profile.a.read[1]: a path begins with `/` or `~/`",
        ),
        (
            "a.toml",
            "floor.memory_max = \"4 GB\"",
            "a.toml:1: floor.memory_max: a size is a whole number of bytes, or one with K, M, G or T: \"512M\"",
        ),
        (
            "a.toml",
            "floor.memory_max = \"1M\"",
            "a.toml:1: floor.memory_max: a size of at least 16M and at most 4194304T",
        ),
        (
            "a.toml",
            "floor.memory_max = -1",
            "a.toml:1: floor.memory_max: a size of at least 16M and at most 4194304T",
        ),
        ("a.toml", "floor.tasks_max = 1", "a.toml:1: floor.tasks_max: a whole number from 8 to 4194304"),
        (
            "a.toml",
            "floor.tasks_max = \"9\"",
            "a.toml:1: floor.tasks_max: expected a whole number, found a text",
        ),
        (
            "a.toml",
            "floor.tasks_max = 9.5",
            "a.toml:1: floor.tasks_max: expected a whole number, found a number with a fraction",
        ),
        (
            "a.json",
            "{\"floor\": {\"tasks_max\": 1e3}}",
            "a.json:1: floor.tasks_max: expected a whole number, found a number with a fraction or one that is too large",
        ),
        (
            "a.toml",
            "uid_range.first = 4294967296",
            "a.toml:1: uid_range.first: expected a whole number from 0 to 4294967295",
        ),
        (
            "a.toml",
            "profile.a.env.pass = [\"*\"]",
            "a.toml:1: profile.a.env.pass[0]: a variable's name is 1 to 128 characters of A-Z, a-z, 0-9 and `_`, the first no digit; a `*` may follow at the end",
        ),
        (
            "a.toml",
            "profile.a.env.set.\"A=B\" = \"x\"",
            "a.toml:1: profile.a.env.set.A=B: a variable's name is 1 to 128 characters of A-Z, a-z, 0-9 and `_`, the first no digit",
        ),
        (
            "a.toml",
            "profile.a.git.name = \"a\\nb\"",
            "a.toml:1: profile.a.git.name: a text of 1 to 256 bytes in one line, without control characters",
        ),
        // Hosts, ports and resolvers.
        (
            "a.toml",
            "profile.a.allow = [\n\"@npm\",\n\"@nmp\"]",
            "a.toml:3: profile.a.allow[1]: there is no group `@nmp` (did you mean `@npm`?)",
        ),
        (
            "a.toml",
            "profile.a.deny = [\"*.org\"]",
            "a.toml:1: profile.a.deny[0]: `*.org` is no host: a wildcard needs a name of two labels or more behind it: *.example.org",
        ),
        (
            "a.toml",
            "profile.a.internal = [\"10.0.0.1\"]",
            "a.toml:1: profile.a.internal[0]: `10.0.0.1` is no name; addresses and ports of `host` stand in `allow`",
        ),
        (
            "a.toml",
            "profile.a.publish = [80]",
            "a.toml:1: profile.a.publish[0]: a session cannot listen on port 80: ports inside are 1024 to 65535, as in 80:8080",
        ),
        (
            "a.toml",
            "profile.a.publish = [true]",
            "a.toml:1: profile.a.publish[0]: expected a port such as 3000 or \"8080:3000\", found true or false",
        ),
        ("a.toml", "profile.a.publish = [-1]", "a.toml:1: profile.a.publish[0]: a port is 1 to 65535"),
        (
            "a.toml",
            "ceiling.publish = [\"4-3\"]",
            "a.toml:1: ceiling.publish[0]: a range of ports begins with the smaller one: 3000-3999",
        ),
        (
            "a.toml",
            "resolvers = [\"dns.example.org\"]",
            "a.toml:1: resolvers[0]: a resolver is an address: 9.9.9.9, 9.9.9.9:53, [2620:fe::fe]:53",
        ),
        (
            "a.toml",
            "floor.upload_max = \"1K\"",
            "a.toml:1: floor.upload_max: a size of at least 16K and at most 4194304T",
        ),
        ("a.toml", "users = [\"a b\"]", "a.toml:1: users[0]: not the name of a user"),
        // Types.
        ("a.toml", "profile = 1", "a.toml:1: profile: expected a table, found a number"),
        ("a.toml", "floor = []", "a.toml:1: floor: expected a table, found a list"),
        ("a.toml", "users = \"me\"", "a.toml:1: users: expected a list, found a text"),
        ("a.json", "{\"users\": null}", "a.json:1: users: expected a list, found null"),
        ("a.json", "[]", "a.json:1: expected a table, found a list"),
        (
            "a.toml",
            "default_posture = 2026-01-01",
            "a.toml:1: default_posture: expected a text, found a date or time",
        ),
        // Depth.
        ("a.toml", "a.b.c.d.e.f.g.h.i = 1", "a.toml:1: more than 8 levels deep"),
        ("a.toml", "users = [[[[[[[[[1]]]]]]]]]", "a.toml:1: more than 8 levels deep"),
        ("a.json", "{\"a\":\n[[[[[[[[[1]]]]]]]]]}", "a.json:2: more than 8 levels deep"),
        // Syntax.
        ("a.toml", "a = 1\nb = ", "a.toml:2: string values must be quoted, expected literal string"),
        ("a.json", "{\n\"users\": [],\n}", "a.json:3: key must be a string"),
        ("a.json", "{} {}", "a.json:1: trailing characters"),
        ("a.json", "", "a.json:1: EOF while parsing a value"),
        ("a.json", "{\n\"profile\": {\"\\ud800\": {}}}", "a.json:2: unexpected end of hex escape"),
    ];
    for (file, text, message) in cases {
        let refusal = refusal(file, text, LayerKind::System);
        assert_eq!(&refusal, message, "{text:?}");
    }
}

#[test]
fn files_that_are_too_large_or_no_text_are_refused() {
    assert_eq!(
        refusal("a.toml", vec![b' '; MAX_FILE_BYTES + 1], LayerKind::System),
        "a.toml:1: larger than 1 MiB, which end in this line"
    );
    assert!(
        refusal("a.json", b"#\n".repeat(25 << 20), LayerKind::System).starts_with("a.json:524289: larger"),
        "fifty megabytes"
    );
    assert!(Layer::parse("a.toml", &vec![b'\n'; MAX_FILE_BYTES], LayerKind::System).is_ok());
    assert_eq!(refusal("a.toml", b"\n\n\xff", LayerKind::System), "a.toml:3: not UTF-8");
    assert_eq!(refusal("a.json", b"\xff", LayerKind::System), "a.json:1: not UTF-8");
    let many = format!("users = [{}]", "\"a\",".repeat(129));
    assert_eq!(
        refusal("a.toml", many, LayerKind::System),
        "a.toml:1: users: 129 entries; a list has at most 128"
    );
    let many: String = (0..1025).map(|at| format!("[profile.p{at}]\n")).collect();
    assert_eq!(
        refusal("a.toml", many, LayerKind::System),
        "a.toml:1: profile: 1025 entries; a table has at most 1024"
    );
}

#[test]
fn hostile_depth_does_not_exhaust_the_stack() {
    for open in ["[", "{\"a\":", "{\"a\":["] {
        let text = open.repeat(MAX_FILE_BYTES / open.len());
        assert!(Layer::parse("a.json", text.as_bytes(), LayerKind::Project).is_err());
    }
    let closed = format!("{}{}", "[".repeat(400_000), "]".repeat(400_000));
    assert_eq!(refusal("a.json", &closed, LayerKind::Project), "a.json:1: more than 8 levels deep");
    for text in [
        format!("a = {closed}"),
        format!("a{} = 1", ".a".repeat(400_000)),
        format!("[a{}]", ".a".repeat(400_000)),
    ] {
        assert!(Layer::parse("a.toml", text.as_bytes(), LayerKind::Project).is_err());
    }
}

#[test]
fn every_key_stands_only_in_the_files_that_the_table_says() {
    // A value of the right type for every row of the table.
    let example = |row: &crate::lattice::Row| match row.takes {
        "value" => {
            let values = row.order.split(" < ").last().unwrap();
            format!("{values:?}")
        }
        "size" => "\"64M\"".to_owned(),
        "number" => "70000".to_owned(),
        "share" => "50".to_owned(),
        "time" => "\"8h\"".to_owned(),
        "list of paths" => "[\"/x\"]".to_owned(),
        "path" => "\"/x\"".to_owned(),
        "list of variables" => "[\"X\"]".to_owned(),
        "list of hosts" => "[\"a.org:22\", \"@npm\"]".to_owned(),
        "list of patterns" => "[\"/config/*.key\", \"x/**\"]".to_owned(),
        "list of names" => "[\"*.a.org\"]".to_owned(),
        "list of ports" => "[3000, \"8080:3000\"]".to_owned(),
        "list of port ranges" => "[3000, \"3000-3999\"]".to_owned(),
        "list of addresses" => "[\"9.9.9.9\", \"[2620:fe::fe]:53\"]".to_owned(),
        "true or false" => "true".to_owned(),
        "list of pinned paths" => "[\"~/x\"]".to_owned(),
        "pinned path" => format!("\"~/x#sha256:{}\"", "0a".repeat(32)),
        "`env` or `file`" => "\"file\"".to_owned(),
        "name of a host" => "\"a.org\"".to_owned(),
        "list of kept things" => "[\"claude:credentials\"]".to_owned(),
        "list of user names" => "[\"me\"]".to_owned(),
        "list of fingerprints" => format!("[\"SHA256:{}\"]", "A".repeat(43)),
        "list of hosts of ssh" => "[\"a.org\", \"b.org:2222\"]".to_owned(),
        "list of `git`" => "[\"git\"]".to_owned(),
        "`true` or `false`" => "true".to_owned(),
        _ => "\"x\"".to_owned(),
    };
    for row in TABLE {
        let mut text = format!("{} = {}", row.key.replace("NAME", "X"), example(row));
        if let Some(secret) = text.strip_prefix("profile.X.env.X.").filter(|rest| !rest.starts_with("file")) {
            text = format!("profile.X.env.X = {{ file = \"/x\", {secret} }}");
        }
        for kind in [LayerKind::System, LayerKind::Person, LayerKind::Project] {
            let parsed = Layer::parse("f", text.as_bytes(), kind);
            assert_eq!(parsed.is_ok(), row.may(kind), "{text} in {kind:?}: {parsed:?}");
        }
    }
    let order = "a project's own file, which can only tighten: the key has no order";
    for (text, kind, message) in [
        (
            "\n[floor]\nnetwork = \"none\"",
            LayerKind::Person,
            "f:2: floor: cannot stand in a person's own file (it may stand in the system's file)".to_owned(),
        ),
        (
            "network = \"none\"",
            LayerKind::Person,
            "f:1: network: cannot stand in a person's own file (it may stand in a project's own file)"
                .to_owned(),
        ),
        (
            "[floor]",
            LayerKind::Project,
            format!("f:1: floor: cannot stand in {order} (it may stand in the system's file)"),
        ),
        (
            "network = \"none\"\n[profile.a]",
            LayerKind::Project,
            format!(
                "f:2: profile: cannot stand in {order} (it may stand in the system's file and in a person's own file)"
            ),
        ),
        (
            "default_posture = \"L0\"",
            LayerKind::Project,
            format!(
                "f:1: default_posture: cannot stand in {order} (it may stand in the system's file and in a person's own file)"
            ),
        ),
        (
            "env.pass = []\nenv.set.A = \"b\"",
            LayerKind::Project,
            format!(
                "f:2: env.set: cannot stand in {order} (remove it; `profile.NAME.env.set` sets variables)"
            ),
        ),
    ] {
        assert_eq!(refusal("f", text, kind), message);
    }
}

#[test]
fn the_schema_and_the_table_know_the_same_keys() {
    let schema = schema();
    let resolve = |node: &serde_json::Value| -> serde_json::Value {
        let reference =
            node.get("$ref").or_else(|| node.pointer("/anyOf/0/$ref")).and_then(|text| text.as_str());
        match reference {
            Some(path) => schema.pointer(&path[1..]).unwrap().clone(),
            None => node.clone(),
        }
    };
    fn walk(
        node: &serde_json::Value,
        path: &str,
        resolve: &dyn Fn(&serde_json::Value) -> serde_json::Value,
        keys: &mut Vec<String>,
    ) {
        let node = resolve(node);
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        if let Some(properties) = node.get("properties").and_then(|properties| properties.as_object()) {
            assert_eq!(node.get("additionalProperties"), Some(&serde_json::Value::Bool(false)), "{path}");
            for (name, below) in properties {
                walk(below, &join(name), resolve, keys);
            }
            for below in node.get("patternProperties").and_then(|all| all.as_object()).into_iter().flatten() {
                walk(below.1, &join("NAME"), resolve, keys);
            }
        } else if let Some(below) = node
            .pointer("/patternProperties")
            .and_then(|all| all.as_object()?.values().next())
            .or_else(|| node.get("additionalProperties"))
        {
            walk(below, &join("NAME"), resolve, keys);
        } else {
            keys.push(path.to_owned());
        }
    }
    let mut keys = Vec::new();
    walk(&schema, "", &resolve, &mut keys);
    // `env` at the top is one schema for all; that nobody may set there is refused by the table.
    keys.retain(|key| key != "env.set.NAME" && !key.starts_with("env.NAME."));
    let mut table: Vec<_> = TABLE.iter().map(|row| row.key.to_owned()).collect();
    keys.sort();
    table.sort();
    assert_eq!(keys, table);
}

#[test]
fn the_table_states_the_orders_of_the_types() {
    fn order<T: std::fmt::Display>(all: &[T]) -> String {
        all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" < ")
    }
    for row in TABLE.iter().filter(|row| row.takes == "value") {
        let expected = match row.key.rsplit('.').next().unwrap() {
            "isolation" => order(Isolation::ALL),
            "filesystem" => order(Filesystem::ALL),
            "identity" => order(Identity::ALL),
            "network" => order(Network::ALL),
            "workspace" => order(Workspace::ALL),
            "state" => order(State::ALL),
            "on_gate_loss" => order(OnGateLoss::ALL),
            "trifecta" => order(Trifecta::ALL),
            "guard" => order(Guard::ALL),
            "on_trigger" => order(OnTrigger::ALL),
            "on_shared_files" => order(OnSharedFiles::ALL),
            other => panic!("{other}"),
        };
        assert_eq!(row.order, expected, "{}", row.key);
    }
    for key in Key::ALL {
        assert!(TABLE.iter().any(|row| row.key == format!("floor.{}", key.as_str())), "{}", key.as_str());
    }
}

#[test]
fn toml_and_json_say_the_same() {
    let toml = "users = [\"me\"]\n[profile.a]\nread = [\"~/x\"]\nenv = { pass = [\"A\"], set = { B = \"1\" } }\n[floor]\nmemory_max = \"1G\"";
    let json = r#"{"users":["me"],"profile":{"a":{"read":["~/x"],"env":{"pass":["A"],"set":{"B":"1"}}}},"floor":{"memory_max":1073741824}}"#;
    let toml = Layer::parse("a.toml", toml.as_bytes(), LayerKind::System).unwrap();
    let json = Layer::parse("a.json", json.as_bytes(), LayerKind::System).unwrap();
    assert_eq!(toml.config, json.config);
    assert_eq!(toml.lines.get("profile.a.env.set.B"), Some(&4));
    assert_eq!(toml.lines.get("floor.memory_max"), Some(&6));
}

#[test]
fn drop_ins_are_merged_key_by_key_and_errors_name_their_file() {
    let layer = |file: &str, text: &str| Layer::parse(file, text.as_bytes(), LayerKind::System).unwrap();
    let system = merge_system(vec![
        layer("a.toml", "users = [\"a\", \"b\"]\n[floor]\nnetwork = \"public\"\nstate = \"project\"\n[profile.w]\nread = [\"/x\"]"),
        layer("b.json", "{\"users\": [\"c\"], \"floor\": {\"network\": \"none\"}, \"profile\": {\"w\": {\"agent\": \"claude\"}}}"),
        layer("c.toml", "[uid_range]\nfirst = 3000000000"),
    ])
    .unwrap();
    let floor = system.source.config.floor.unwrap();
    assert_eq!((floor.network, floor.state), (Some(Network::None), Some(State::Project)));
    assert_eq!(system.users().collect::<Vec<_>>(), ["c"]);
    assert_eq!(system.uid_range(), (3_000_000_000, 100_000_000));
    assert_eq!(system.source.rule("floor.network"), "b.json: floor.network");
    assert_eq!(system.source.rule("floor.state"), "a.toml: floor.state");
    assert_eq!(system.source.rule("profile.w.read"), "a.toml: profile.w.read");
    let refused = |layers: Vec<Layer>| merge_system(layers).unwrap_err().to_string();
    for (a, b, message) in [
        (
            "",
            "\ndefault_posture = \"L7\"",
            "b.toml:2: default_posture: there is no posture `L7` (known: `L0`, `L1`, `L2`, `L3`, `L4`, `L5`)",
        ),
        (
            "[posture.x]\nextends = \"y\"",
            "[posture.y]\nextends = \"x\"",
            "a.toml:2: posture.x.extends: extends itself: x → y → x (let one of them extend a built-in posture)",
        ),
        (
            "[posture.x]\nextends = \"x\"",
            "",
            "a.toml:2: posture.x.extends: extends itself: x → x (let one of them extend a built-in posture)",
        ),
        ("[project.p]\nprofile = \"q\"", "", "a.toml:1: project.p: a project needs a `path`"),
        (
            "[project.p]\npath = \"/p\"",
            "[project.p]\nprofile = \"q\"",
            "b.toml:2: project.p.profile: there is no profile `q` (there are none)",
        ),
        (
            "[profile.p]\nagent = \"cluade\"",
            "",
            "a.toml:2: profile.p.agent: there is no agent `cluade` (did you mean `claude`?)",
        ),
        (
            "[posture.L2]\nnetwork = \"none\"",
            "",
            "a.toml:1: posture.L2: `L2` is built in (choose another name and say `extends = \"L2\"`)",
        ),
        (
            "uid_range.first = 1000",
            "",
            "a.toml:1: uid_range.first: below 65536, where users and services live (choose ids that no user, service or container has)",
        ),
        (
            "uid_range.first = 4200000000",
            "uid_range.count = 100000000",
            "b.toml:1: uid_range.count: the range ends above 4294967293",
        ),
        (
            "",
            "\nresolvers = []",
            "b.toml:2: resolvers: 0 resolvers; there can be 1 to 8 (without the key the host's are asked)",
        ),
        ("uid_range.count = 3", "", "a.toml:1: uid_range.count: less than one lease of 4 ids"),
    ] {
        assert_eq!(refused(vec![layer("a.toml", a), layer("b.toml", b)]), message);
    }
}

fn crosses<T>(value: &T)
where
    T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    fn has_null(tree: &serde_json::Value) -> bool {
        match tree {
            serde_json::Value::Null => true,
            serde_json::Value::Array(items) => items.iter().any(has_null),
            serde_json::Value::Object(fields) => fields.values().any(has_null),
            _ => false,
        }
    }
    let tree = serde_json::to_value(value).unwrap();
    assert_eq!(&serde_json::from_value::<T>(tree.clone()).unwrap(), value);
    assert!(!has_null(&tree), "{tree}");
}

#[test]
fn what_crosses_the_bus_comes_back_equal_and_holds_no_null() {
    crosses(&Config::default());
    crosses(&Request::default());
    crosses(&Request {
        network: Some(Network::None),
        command: vec!["sh".into(), "-c".into(), "x".into()],
        allow_unconfined: true,
        allow: vec!["a.org".parse().unwrap(), "@npm".parse().unwrap()],
        deny: vec!["10.0.0.0/8".parse().unwrap()],
        publish: vec!["8080:3000".parse().unwrap()],
        ..Request::default()
    });
    let text = "write = []\nenv.pass = []\nmemory_max = \"1G\"\nallow = [\"@npm\"]\ndeny = []\non_gate_loss = \"stop\"\nmask = [\"x/**\"]";
    crosses(&Layer::parse("a", text.as_bytes(), LayerKind::Project).unwrap());
    let text = "users = []\nresolvers = [\"9.9.9.9\"]\nceiling.publish = [\"3000-3999\"]\nfloor.tasks_max = 9\n[profile.w]\nread = [\"~/x\"]\npublish = [3000]\ninternal = [\"a.corp\"]\nenv = { pass = [], set = { A = \"\" } }\n[posture.p]\n[uid_range]";
    crosses(&Layer::parse("a", text.as_bytes(), LayerKind::System).unwrap());
}

#[test]
fn a_grant_of_everything_is_refused_where_it_stands() {
    for (table, path) in [("profile.w", "~"), ("project.w", "/")] {
        let text = format!("[{table}]\nread = [\"/srv\", \"{path}\"]\n");
        let error = Layer::parse("f.toml", text.as_bytes(), LayerKind::System).unwrap_err().to_string();
        assert!(error.starts_with(&format!("f.toml:2: {table}.read: `{path}` is no grant")), "{error}");
    }
    assert!(Layer::parse("f.toml", b"[profile.w]\nread = [\"~/x\"]\n", LayerKind::System).is_ok());
}

#[test]
fn a_projects_own_file_is_told_of_the_keys_that_it_may_have() {
    let told = |text: &str| Layer::parse("f", text.as_bytes(), LayerKind::Project).unwrap_err().to_string();
    let unknown = told("agent = \"x\"");
    assert!(unknown.starts_with("f:1: agent: unknown key (known: `isolation`, `filesystem`"), "{unknown}");
    for key in ["default_posture", "uid_range", "floor", "profile"] {
        assert!(!unknown.contains(&format!("`{key}`")), "{unknown}");
    }
    // Not how it would have to be written elsewhere.
    assert_eq!(
        told("network = \"none\"\nprofile = \"x\""),
        "f:2: profile: cannot stand in a project's own file, which can only tighten: the key has no order (it may stand in \
         the system's file and in a person's own file)"
    );
}

#[test]
fn what_stays_inside_a_session_is_no_rules_to_allow() {
    let told =
        |text: &str| Layer::parse("f", text.as_bytes(), LayerKind::Person).map_err(|error| error.to_string());
    for (key, entry) in
        [("allow", "localhost:3000"), ("allow", "127.0.0.1:3000"), ("internal", "localhost:3000")]
    {
        for table in ["profile", "project"] {
            assert_eq!(
                told(&format!("[{table}.w]\n{key} = [\"a.org\", \"{entry}\"]")).unwrap_err(),
                format!(
                    "f:2: {table}.w.{key}: `{entry}`: inside that is the session's own loopback (a port of this machine is \
                     `host:3000`, and inside host.agentbox.internal:3000)"
                )
            );
        }
    }
    assert!(told("[profile.w]\ndeny = [\"localhost\"]\nallow = [\"host:3000\"]").is_ok());
    assert!(Layer::parse("f", b"allow = [\"localhost\"]", LayerKind::Project).is_err());
}

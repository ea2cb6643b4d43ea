//! What is reached, and what is refused in whole messages.

use crate::fixture::World;
use crate::{Network, OnGateLoss, Policy, Publish};
use agentbox_plan::net::{Destination, Mode};

const FILE: &str = "/etc/agentbox/agentbox.toml";
const OWN: &str = "~/.config/agentbox/agentbox.toml";

const SYSTEM: &str = r#"
resolvers = ["9.9.9.9", "[2620:fe::fe]:5353"]
[floor]
upload_max = "1G"
[ceiling]
allow = ["@npm", "*.example.org", "files.example.org:22"]
internal = ["git.corp.example", "10.1.0.0/16:22", "host:5432"]
publish = ["3000-3999", 80]
[profile.work]
network = "allowlist"
agent = "codex"
allow = ["github.com", "@pypi", "github.com"]
deny = ["gist.github.com"]
internal = ["db.corp.example:5432"]
publish = [8080]
name_upload_max = "100M"
[project.site]
path = "/home/me/src/site"
profile = "work"
allow = ["files.example.net:8443"]
on_gate_loss = "stop"
[project.inner]
path = "/home/me/src/site/inner"
deny = ["**.example.net:22"]
"#;

fn own(text: &str) -> World {
    let profile = format!("[profile.mine]\nnetwork = \"allowlist\"\n{text}");
    World::new()
        .system(SYSTEM)
        .own(&profile)
        .at("/srv/x")
        .ask(|request| request.profile = Some("mine".into()))
}

fn plain(text: &str) -> World {
    World::new()
        .own(&format!("[profile.mine]\nnetwork = \"allowlist\"\n{text}"))
        .ask(|request| request.profile = Some("mine".into()))
}

fn reaches(policy: &Policy, host: &str, port: u16) -> bool {
    let destination = match host.parse() {
        Ok(address) => Destination::Address { address },
        Err(_) if host == "host" => Destination::HostLoopback,
        Err(_) => Destination::Name { name: host.parse().unwrap() },
    };
    policy.network_rules().judge(&destination, port).is_allowed()
}

fn rows(policy: &Policy, keys: &[&str]) -> Vec<String> {
    let values = policy.values().into_iter().filter(|value| keys.contains(&value.key.as_str()));
    values.map(|value| format!("{} {} | {}", value.key, value.value, value.origin)).collect()
}

#[test]
fn every_rule_names_where_it_is_written() {
    let world = World::new().system(SYSTEM).ask(|request| {
        request.allow = vec!["a.example.org".parse().unwrap()];
        request.publish = vec!["3000".parse().unwrap()];
    });
    let policy = world.file("deny = [\"evil.org\"]").resolve().unwrap();
    assert_eq!(
        rows(&policy, &["network", "resolvers", "allow", "deny", "internal", "publish"]),
        [
            &format!("network allowlist | {FILE}: profile.work.network"),
            &format!("resolvers 9.9.9.9, [2620:fe::fe]:5353 | {FILE}: resolvers"),
            "allow api.openai.com | preset codex",
            "allow auth.openai.com | preset codex",
            "allow chatgpt.com | preset codex",
            &format!("allow github.com | {FILE}: profile.work.allow"),
            &format!("allow @pypi | group @pypi, {FILE}: profile.work.allow"),
            &format!("internal db.corp.example:5432 | {FILE}: profile.work.internal"),
            &format!("deny gist.github.com | {FILE}: profile.work.deny"),
            &format!("allow files.example.net:8443 | {FILE}: project.site.allow"),
            &format!("deny **.example.net:22 | {FILE}: project.inner.deny"),
            "allow a.example.org | command line",
            "deny evil.org | .agentbox.toml: deny",
            "publish 3000 | command line",
            &format!("publish 8080 | {FILE}: profile.work.publish"),
        ]
    );
    assert_eq!((policy.upload_max(), policy.name_upload_max()), (Some(1 << 30), Some(100 << 20)));
    assert_eq!(policy.on_gate_loss(), OnGateLoss::Stop);
    assert_eq!(
        policy.publish(),
        [Publish { host_port: 3000, port: 3000 }, Publish { host_port: 8080, port: 8080 }]
    );
    for (host, port) in [("github.com", 443), ("pypi.org", 443), ("files.example.net", 8443)] {
        assert!(reaches(&policy, host, port), "{host}");
    }
    for (host, port) in [("gist.github.com", 443), ("registry.npmjs.org", 443), ("evil.org", 443)] {
        assert!(!reaches(&policy, host, port), "{host}");
    }
    // A group's rules name their group; the gate gets the same words.
    let origins: Vec<_> =
        policy.network_rules().rules.iter().filter(|rule| rule.origin.starts_with("group")).collect();
    assert_eq!(origins.len(), 2);
    let resolvers: Vec<_> =
        crate::fixture::system(SYSTEM).resolvers().map(|address| address.to_string()).collect();
    assert_eq!(resolvers, ["9.9.9.9:53", "[2620:fe::fe]:5353"]);
}

#[test]
fn the_default_postures_reach_what_their_networks_say() {
    let mode = |posture: &str, network: Option<Network>| {
        let world = World::new().ask(|request| {
            request.posture = Some(posture.into());
            request.network = network;
            request.allow_unconfined = true;
        });
        let policy = world.resolve().unwrap();
        (policy.has_gate().then(|| policy.network_rules().mode), reaches(&policy, "example.org", 22))
    };
    assert_eq!(mode("L0", None), (None, false));
    assert_eq!(mode("L1", None), (Some(Mode::Allowlist), false));
    assert_eq!(mode("L2", None), (Some(Mode::Public), true));
    assert_eq!(mode("L2", Some(Network::Allowlist)), (Some(Mode::Allowlist), false));
    assert_eq!(mode("L2", Some(Network::None)), (None, false));
}

#[test]
fn an_agent_reaches_its_own_service_and_not_where_it_reports() {
    for (agent, host) in [
        ("claude", "api.anthropic.com"),
        ("codex", "api.openai.com"),
        ("gemini", "cloudcode-pa.googleapis.com"),
    ] {
        let world = World::new().ask(|request| {
            request.agent = Some(agent.into());
            request.network = Some(Network::Allowlist);
        });
        let policy = world.resolve().unwrap();
        assert!(reaches(&policy, host, 443), "{agent}");
        for report in crate::groups::hosts("telemetry") {
            assert!(
                !reaches(&policy, &report.target.to_string().replace('*', "x"), 443),
                "{}",
                report.target
            );
        }
    }
    // Where the network is public a denial closes it.
    let policy =
        World::new().ask(|request| request.deny = vec!["@telemetry".parse().unwrap()]).resolve().unwrap();
    assert!(reaches(&policy, "example.org", 443) && !reaches(&policy, "statsig.anthropic.com", 443));
}

#[test]
fn a_project_file_picks_from_what_is_allowed() {
    let denying = plain("allow = [\"*.b.org\"]\ndeny = [\"evil.b.org\"]").file("allow = [\"*.b.org\"]");
    let policy = denying.resolve().unwrap();
    assert!(reaches(&policy, "x.b.org", 443) && !reaches(&policy, "evil.b.org", 443));
    let world = plain("agent = \"claude\"\nallow = [\"@npm\", \"a.org:22\", \"*.b.org\"]");
    let keep = |list: &str| {
        let policy = world.clone().file(&format!("allow = {list}")).resolve().unwrap();
        let all = rows(&policy, &["allow"]);
        all.into_iter().map(|row| row.split(' ').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keep("[]"), Vec::<String>::new());
    assert_eq!(keep("[\"@npm\"]"), ["@npm"]);
    assert_eq!(
        keep("[\"registry.npmjs.org\", \"api.anthropic.com\"]"),
        ["api.anthropic.com", "registry.npmjs.org"]
    );
    // By the letter: neither a name below a wildcard nor another port.
    assert_eq!(keep("[\"x.b.org\", \"a.org\", \"c.org\"]"), Vec::<String>::new());
    assert_eq!(keep("[\"*.b.org\", \"a.org:22\"]"), ["a.org:22", "*.b.org"]);
}

#[test]
fn a_ceiling_bounds_the_person_and_not_the_system() {
    assert!(own("allow = [\"@npm\", \"a.example.org:443\", \"files.example.org:22\"]").resolve().is_ok());
    assert!(
        own("internal = [\"git.corp.example\"]\nallow = [\"10.1.2.0/24:22\", \"host:5432\"]")
            .resolve()
            .is_ok()
    );
    assert!(own("publish = [3000, \"3999:8080\"]").resolve().is_ok());
    for (text, entry, key, ceiling) in [
        ("allow = [\"a.example.org:22\"]", "a.example.org:22", "allow", "allow"),
        ("allow = [\"**.example.org\"]", "**.example.org", "allow", "allow"),
        ("allow = [\"10.2.0.0/16:22\"]", "10.2.0.0/16:22", "allow", "internal"),
        ("allow = [\"10.1.0.0/16\"]", "10.1.0.0/16", "allow", "internal"),
        ("allow = [\"host:22\"]", "host:22", "allow", "internal"),
        ("internal = [\"a.example.org\"]", "a.example.org", "internal", "internal"),
    ] {
        assert_eq!(
            own(text).refusal(),
            format!(
                "refused: a rule that allows `{entry}` ({OWN}: profile.mine.{key})\nrule: {FILE}: ceiling.{ceiling}\n\
                 remove it, or ask the administrator to add it there"
            )
        );
    }
    assert_eq!(
        own("").ask(|request| request.allow = vec!["github.com".parse().unwrap()]).refusal(),
        format!(
            "refused: a rule that allows `github.com` (command line)\nrule: {FILE}: ceiling.allow\n\
             remove it, or ask the administrator to add it there"
        )
    );
    assert_eq!(
        own("publish = [8080]").refusal(),
        format!(
            "refused: port 8080 of the host, published ({OWN}: profile.mine.publish)\nrule: {FILE}: ceiling.publish\n\
             publish another port of the host: PORT:PORT-INSIDE, or ask the administrator"
        )
    );
    // An agent that the person chose brings nothing past the ceiling; one that the system chose does.
    let policy = own("agent = \"claude\"").resolve().unwrap();
    assert!(!reaches(&policy, "api.anthropic.com", 443));
    assert!(
        policy.warnings()[0].contains("the agent `claude` needs `api.anthropic.com`, which no rule allows")
    );
    assert!(reaches(&World::new().system(SYSTEM).resolve().unwrap(), "api.openai.com", 443));
}

#[test]
fn what_is_asked_for_is_had_or_refused() {
    let ask = |text: &str, network: Network, allow: &str| {
        plain(text).ask(|request| {
            request.network = Some(network);
            request.allow = vec![allow.parse().unwrap()];
        })
    };
    assert_eq!(
        ask("deny = [\"**.b.org\"]", Network::Allowlist, "a.b.org:22").refusal(),
        format!(
            "refused: a rule that allows `a.b.org:22` (command line): `**.b.org` is denied\n\
             rule: {OWN}: profile.mine.deny\nleave it out, or change the rule that denies it"
        )
    );
    assert_eq!(
        ask("", Network::Allowlist, "localhost:3000").refusal(),
        "refused: a rule that allows `localhost:3000`: inside that is the session's own loopback\n\
         rule: command line\n\
         a port of this machine is `host:3000`, and inside host.agentbox.internal:3000"
    );
    assert!(ask("deny = [\"a.b.org:25\"]", Network::Allowlist, "a.b.org").resolve().is_ok());
    assert_eq!(
        ask("", Network::Allowlist, "a.b.org").file("allow = [\"b.org\"]").refusal(),
        "refused: a rule that allows `a.b.org` (command line)\nrule: .agentbox.toml: allow\n\
         leave it out, or add it there"
    );
    assert_eq!(
        ask("", Network::None, "a.b.org").refusal(),
        "refused: network `none` cannot hold allow `a.b.org` (command line)\nrule: command line\n\
         leave it out, or use network `public` or `allowlist`"
    );
    assert_eq!(
        ask("", Network::Allowlist, "a.b.org")
            .file("network = \"none\"")
            .ask(|request| request.network = None)
            .refusal(),
        "refused: network `none` cannot hold allow `a.b.org` (command line)\nrule: .agentbox.toml: network\n\
         leave it out, or use network `public` or `allowlist`"
    );
    let publish = |network: Network, ports: &[&str]| {
        plain("publish = [3000]").ask(|request| {
            request.network = Some(network);
            request.publish = ports.iter().map(|port| port.parse().unwrap()).collect();
        })
    };
    assert_eq!(
        publish(Network::None, &["3000"]).refusal(),
        "refused: network `none` cannot hold publish `3000` (command line)\nrule: command line\n\
         leave it out, or use network `public` or `allowlist`"
    );
    assert_eq!(
        publish(Network::Allowlist, &["3000:8080"]).refusal(),
        format!(
            "refused: `3000:8080` (command line) and `3000`: both are port 3000 of the host\n\
             rule: {OWN}: profile.mine.publish\npublish one of them on another port: PORT:PORT-INSIDE"
        )
    );
    assert_eq!(
        publish(Network::Allowlist, &["443:8443"]).refusal(),
        "refused: port 443 of the host, published (command line)\n\
         rule: built-in: ports of the host below 1024 are root's\npublish another one: 8443:8443"
    );
    let many: Vec<_> = (4000..4032).map(|port| port.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert!(publish(Network::Allowlist, &many).refusal().contains("33 published ports; there can be 32"));
}

#[test]
fn what_configuration_allows_is_left_out_where_no_gate_keeps_it() {
    let world = plain("allow = [\"a.org\"]\npublish = [3000]\ndeny = [\"b.org\"]");
    let policy = world.clone().ask(|request| request.network = Some(Network::None)).resolve().unwrap();
    assert!(policy.network_rules().rules.is_empty() && policy.publish().is_empty() && !policy.has_gate());
    assert!(rows(&policy, &["allow", "deny", "publish", "resolvers"]).is_empty());
    // What only tightens is never dropped in silence.
    let unconfined = |text: &str| {
        World::new().own(&format!("[profile.mine]\n{text}")).ask(|request| {
            request.profile = Some("mine".into());
            request.posture = Some("L0".into());
            request.allow_unconfined = true;
        })
    };
    assert!(unconfined("allow = [\"a.org\"]").resolve().is_ok());
    assert_eq!(
        unconfined("deny = [\"a.org\"]").refusal(),
        format!(
            "refused: network `host` cannot hold deny `a.org` ({OWN}: profile.mine.deny)\nrule: built-in: L0\n\
             leave it out, or use network `public` or `allowlist`"
        )
    );
    assert!(unconfined("").file("allow = []").refusal().contains("cannot hold a list of what is allowed"));
    assert!(
        unconfined("upload_max = \"1M\"").refusal().contains("isolation `none` cannot hold upload_max `1M`")
    );
}

#[test]
fn rules_that_the_gate_does_not_take_are_refused() {
    let long = |at: usize| format!("\"{at}.{}.{}.org\"", "a".repeat(60), "b".repeat(60));
    let list = |from: usize| (from..from + 128).map(long).collect::<Vec<_>>().join(",");
    let all: Vec<_> =
        ["allow", "deny", "internal"].iter().map(|key| format!("{key} = [{}]", list(0))).collect();
    let project = format!(
        "[project.x]\npath = \"~/src/site\"\nprofile = \"mine\"\nallow = [{}]\ndeny = [{}]\ninternal = [{}]",
        list(200),
        list(400),
        list(600)
    );
    let refusal = plain(&format!("{}\n{project}", all.join("\n"))).refusal();
    assert!(refusal.contains("network rules of ") && refusal.contains("there can be 98304"), "{refusal}");
    assert!(plain(&all.join("\n")).resolve().is_ok());
}

#[test]
fn hosts_of_strangers_are_told() {
    let world = plain("agent = \"claude\"\nallow = [\"@npm\", \"api.example.org\", \"github.com\"]");
    let policy = world.resolve().unwrap();
    assert_eq!(
        policy.warnings(),
        [format!("strangers write what is read at @npm, github.com ({OWN}: profile.mine.allow)")]
    );
    let names: Vec<_> = policy.foreign_names().iter().map(|name| name.target.to_string()).collect();
    assert_eq!(names, ["claude.ai", "registry.npmjs.org", "registry.yarnpkg.com", "github.com"]);
    assert_eq!(policy.foreign_names()[0].origin, "preset claude");
    let public = world.system("").own("[profile.mine]\nallow = [\"@npm\"]").resolve().unwrap();
    assert!(public.warnings().is_empty() && public.foreign_names().len() == 2);
}

#[test]
fn what_is_reached_is_part_of_the_hash_and_its_order_is_not() {
    let hash = |text: &str| plain(text).resolve().unwrap().hash();
    assert_eq!(hash("allow = [\"a.org\", \"b.org\"]"), hash("allow = [\"b.org\", \"a.org\", \"b.org\"]"));
    let texts = [
        "",
        "allow = [\"a.org\"]",
        "deny = [\"a.org\"]",
        "internal = [\"a.org\"]",
        "publish = [3000]",
        "publish = [\"3001:3000\"]",
        "upload_max = \"1G\"",
        "on_gate_loss = \"stop\"",
    ];
    for (at, text) in texts.iter().enumerate() {
        assert!(texts[..at].iter().all(|other| hash(other) != hash(text)), "{text}");
    }
}

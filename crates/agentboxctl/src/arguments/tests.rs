use super::*;
use clap::CommandFactory;

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn what_stands_behind_the_dashes_is_the_agents() {
    let line = ["agentboxctl", "start", ".", "--posture", "L1", "--", "sh", "-c", "--detach"];
    let Command::Start(start) = Arguments::try_parse_from(line).unwrap().command else { panic!() };
    assert_eq!(start.choice.command, ["sh", "-c", "--detach"]);
    assert!(!start.detach);
    assert_eq!(start.choice.posture.as_deref(), Some("L1"));
}

#[test]
fn what_is_reachable_can_be_said_more_than_once() {
    let line = "agentboxctl start --network allowlist --allow a.org:22 --allow @npm --deny b.org --publish 8080:3000 \
                --publish 5000";
    let parsed = Arguments::try_parse_from(line.split_whitespace()).unwrap();
    let Command::Start(Start { choice, .. }) = parsed.command else { panic!() };
    assert_eq!(choice.network, Some(Network::Allowlist));
    let [allow, deny] = [choice.allow, choice.deny]
        .map(|rules| rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    assert_eq!((allow.as_str(), deny.as_str()), ("a.org:22 @npm", "b.org"));
    let publish: Vec<_> = choice.publish.iter().map(ToString::to_string).collect();
    assert_eq!(publish, ["8080:3000", "5000"]);
}

#[test]
fn nonsense_is_refused() {
    for line in [
        &["agentboxctl"][..],
        &["agentboxctl", "start", "--network", "everything"],
        &["agentboxctl", "start", "--json"],
        &["agentboxctl", "attach", "../x"],
        &["agentboxctl", "exec", "abc"],
        &["agentboxctl", "stop"],
        &["agentboxctl", "stop", "abc", "--all"],
        &["agentboxctl", "stop", "abc", "--timeout", "soon"],
        &["agentboxctl", "log", "abc", "--verify"],
        &["agentboxctl", "confirm", "--deny"],
        &["agentboxctl", "confirm", "abc", "--deny"],
        &["agentboxctl", "confirm", "abc", "first"],
        &["agentboxctl", "confirm", "abc", "1", "--json"],
        &["agentboxctl", "start", "--allow", "https://a.org"],
        &["agentboxctl", "start", "--publish", "0.0.0.0:80"],
        &["agentboxctl", "allow", "abc"],
        &["agentboxctl", "allow", "abc", "a.org", "--for", "0s"],
        &["agentboxctl", "deny", "abc", "a.org", "--for", "1s"],
        &["agentboxctl", "why", "abc", "*.a.org"],
    ] {
        assert!(Arguments::try_parse_from(line).is_err(), "{line:?}");
    }
}

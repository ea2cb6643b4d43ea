//! Hosts, ports and times as they are written on the command line.
//!
//! They are looked at here so that a slip is told before anything is started. They travel as text, and the
//! supervisor reads them again.

use crate::output::units;
use agentbox_plan::net::{Pattern, Target, TargetError};
use agentbox_policy::{HostRule, Publish};
use std::time::Duration;

/// What a rule is about, or a group of such: `github.com`, `github.com:22`, `*.example.org`, `@npm`.
pub(crate) fn target(text: &str) -> Result<String, String> {
    if let Some(group) = text.strip_prefix('@') {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let good = !group.is_empty() && group.bytes().all(is_name);
        return if good { Ok(text.to_owned()) } else { Err("a group is written as @NAME: @npm".into()) };
    }
    let target: Target = text.parse().map_err(|error| format!("{error}"))?;
    Ok(target.to_string())
}

/// The same, for a start.
pub(crate) fn rule(text: &str) -> Result<HostRule, String> {
    target(text)?.parse()
}

/// What one may ask about: a path inside, or one host and maybe a port.
pub(crate) fn destination(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    let target: Target = text.parse().map_err(|error| match error {
        TargetError::Url => error.to_string(),
        error => format!("{error}; a path begins with `/`"),
    })?;
    match target.pattern {
        Pattern::Name { .. } | Pattern::HostLoopback => Ok(target.to_string()),
        Pattern::Network { range } if range.prefix() == if range.first().is_ipv4() { 32 } else { 128 } => {
            Ok(target.to_string())
        }
        _ => Err("ask about one name or one address".into()),
    }
}

/// `PORT` or `HOST_PORT:PORT`.
pub(crate) fn published(text: &str) -> Result<String, String> {
    let (host, inside) = text.split_once(':').unwrap_or((text, text));
    for port in [host, inside] {
        let plain = port.bytes().all(|byte| byte.is_ascii_digit());
        if !plain || port.parse::<u16>().is_ok_and(|port| port == 0) || port.parse::<u16>().is_err() {
            return Err("a port is published as 3000, or from another one of this machine as 8080:3000; \
                        it appears on 127.0.0.1 and ::1 only"
                .into());
        }
    }
    Ok(text.to_owned())
}

/// The same, for a start.
pub(crate) fn publish(text: &str) -> Result<Publish, String> {
    published(text)?.parse()
}

/// How long a rule lasts. None at all would mean for ever to the supervisor.
pub(crate) fn lasting(text: &str) -> Result<Duration, String> {
    match units::parse_duration(text)? {
        Duration::ZERO => Err("a rule lasts longer than that; without --for, until the session ends".into()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_groups_are_taken() {
        for text in ["github.com", "github.com:22", "*.a.org", "10.1.0.0/24:443", "host:5432", "@npm", "@a-b"]
        {
            assert_eq!(target(text).as_deref(), Ok(text));
        }
        for (text, words) in [
            ("@", "@NAME"),
            ("@a b", "@NAME"),
            ("@\x1b", "@NAME"),
            ("https://a.org/x", "host only"),
            ("host", "port"),
            ("a.org:0", "port"),
            ("*.org", "two labels"),
            ("", "1 to 253"),
        ] {
            let refused = target(text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }

    #[test]
    fn one_asks_about_one_thing() {
        for text in ["a.org", "a.org:22", "9.9.9.9", "[2606:4700::1]:443", "::1", "host:1", "/a b/\x1b", "/"]
        {
            assert_eq!(destination(text).as_deref(), Ok(text));
        }
        for text in ["*.a.org", "10.0.0.0/8", "2606:4700::/32", "a/b", "https://a.org", "@npm", "", "a.org:x"]
        {
            assert!(destination(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_are_published_on_the_loopback_only() {
        for text in ["3000", "8080:3000", "1:65535"] {
            assert_eq!(published(text).as_deref(), Ok(text));
        }
        for text in ["", "0", "65536", "1:0", ":3000", "3000:", "0.0.0.0:80:80", "a", "+1", "1:2:3", "-1"] {
            assert!(published(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_time_is_not_for_ever() {
        assert_eq!(lasting("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(lasting("2h"), Ok(Duration::from_secs(7200)));
        assert!(lasting("0s").is_err() && lasting("0").is_err() && lasting("soon").is_err());
    }
}

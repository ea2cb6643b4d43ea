//! A session's network in words.

use agentbox_ipc::PublishedPort;

/// A number and what it counts.
pub(crate) fn counted(number: u64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// What a session reaches. `allowed` rules allow something, `internal` of them something that is not public.
pub(crate) fn reach(mode: &str, allowed: u32, internal: u32) -> String {
    match mode {
        "public" if internal == 0 => "public: any public name; internal ranges refused".to_owned(),
        "public" => {
            let rules = counted(internal.into(), "rule", "rules");
            format!("public: any public name; internal ranges refused but for {rules}")
        }
        "allowlist" if allowed == 0 => "allowlist: no names".to_owned(),
        "allowlist" => format!("allowlist: {}", counted(allowed.into(), "name", "names")),
        mode => mode.to_owned(),
    }
}

/// Where a port inside appears.
pub(crate) fn published(port: &PublishedPort) -> String {
    format!("http://127.0.0.1:{} → {}", port.host, port.inside)
}

/// A destination and a port as one would write them. Port 0 is none.
pub(crate) fn endpoint(destination: &str, port: u16) -> String {
    match port {
        0 => destination.to_owned(),
        _ if destination.contains(':') => format!("[{destination}]:{port}"),
        _ => format!("{destination}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_said_in_words() {
        for (mode, allowed, internal, words) in [
            ("public", 14, 0, "public: any public name; internal ranges refused"),
            ("public", 3, 1, "public: any public name; internal ranges refused but for 1 rule"),
            ("allowlist", 14, 2, "allowlist: 14 names"),
            ("allowlist", 1, 0, "allowlist: 1 name"),
            ("allowlist", 0, 0, "allowlist: no names"),
            ("none", 0, 0, "none"),
            ("host", 0, 0, "host"),
        ] {
            assert_eq!(reach(mode, allowed, internal), words);
        }
    }

    #[test]
    fn an_endpoint_is_written_as_it_is_read() {
        for (destination, port, text) in [
            ("a.org", 443, "a.org:443"),
            ("a.org", 0, "a.org"),
            ("2606::1", 53, "[2606::1]:53"),
            ("::1", 0, "::1"),
        ] {
            assert_eq!(endpoint(destination, port), text);
        }
    }
}

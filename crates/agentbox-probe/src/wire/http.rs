//! Requests of HTTP/1.1 (RFC 9112), with whatever lines an attack wants.

/// A request with these lines, and an empty one behind them.
pub(crate) fn request(lines: &[&str]) -> Vec<u8> {
    let mut out = lines.join("\r\n").into_bytes();
    out.extend(b"\r\n\r\n");
    out
}

/// The request that everybody sends, with a mark or without.
pub(crate) fn get(host: &str, mark: Option<&str>) -> Vec<u8> {
    let host = format!("Host: {host}");
    let mark = mark.map(|mark| format!("X-Mark: {mark}"));
    let mut lines = vec!["GET / HTTP/1.1", &host];
    lines.extend(mark.as_deref());
    request(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_with_an_empty_line() {
        assert_eq!(get("a.example", None), b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert_eq!(get("a", Some("m")), b"GET / HTTP/1.1\r\nHost: a\r\nX-Mark: m\r\n\r\n");
    }
}

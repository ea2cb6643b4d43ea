//! A second reading of what the filter lets through, for tests and for the fuzz target.

/// What titles have to begin with.
pub(crate) const PREFIX: &str = "[agentbox L2 k7] ";

/// What a terminal might make of filtered bytes: a reading of its own, on purpose unlike the filter's.
pub(crate) fn first_danger(mut text: &str) -> Option<String> {
    const OSC: [&str; 12] = ["0", "1", "2", "4", "8", "10", "11", "12", "104", "110", "111", "112"];
    while let Some(at) = text.find(|c: char| c.is_control() && !"\x07\x08\t\n\x0b\x0c\r\x0e\x0f".contains(c))
    {
        text = &text[at..];
        let Some(rest) = text.strip_prefix('\x1b') else { return Some(format!("control {text:.8?}")) };
        let mut characters = rest.chars();
        match characters.next() {
            Some('[') => {
                let length = rest[1..].find(|c: char| ('@'..='~').contains(&c)).map(|at| at + 2);
                let Some(sequence) = length.and_then(|length| rest.get(..length)) else {
                    return Some("CSI".into());
                };
                let (body, last) = (&sequence[1..sequence.len() - 1], &sequence[sequence.len() - 1..]);
                let quiet = body.chars().all(|c| "0123456789;:?<>=!$ ".contains(c));
                if !quiet || "tixyz|{}~wvQORjko".contains(last) || (last == "p" && !body.contains(['$', '!']))
                {
                    return Some(sequence.to_owned());
                }
                text = &rest[sequence.len()..];
            }
            Some(']') => {
                let end = rest
                    .find("\x1b\\")
                    .map(|at| (at, 2))
                    .into_iter()
                    .chain(rest.find('\x07').map(|at| (at, 1)));
                let Some((at, width)) = end.min() else { return Some("unterminated OSC".into()) };
                let payload = &rest[1..at];
                let code = payload.split(';').next().unwrap_or_default().trim_start_matches('0');
                let code = if code.is_empty() { "0" } else { code };
                if payload.contains(char::is_control) || !(OSC.contains(&code) || code == "133") {
                    return Some(payload.to_owned());
                }
                if ["0", "1", "2"].contains(&code)
                    && !payload.split_once(';').is_some_and(|(_, t)| t.starts_with(PREFIX))
                {
                    return Some(payload.to_owned());
                }
                text = &rest[at + width..];
            }
            Some('(' | ')' | '#') => {
                if !characters.next().is_some_and(|c| "0AB8".contains(c)) {
                    return Some(format!("{rest:.4?}"));
                }
                text = characters.as_str();
            }
            Some(last) if "78=>DEHMc".contains(last) => text = characters.as_str(),
            other => return Some(format!("ESC {other:?}")),
        }
    }
    None
}

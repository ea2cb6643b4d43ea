//! Which operating system commands (OSC) a terminal may see, and how titles are marked.
//!
//! A list; whatever is not on it is dropped: the clipboard (52), fonts (50), files and images (1337),
//! notifications (9, 99, 777), directories (7), and what terminals will think of next.

use super::modes::Modes;
use super::sequence::Verdict;
use super::sgr::number;

/// Longest title behind the prefix, in characters.
const TITLE_CHARACTERS: usize = 160;
/// Longest address of a hyperlink, in bytes: what terminals agree on.
const LINK_BYTES: usize = 2083;
const COLOUR_BYTES: usize = 1024;

/// What becomes of `payload`, which ended with `end`; `whole` is false where its tail was lost.
pub(super) fn judge(payload: &[u8], whole: bool, end: &[u8], prefix: &str, modes: &mut Modes) -> Verdict {
    let (code, rest) = match payload.iter().position(|byte| *byte == b';') {
        Some(at) => (&payload[..at], Some(&payload[at + 1..])),
        None => (payload, None),
    };
    // Names of codes are decimal; `OSC l` and `OSC L` of old terminals set titles without a prefix.
    let Some(code) = number(code).filter(|_| code.len() <= 3 && code[0] != b'+') else {
        return Verdict::Drop;
    };
    let framed = |text: &[u8]| {
        let mut out = format!("\x1b]{code}").into_bytes();
        if !text.is_empty() {
            out.push(b';');
            out.extend_from_slice(text);
        }
        out.extend_from_slice(end);
        Verdict::Instead(out)
    };
    match (code, rest) {
        (0..=2, Some(title)) => framed(titled(prefix, title).as_bytes()),
        _ if !whole => Verdict::Drop,
        (4 | 10 | 11 | 12, Some(colours)) if is_colour(colours) => {
            // `OSC 10 ; A ; B` goes on to 11, and so on; beyond 12 nobody would reset it.
            let items = colours.split(|byte| *byte == b';').count();
            let last = if code == 4 { 4 } else { code as usize + items - 1 };
            if last > 12 {
                return Verdict::Drop;
            }
            for (changed, each) in modes.colours.iter_mut().zip([4, 10, 11, 12]) {
                *changed |= (code as usize..=last).contains(&each);
            }
            // Where one command both sets and asks, not asking twice matters more than repeating it.
            if colours.contains(&b'?') { Verdict::Ask } else { framed(colours) }
        }
        (104, indices) if indices.is_none_or(is_indices) => {
            modes.colours[0] &= indices.is_some();
            framed(indices.unwrap_or_default())
        }
        (110..=112, None | Some(b"")) => {
            modes.colours[code as usize - 109] = false;
            framed(b"")
        }
        (8, Some(link)) => judge_link(link, end, modes),
        (133, Some(mark)) => prompt_mark(mark).map_or(Verdict::Drop, |mark| framed(mark.as_bytes())),
        _ => Verdict::Drop,
    }
}

/// `prefix` and what is left of a title when nothing invisible is.
fn titled(prefix: &str, title: &[u8]) -> String {
    let title = String::from_utf8_lossy(title);
    let visible = title.chars().filter(|character| !is_invisible(*character)).take(TITLE_CHARACTERS);
    prefix.chars().chain(visible).collect()
}

/// Control characters, and those that reorder or hide text around them.
pub(super) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

fn is_colour(text: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b";:#/?.,%- ".contains(byte);
    !text.is_empty() && text.len() <= COLOUR_BYTES && text.iter().all(allowed)
}

fn is_indices(text: &[u8]) -> bool {
    text.len() <= COLOUR_BYTES && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b';')
}

/// `parameters ; address`; an empty address ends the link.
fn judge_link(link: &[u8], end: &[u8], modes: &mut Modes) -> Verdict {
    let Some(at) = link.iter().position(|byte| *byte == b';') else { return Verdict::Drop };
    let (parameters, address) = (&link[..at], &link[at + 1..]);
    let named = |byte: &u8| byte.is_ascii_alphanumeric() || b"=:._-".contains(byte);
    let id = parameters.len() <= 128 && parameters.iter().all(named);
    let parameters = if id { parameters } else { b"" };
    let scheme =
        |name: &str| address.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()));
    let good = address.len() <= LINK_BYTES
        && address.iter().all(u8::is_ascii_graphic)
        && ["http://", "https://", "mailto:"].into_iter().any(scheme);
    modes.link = good;
    // A refused link also ends the one before: its text must not lead there.
    let (parameters, address) = if good { (parameters, address) } else { (&b""[..], &b""[..]) };
    Verdict::Instead([b"\x1b]8;", parameters, b";", address, end].concat())
}

/// The mark's letter, and with it an exit status or a kind of prompt. Everything else that terminals
/// take here (a command line to repeat, what clicks do) is left off.
fn prompt_mark(mark: &[u8]) -> Option<String> {
    let mut fields = mark.split(|byte| *byte == b';');
    let letter = match fields.next()? {
        [letter @ (b'A'..=b'D' | b'L' | b'N' | b'P')] => char::from(*letter),
        _ => return None,
    };
    let mut out = String::from(letter);
    for field in fields.take(8) {
        match (letter, field) {
            ('D', digits) if digits.iter().all(u8::is_ascii_digit) => {
                if let Some(status) = number(digits).filter(|status| *status <= 255) {
                    return Some(format!("D;{status}"));
                }
            }
            ('A' | 'N' | 'P', [b'k', b'=', kind @ (b'i' | b's' | b'c' | b'r')]) => {
                out.push_str(";k=");
                out.push(char::from(*kind));
                return Some(out);
            }
            _ => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "[agentbox L2 k7] ";

    fn judged(payload: &str) -> Option<String> {
        match judge(payload.as_bytes(), true, b"\x07", PREFIX, &mut Modes::default()) {
            Verdict::Instead(bytes) => Some(String::from_utf8(bytes).unwrap()),
            Verdict::Drop => None,
            verdict => Some(format!("{verdict:?}")),
        }
    }

    #[test]
    fn commands_become_what_the_table_says() {
        for (payload, shown) in [
            ("0;hi", Some("\x1b]0;[agentbox L2 k7] hi\x07")),
            ("2;", Some("\x1b]2;[agentbox L2 k7] \x07")),
            ("2;a\x08\x08b\u{202e}c\u{9b}d", Some("\x1b]2;[agentbox L2 k7] abcd\x07")),
            ("02;x", Some("\x1b]2;[agentbox L2 k7] x\x07")),
            ("2", None),
            ("52;c;aGk=", None),
            ("052;c;aGk=", None),
            ("+52;c;aGk=", None),
            ("50;x", None),
            ("1337;File=:aGk=", None),
            ("9;hi", None),
            ("99;;hi", None),
            ("777;notify;a;b", None),
            ("7;file:///", None),
            ("3;WM_CLASS=x", None),
            ("lx", None),
            ("Lx", None),
            ("", None),
            (";", None),
            ("4;1;red;2;#ffffff", Some("\x1b]4;1;red;2;#ffffff\x07")),
            ("4;1;?", Some("Ask")),
            ("11;?", Some("Ask")),
            ("11;rgb:00/00/00", Some("\x1b]11;rgb:00/00/00\x07")),
            ("11;\u{e4}", None),
            ("104", Some("\x1b]104\x07")),
            ("104;1;2", Some("\x1b]104;1;2\x07")),
            ("104;x", None),
            ("112", Some("\x1b]112\x07")),
            ("8;id=a;https://example.org/?a=b;c", Some("\x1b]8;id=a;https://example.org/?a=b;c\x07")),
            ("8;;MAILTO:a@example.org", Some("\x1b]8;;MAILTO:a@example.org\x07")),
            ("8;;file:///etc/passwd", Some("\x1b]8;;\x07")),
            ("8;;javascript:alert(1)", Some("\x1b]8;;\x07")),
            ("8;;https://a b", Some("\x1b]8;;\x07")),
            ("8;;", Some("\x1b]8;;\x07")),
            ("8", None),
            ("133;A", Some("\x1b]133;A\x07")),
            ("133;A;cl=m;k=s", Some("\x1b]133;A;k=s\x07")),
            ("133;C;cmdline=rm", Some("\x1b]133;C\x07")),
            ("133;D;1;aid=3", Some("\x1b]133;D;1\x07")),
            ("133;D;999", Some("\x1b]133;D\x07")),
            ("133;Z", None),
        ] {
            assert_eq!(judged(payload).as_deref(), shown, "{payload:?}");
        }
    }

    #[test]
    fn titles_are_bounded() {
        let shown = judged(&format!("2;{}", "x".repeat(9000))).unwrap();
        assert_eq!(shown.len(), "\x1b]2;\x07".len() + PREFIX.len() + TITLE_CHARACTERS);
    }

    #[test]
    fn of_the_long_ones_only_titles_live_without_their_tail() {
        let judge = |payload: &[u8]| judge(payload, false, b"\x07", PREFIX, &mut Modes::default());
        assert_eq!(judge(b"8;;https://example.org/"), Verdict::Drop);
        assert!(matches!(judge(b"2;x"), Verdict::Instead(_)));
    }
}

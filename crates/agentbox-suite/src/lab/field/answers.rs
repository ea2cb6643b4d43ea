//! What the far sides of the field say: a token for whatever they were told, and addresses of names.

use super::super::dns::message::{A, AAAA, CNAME, TXT};
use std::collections::HashMap;
use std::net::IpAddr;

/// A response with the token as its body, or for a web socket in its head; the connection goes on.
pub(super) fn http(request: &[u8], token: &str) -> Vec<u8> {
    let request = String::from_utf8_lossy(request).to_ascii_lowercase();
    if request.contains("upgrade: websocket") {
        return format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Token: {token}\r\n\r\n"
        )
        .into_bytes();
    }
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{token}", token.len()).into_bytes()
}

/// What is said of a name.
#[derive(Debug, Clone)]
pub(super) enum Named {
    /// These addresses.
    At(Vec<IpAddr>),
    /// Those of the first list and of the second in turn.
    InTurn(Vec<IpAddr>, Vec<IpAddr>),
    /// Another name, which has these.
    Alias(&'static str, Vec<IpAddr>),
}

/// Resolvers that answer everything.
#[derive(Debug)]
pub(super) struct Names {
    names: HashMap<&'static str, Named>,
    /// Of every name that is not listed.
    others: Vec<IpAddr>,
    token: &'static str,
    /// How often each type of each name was asked for.
    asked: HashMap<(String, u16), usize>,
}

impl Names {
    pub(super) fn new(
        names: impl IntoIterator<Item = (&'static str, Named)>,
        others: Vec<IpAddr>,
        token: &'static str,
    ) -> Self {
        Self { names: names.into_iter().collect(), others, token, asked: HashMap::new() }
    }

    /// An answer to the first question, whatever else is in the message; none to what is no message.
    pub(super) fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let (name, kind, end) = question(message)?;
        let mut answer = message.get(..2)?.to_vec();
        // A response, recursion desired and available, no error, one question.
        answer.extend([0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
        answer.extend(message.get(12..end)?);
        let turn = self.asked.entry((name.clone(), kind)).or_insert(0);
        *turn += 1;
        let (alias, addresses) = match self.names.get(name.as_str()) {
            None => (None, self.others.clone()),
            Some(Named::At(addresses)) => (None, addresses.clone()),
            Some(Named::InTurn(first, second)) => {
                (None, if *turn % 2 == 1 { first.clone() } else { second.clone() })
            }
            Some(Named::Alias(to, addresses)) => (Some(*to), addresses.clone()),
        };
        // The name of the question, or behind an alias that of the alias' data.
        let mut owner = 0xc00c_u16;
        if let Some(to) = alias {
            let data: Vec<u8> = encoded(to);
            owner = 0xc000 | (answer.len() + 12) as u16;
            record(&mut answer, 0xc00c, CNAME, &data);
        }
        if kind == TXT {
            let text = [&[self.token.len() as u8], self.token.as_bytes()].concat();
            record(&mut answer, 0xc00c, TXT, &text);
        }
        for address in addresses {
            match address {
                IpAddr::V4(v4) if kind == A => record(&mut answer, owner, A, &v4.octets()),
                IpAddr::V6(v6) if kind == AAAA => record(&mut answer, owner, AAAA, &v6.octets()),
                _ => {}
            }
        }
        Some(answer)
    }
}

/// Name in lower case, type, and where it ends.
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?);
    message.get(at + 2..at + 4)?;
    Some((labels.join("."), kind, at + 4))
}

fn record(answer: &mut Vec<u8>, owner: u16, kind: u16, data: &[u8]) {
    answer.extend(owner.to_be_bytes());
    answer.extend(kind.to_be_bytes());
    // The Internet; not to be kept.
    answer.extend([0, 1, 0, 0, 0, 0]);
    answer.extend((data.len() as u16).to_be_bytes());
    answer.extend(data);
    let count = u16::from_be_bytes([answer[6], answer[7]]) + 1;
    answer[6..8].copy_from_slice(&count.to_be_bytes());
}

fn encoded(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[label.len() as u8], label.as_bytes()].concat();
    name.split('.').flat_map(label).chain([0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, kind: u16) -> Vec<u8> {
        let head = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00";
        [&head[..], &encoded(name), &kind.to_be_bytes(), &[0, 1]].concat()
    }

    #[test]
    fn names_move_and_stand_for_others() {
        let (a, b) = (IpAddr::from([9, 0, 0, 1]), IpAddr::from([10, 0, 0, 1]));
        let moves = Named::InTurn(vec![a], vec![b]);
        let mut names = Names::new(
            [("moves.example", moves), ("alias.example", Named::Alias("in.example", vec![b]))],
            vec![a],
            "token",
        );
        let mut last = |name| names.answer(&asked(name, A)).map(|said| said[said.len() - 4..].to_vec());
        assert_eq!(last("moves.example"), Some(vec![9, 0, 0, 1]));
        assert_eq!(last("MOVES.example"), Some(vec![10, 0, 0, 1]));
        assert_eq!(last("moves.example"), Some(vec![9, 0, 0, 1]));
        assert_eq!(last("anything"), Some(vec![9, 0, 0, 1]));
        let alias = names.answer(&asked("alias.example", A)).unwrap();
        assert_eq!((alias[7], &alias[alias.len() - 4..]), (2, &[10, 0, 0, 1][..]));
        let text = names.answer(&asked("x", TXT)).unwrap();
        assert!(text.ends_with(b"\x05token"));
        let question = asked("a.b", A);
        assert!((0..question.len()).all(|length| names.answer(&question[..length]).is_none()));
    }

    #[test]
    fn a_web_socket_is_accepted_and_everything_else_answered() {
        assert!(http(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", "t").starts_with(b"HTTP/1.1 101"));
        assert!(http(b"what", "token").ends_with(b"\r\n\r\ntoken"));
    }
}

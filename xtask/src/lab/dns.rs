//! Answers questions for names (RFC 1035), over UDP: enough for a resolver that asks for addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

/// Types of records.
const A: u16 = 1;
const AAAA: u16 = 28;
/// Seconds that an answer may be kept: the least that there is, so that the next answer is asked for.
const TTL: u32 = 1;
/// Flags of an answer: response, recursion desired and available; and of one for a name that is not there.
const FOUND: u16 = 0x8180;
const NOT_FOUND: u16 = 0x8183;

/// What the lab knows about names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Zone {
    /// Of each name the answers in their order, each a list of addresses; the last one stays.
    names: BTreeMap<String, Vec<Vec<IpAddr>>>,
    /// How often each question was asked.
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Zone {
    /// Adds a name: its first answer, its second one, …
    pub(crate) fn name(mut self, name: &str, answers: &[&[&str]]) -> Self {
        let addresses = |answer: &&[&str]| answer.iter().filter_map(|address| address.parse().ok()).collect();
        self.names.insert(name.to_owned(), answers.iter().map(addresses).collect());
        self
    }

    /// What was asked so far: name and type, each once.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Answers on this socket, on a thread that ends with this program.
    pub(super) fn serve(&self, socket: UdpSocket) {
        let this = self.clone();
        std::thread::spawn(move || {
            let mut question = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                if let Some(answer) = this.answer(&question[..length]) {
                    // Whoever asked may be gone.
                    let _gone = socket.send_to(&answer, from);
                }
            }
        });
    }

    fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut name = String::new();
        let mut at = 12;
        loop {
            let length = usize::from(*message.get(at)?);
            if length == 0 {
                break;
            }
            let label = message.get(at + 1..=at + length)?;
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
            at += length + 1;
        }
        let question = message.get(12..at + 5)?;
        let kind = u16::from_be_bytes([*message.get(at + 1)?, *message.get(at + 2)?]);
        let word = match kind {
            A => "A".to_owned(),
            AAAA => "AAAA".to_owned(),
            other => format!("TYPE{other}"),
        };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let count = asked.entry(format!("{name} {word}")).or_default();
        let before = *count;
        *count += 1;
        drop(asked);

        let answers = self.names.get(&name);
        let now = answers.and_then(|answers| answers.get(before).or(answers.last()));
        let records: Vec<Vec<u8>> = now.into_iter().flatten().filter_map(|ip| record(*ip, kind)).collect();
        let flags = if answers.is_some() { FOUND } else { NOT_FOUND };
        let mut out = message.get(..2)?.to_vec();
        for word in [flags, 1, u16::try_from(records.len()).ok()?, 0, 0] {
            out.extend(word.to_be_bytes());
        }
        // Letter for letter: a resolver looks whether its own spelling comes back.
        out.extend(question);
        out.extend(records.concat());
        Some(out)
    }
}

/// A record of the name that was asked for, when the address is of that type.
fn record(address: IpAddr, kind: u16) -> Option<Vec<u8>> {
    let (own, bytes) = match address {
        IpAddr::V4(address) => (A, address.octets().to_vec()),
        IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
    };
    // A pointer to the name in the question; class IN.
    let mut out = vec![0xc0, 12];
    out.extend(own.to_be_bytes());
    out.extend(1u16.to_be_bytes());
    out.extend(TTL.to_be_bytes());
    out.extend(u16::try_from(bytes.len()).ok()?.to_be_bytes());
    out.extend(bytes);
    (own == kind).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut out = vec![7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            out.push(label.len() as u8);
            out.extend(label.as_bytes());
        }
        out.push(0);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out
    }

    #[test]
    fn answers_come_in_their_order_and_the_last_one_stays() {
        let zone = Zone::default().name("a.example", &[&["1.2.3.4", "2000::1"], &["10.0.0.1"]]);
        let ask = |kind| zone.answer(&question("A.example", kind)).unwrap();
        assert!(ask(A).ends_with(&[1, 2, 3, 4]));
        assert!(ask(A).ends_with(&[10, 0, 0, 1]));
        assert!(ask(A).ends_with(&[10, 0, 0, 1]));
        assert_eq!(ask(AAAA)[6..8], [0, 1]);
        assert_eq!(ask(AAAA)[6..8], [0, 0]);
        assert_eq!(zone.asked(), ["a.example A", "a.example AAAA"]);
    }

    #[test]
    fn a_name_that_is_not_there_is_said_not_to_exist() {
        let answer = Zone::default().answer(&question("b.example", A)).unwrap();
        assert_eq!(answer[2..4], NOT_FOUND.to_be_bytes());
        assert!(Zone::default().answer(&question("b.example", A)[..20]).is_none());
    }
}

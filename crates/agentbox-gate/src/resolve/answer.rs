//! Reads what an upstream resolver answered.
//!
//! The bytes come from the network, and much of them from whoever owns the name. Only records that are about
//! the name, or about what its aliases lead to, are believed.

use super::question::{Asked, WireName};
use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message::RecordSection;
use domain::base::name::{ParsedName, ToName};
use domain::base::record::ParsedRecord;
use domain::base::{Message, Question};
use domain::rdata::{A, Aaaa, Cname, Soa};
use std::net::IpAddr;

/// Most records of an answer that are looked at.
const MAX_RECORDS: usize = 256;
/// Most addresses that are kept.
const MAX_ADDRESSES: usize = 16;

/// What an answer says. Times are in seconds, as they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Addresses.
    Addresses {
        /// At least one.
        addresses: Vec<IpAddr>,
        /// For how long.
        ttl: u32,
    },
    /// The name is an alias of another one, whose addresses are to be asked for.
    Alias {
        /// The other one.
        name: WireName,
        /// How many aliases may be followed from there.
        aliases: u8,
        /// For how long.
        ttl: u32,
    },
    /// The name has no addresses of this family.
    NoData {
        /// For how long, when it says so.
        ttl: Option<u32>,
    },
    /// There is no such name.
    NotFound {
        /// For how long, when it says so.
        ttl: Option<u32>,
    },
    /// There is more than fits into a datagram.
    Truncated,
}

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It belongs to another question, or was made up by somebody else: the answer may still come.
    #[error("it belongs to another question")]
    Stray,
    /// The resolver has no answer.
    #[error("the resolver has no answer (code {0})")]
    Code(u8),
    /// What belongs to the question cannot be read.
    #[error("it cannot be read")]
    Malformed,
    /// More aliases than are followed, or a circle of them.
    #[error("too many aliases")]
    Aliases,
}

type Parsed<'a> = ParsedName<&'a [u8]>;

#[derive(Default)]
struct Records<'a> {
    aliases: Vec<(Parsed<'a>, Parsed<'a>, u32)>,
    addresses: Vec<(Parsed<'a>, IpAddr, u32)>,
}

/// Reads an answer to a question.
///
/// # Errors
/// [`AnswerError`]; after a stray one the right one may still come.
pub fn read_answer(bytes: &[u8], asked: &Asked) -> Result<Reply, AnswerError> {
    let message = Message::from_slice(bytes).map_err(|_| AnswerError::Stray)?;
    let header = message.header();
    if !header.qr() || header.id() != asked.id || header.opcode() != Opcode::QUERY {
        return Err(AnswerError::Stray);
    }
    let code = header.rcode();
    // Who understood nothing of the question does not repeat it.
    let is_answer = matches!(code, Rcode::NOERROR | Rcode::NXDOMAIN);
    if message.header_counts().qdcount() == 0 && !is_answer {
        return Err(AnswerError::Code(code.to_int()));
    }
    let question: Question<Parsed<'_>> = message.sole_question().map_err(|_| AnswerError::Stray)?;
    if question.qtype() != asked.family.rtype()
        || question.qclass() != Class::IN
        || !question.qname().name_eq(&asked.name)
    {
        return Err(AnswerError::Stray);
    }
    if !is_answer {
        return Err(AnswerError::Code(code.to_int()));
    }
    if header.tc() {
        return Ok(Reply::Truncated);
    }
    let section = message.answer().map_err(|_| AnswerError::Malformed)?;
    let records = collect(section, asked.family.rtype())?;
    let (last, aliases, ttl) = follow(&records, asked)?;
    let of_last = || records.addresses.iter().filter(|(owner, ..)| owner.name_eq(&last));
    let mut addresses = Vec::new();
    for (_, address, _) in of_last() {
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    if !addresses.is_empty() {
        let ttl = of_last().map(|(.., ttl)| *ttl).fold(ttl, u32::min);
        return Ok(Reply::Addresses { addresses, ttl });
    }
    let negative = negative_ttl(section);
    Ok(match (code, negative) {
        // It is about the last name (RFC 6604, section 3).
        (Rcode::NXDOMAIN, ttl) => Reply::NotFound { ttl },
        (_, None) if !last.name_eq(&asked.name) => Reply::Alias { name: last.to_vec(), aliases, ttl },
        // With an authority there is none (RFC 2308, section 2.2), so that nothing is left to be asked for.
        (_, ttl) => Reply::NoData { ttl },
    })
}

fn collect<'a>(section: RecordSection<'a, [u8]>, wanted: Rtype) -> Result<Records<'a>, AnswerError> {
    let mut records = Records::default();
    for (count, record) in section.enumerate() {
        let record = record.map_err(|_| AnswerError::Malformed)?;
        if count >= MAX_RECORDS {
            return Err(AnswerError::Malformed);
        }
        if record.class() != Class::IN {
            continue;
        }
        let (owner, ttl) = (record.owner().deref_octets(), record.ttl().as_secs());
        if record.rtype() == wanted {
            records.addresses.push((owner, address(&record)?, ttl));
        } else if record.rtype() == Rtype::CNAME {
            let alias =
                record.to_record::<Cname<Parsed<'_>>>().ok().flatten().ok_or(AnswerError::Malformed)?;
            records.aliases.push((owner, alias.into_data().into_cname(), ttl));
        }
    }
    Ok(records)
}

fn address(record: &ParsedRecord<'_, [u8]>) -> Result<IpAddr, AnswerError> {
    let address = match record.rtype() {
        Rtype::A => record.to_record::<A>().ok().flatten().map(|read| read.data().addr().into()),
        _ => record.to_record::<Aaaa>().ok().flatten().map(|read| read.data().addr().into()),
    };
    address.ok_or(AnswerError::Malformed)
}

/// The name at the end of the aliases, how many may be followed from there, and for how long that holds.
fn follow<'a>(records: &Records<'a>, asked: &Asked) -> Result<(WireName, u8, u32), AnswerError> {
    let (mut last, mut left, mut ttl) = (asked.name.clone(), asked.aliases, u32::MAX);
    while let Some((_, target, for_alias)) = records.aliases.iter().find(|(owner, ..)| owner.name_eq(&last)) {
        // A circle uses them up as well.
        left = left.checked_sub(1).ok_or(AnswerError::Aliases)?;
        last = target.to_vec();
        ttl = ttl.min(*for_alias);
    }
    Ok((last, left, ttl))
}

/// For how long there is nothing, from the authority's record (RFC 2308, section 5).
fn negative_ttl(answers: RecordSection<'_, [u8]>) -> Option<u32> {
    let authority = answers.next_section().ok().flatten()?;
    for record in authority.take(MAX_RECORDS) {
        let record = record.ok()?;
        if record.rtype() == Rtype::SOA && record.class() == Class::IN {
            let soa = record.to_record::<Soa<Parsed<'_>>>().ok()??;
            return Some(soa.ttl().as_secs().min(soa.data().minimum().as_secs()));
        }
    }
    None
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;

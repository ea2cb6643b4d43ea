//! Packets that a kernel would not make by itself: for raw sockets and for the link.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Sum of RFC 1071.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn summed(mut message: Vec<u8>, at: usize) -> Vec<u8> {
    let sum = checksum(&message).to_be_bytes();
    message[at..at + 2].copy_from_slice(&sum);
    message
}

/// An IPv4 packet with a datagram (RFC 791, RFC 768), whose sum is left out, as it may be.
pub(crate) fn datagram_v4(from: Ipv4Addr, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16;
    let head = [
        &[0x45, 0][..],
        &(28 + length).to_be_bytes(),
        &[0x61, 0x62, 0, 0, 64, 17, 0, 0],
        &from.octets(),
        &to.ip().octets(),
    ]
    .concat();
    let words = [40_000, to.port(), 8 + length, 0].map(u16::to_be_bytes).concat();
    [summed(head, 10), words, payload.to_vec()].concat()
}

/// A question of ping(8) (RFC 792, RFC 4443). A kernel puts in the number, and the sum of the second kind.
pub(crate) fn echo(v4: bool, payload: &[u8]) -> Vec<u8> {
    let kind = if v4 { 8 } else { 128 };
    let message = [&[kind, 0, 0, 0, 0x61, 0x62, 0, 1][..], payload].concat();
    if v4 { summed(message, 2) } else { message }
}

/// Tells a neighbour to use another gateway (RFC 792): the packet it is about is made up, with a payload.
pub(crate) fn redirect(gateway: Ipv4Addr, about: &[u8]) -> Vec<u8> {
    summed([&[5, 1, 0, 0][..], &gateway.octets(), about].concat(), 2)
}

/// Says to be a router (RFC 4861), for no time at all, with an option that everybody skips. The kernel puts
/// in the sum.
pub(crate) fn router_advertisement(payload: &[u8]) -> Vec<u8> {
    let words = (2 + payload.len()).div_ceil(8);
    let mut option = vec![253, words as u8];
    option.extend(payload);
    option.resize(words * 8, 0);
    [&[134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &option].concat()
}

/// A frame to everybody, of the kind that is for experiments (IEEE 802, 0x88b5).
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 0x88, 0xb5], payload].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_its_sum_sums_to_nothing() {
        let packet = datagram_v4(Ipv4Addr::new(10, 0, 0, 1), "192.0.2.1:53".parse().unwrap(), b"odd");
        assert_eq!(checksum(&packet[..20]), 0);
        assert_eq!(packet.len(), 31);
        assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
        assert_eq!(usize::from(u16::from_be_bytes([packet[24], packet[25]])), packet.len() - 20);
        assert_eq!(checksum(&echo(true, b"mark")), 0);
        assert_eq!(checksum(&redirect(Ipv4Addr::LOCALHOST, &packet)), 0);
    }

    #[test]
    fn options_and_frames_have_whole_lengths() {
        for length in 0..20 {
            let message = router_advertisement(&vec![1; length]);
            assert_eq!(message.len(), 16 + usize::from(message[17]) * 8);
        }
        assert_eq!(frame(b"mark").len(), 60);
    }
}

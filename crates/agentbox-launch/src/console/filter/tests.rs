use super::reading::{PREFIX, first_danger};
use super::*;
use proptest::prelude::*;

fn filtered(chunks: &[&[u8]]) -> Vec<u8> {
    let (mut filter, mut out) = (Filter::new(PREFIX), Vec::new());
    for chunk in chunks {
        filter.push(chunk, &mut out);
    }
    out
}

fn reset_after(input: &[u8]) -> String {
    let (mut filter, mut out) = (Filter::new(PREFIX), Vec::new());
    filter.push(input, &mut out);
    String::from_utf8(filter.modes().reset()).unwrap()
}

#[test]
fn each_input_becomes_what_the_table_says() {
    for (input, shown) in [
        (&b"plain\r\n\ttext\x08\x07"[..], &b"plain\r\n\ttext\x08\x07"[..]),
        (b"a\x00b\x05c\x11d\x13e\x7ff", b"abcdef"),
        // Control sequences.
        (b"\x1b[1;31mred\x1b[m", b"\x1b[1;31mred\x1b[m"),
        (b"\x1b[2\nJ", b"\n\x1b[2J"),
        (b"\x1b[2\x1b[3J", b"\x1b[3J"),
        (b"\x1b[2\x18J", b"J"),
        (b"\x1b[2\x1aJ", b"J"),
        (b"\x1b[21t\x1b[5ia", b"a"),
        (b"\x1b[1\xc3\xa4", "\u{e4}".as_bytes()),
        (b"\x1b\xc3\xa4", "\u{e4}".as_bytes()),
        (b"\x1b[!p", b"\x1b[!p\x1b[?7h"),
        // Escape sequences.
        (b"\x1b7\x1b8\x1b=\x1b>\x1bM\x1b(0\x1b#8", b"\x1b7\x1b8\x1b=\x1b>\x1bM\x1b(0\x1b#8"),
        (b"\x1b%@\x1b G\x1bZ\x1b*0\x1bN\x1bn\x1b\\\x1b((0a", b"a"),
        (b"\x1b\x1b\x1b7", b"\x1b7"),
        // Strings that are dropped whole.
        (b"\x1bPq#0;2~\x1b\\a\x1b_Gf=100;AA==\x1b\\b\x1b^x\x1b\\c\x1bXy\x1b\\d\x1bktitle\x1b\\e", b"abcde"),
        (b"\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\a", b"a"),
        (b"\x1bPtmux;\x1b\x1b[31mx\x1b\\a", b"\x1b[31mxa"),
        (b"\x1b]52;c;aGk=\x07a\x1b]52;c;?\x1b\\b\x1b]1337;File=:AA==\x07c\x1b]9;x\x07\x1b]777;x\x07\x1b]50;x\x07", b"abc"),
        // How strings end.
        (b"\x1b]52;c;\x1b[31ma", b"\x1b[31ma"),
        (b"\x1b]52;c;\x18a", b"a"),
        (b"\x1b]0;t\x1aa", b"a"),
        (b"\x1bPx\x07y\x9ca", b"a"),
        (b"\x1bPx\xc2\x9ca", b"a"),
        (b"\x1bP\xe2\x9c\x9c\x1b\\a", b"a"),
        (b"\x1b]0;\xe2\x9c\x9c!\x07", "\x1b]0;[agentbox L2 k7] \u{271c}!\x07".as_bytes()),
        (b"\x1b]0;x\xc2\x9ca", b"\x1b]0;[agentbox L2 k7] x\x1b\\a"),
        // Titles.
        (b"\x1b]2;[agentbox L0 zz] mine\x1b\\", b"\x1b]2;[agentbox L2 k7] [agentbox L0 zz] mine\x1b\\"),
        (b"\x1b]2;a\nb\x1b\\", b"\x1b]2;[agentbox L2 k7] ab\x1b\\"),
        // C1, alone and in UTF-8.
        (b"a\x9b31mb", "a\u{fffd}31mb".as_bytes()),
        (b"a\xc2\x9b31mb\xc2\x9d52;c;x\xc2\x9c", b"a31mb52;c;x"),
        (b"\x90q\x9c\x9d0;x\x07", "\u{fffd}q\u{fffd}\u{fffd}0;x\x07".as_bytes()),
        // No UTF-8.
        (b"\xff\xc3a\xe2\x82\nb\xe2\x82\xacc\xed\xa0\x80", "\u{fffd}\u{fffd}a\u{fffd}\nb\u{20ac}c\u{fffd}\u{fffd}\u{fffd}".as_bytes()),
        (b"\xe2\x82", b""),
    ] {
        let got = filtered(&[input]);
        assert_eq!(got.escape_ascii().to_string(), shown.escape_ascii().to_string(), "{}", input.escape_ascii());
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(filtered(&bytes), got, "byte by byte: {}", input.escape_ascii());
    }
}

#[test]
fn a_string_without_an_end_is_given_up() {
    let mut filter = Filter::new(PREFIX);
    let (mut out, chunk) = (Vec::new(), [b'x'; 1 << 16]);
    for begin in [&b"\x1bP"[..], b"\x1b]52;"] {
        filter.push(begin, &mut out);
        for _ in 0..(STRING_BYTES >> 16) {
            filter.push(&chunk, &mut out);
            assert!(filter.held.capacity() <= 2 * COMMAND_BYTES);
        }
        filter.push(b"\nseen", &mut out);
        assert!(out.ends_with(b"\nseen"));
        out.clear();
    }
}

#[test]
fn an_endless_control_sequence_takes_no_memory_and_shows_nothing() {
    let (mut filter, mut out) = (Filter::new(PREFIX), Vec::new());
    filter.push(b"\x1b[", &mut out);
    for _ in 0..100 {
        filter.push(&[b'1'; 4096], &mut out);
    }
    assert!(filter.held.capacity() <= 2 * CONTROL_BYTES);
    filter.push(b"ma", &mut out);
    assert_eq!(out, b"a");
}

#[test]
fn the_prefix_cannot_carry_controls_itself() {
    let (mut filter, mut out) = (Filter::new("[\x1b]\u{9c}x] "), Vec::new());
    filter.push(b"\x1b]0;t\x07", &mut out);
    assert_eq!(out, b"\x1b]0;[]x] t\x07");
}

#[test]
fn a_terminal_is_brought_back_exactly() {
    for (input, reset) in [
        ("plain", ""),
        (
            "\x1b[?1049h\x1b[?1000;1006h\x1b[?25l\x1b[?2004h",
            "\x1b[?25h\x1b[?1000l\x1b[?1006l\x1b[?2004l\x1b[?1049l",
        ),
        ("\x1b[?1049h\x1b[?25l\x1b[?25h\x1b[?1049l", ""),
        ("\x1b[?7l\x1b[4h", "\x1b[4l\x1b[?7h"),
        ("\x1b[31mred", "\x1b[0m"),
        ("\x1b7\x1b[31mred\x1b8", ""),
        ("\x1b(0\x0e", "\x1b(B\x0f"),
        ("\x1b=", "\x1b>"),
        ("\x1b[?66h\x1b>", ""),
        ("\x1b[2;20r", "\x1b7\x1b[r\x1b8"),
        ("\x1b[31m\x1b[?1049h\x1b[m", "\x1b[?1049l\x1b[0m"),
        ("\x1b[31m\x1b[?1049h", "\x1b[?1049l\x1b[0m"),
        ("\x1b[31m\x1b[?1049h\x1b[m\x1b7\x1b[?1049l", "\x1b[0m"),
        ("\x1b[?1049h\x1b[31m", "\x1b[?1049l"),
        ("\x1b[2;20r\x1b[?6h", "\x1b7\x1b[r\x1b8\x1b[?6l\x1b[9999;1H"),
        ("\x1b[>1u\x1b[?1049h\x1b[>3u\x1b[>5u", "\x1b[<2u\x1b[?1049l\x1b[<1u"),
        ("\x1b[?1049h\x1b[>3u\x1b[?1049l", "\x1b[?1049h\x1b[<1u\x1b[?1049l"),
        ("\x1b[>1u\x1b[<u\x1b[<u\x1b[<9u", ""),
        ("\x1b[>1u\x1b[<999999u\x1b[>99u", "\x1b[<1u"),
        ("\x1b[>4;2m\x1b[4 q", "\x1b[>4m\x1b[0 q"),
        ("\x1b]8;;https://example.org/\x07a", "\x1b]8;;\x1b\\"),
        ("\x1b]11;red\x07\x1b]4;1;red\x07", "\x1b]104\x1b\\\x1b]111\x1b\\"),
        ("\x1b]10;red;blue\x07\x1b]110\x07", "\x1b]111\x1b\\"),
        ("\x1b[?2026h\x1b[3g", "\x1b[?2026l\x1b[?5W"),
        ("\x1b[?1003h\x1b[?25l\x1b[31m\x1b[2;3r\x1bc", ""),
        ("\x1b[?1h\x1b[?25l\x1b[4h\x1b(0\x1b[2;3r\x1b[!p", ""),
        ("\x1b[?46h\x1b[?2l", ""),
    ] {
        assert_eq!(
            reset_after(input.as_bytes()).escape_debug().to_string(),
            reset.escape_debug().to_string(),
            "{input:?}"
        );
    }
}

#[test]
fn the_hosts_own_keyboard_entries_are_not_popped() {
    assert_eq!(filtered(&[b"\x1b[<u\x1b[>1u\x1b[<5ua"]), b"\x1b[>1u\x1b[<1ua");
    // Ten pushes, of which eight are passed on, and ten pops.
    let shown = filtered(&[&b"\x1b[>1u".repeat(10), &b"\x1b[<u".repeat(11)]);
    assert_eq!(shown, [b"\x1b[>1u".repeat(8), b"\x1b[<1u".repeat(8)].concat());
}

#[test]
fn a_link_that_is_refused_does_not_lead_where_the_last_one_did() {
    let shown = filtered(&[b"\x1b]8;;https://example.org/\x07a\x1b]8;;file:///b\x07c"]);
    assert_eq!(shown, b"\x1b]8;;https://example.org/\x07a\x1b]8;;\x07c");
}

#[test]
fn the_second_reading_finds_dangers() {
    for bad in [
        "\x1b]52;c;x\x07",
        "\x1bPq\x1b\\",
        "\x1b_G\x1b\\",
        "\x1b[21t",
        "\u{9b}m",
        "\x1b]2;t\x07",
        "\x1b[1",
        "\x1b]8;;",
        "\x05",
    ] {
        assert!(first_danger(bad).is_some(), "{bad:?}");
    }
}

/// Bytes that reach the corners of the grammar far more often than random ones.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::sample::select(&b"\x1b[]P_^Xk\\?<>=;:0123456789mhltinpquxyz$!'* \x07\x18\x1a\x9b\x9c\x9d\x90\xc2\xe2\x82"[..]).prop_map(|byte| vec![byte]),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
        2 => proptest::sample::select(vec![
            "\x1b[", "\x1b]", "\x1bP", "\x1b]52;c;", "\x1b]2;", "\x1b]8;;https://a/", "\x1b\\", "\x1bPtmux;\x1b", "\x1b[?1049h",
            "\x1b[>1u", "\x1b[<2u", "\x1b[?46;1000h", "\u{9b}", "\u{9d}", "\u{9c}", "text", "\u{20ac}", "\x1b]133;A", "\x1b]4;1;", "\x1b[2;3r",
        ]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn cut(bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut rest, mut chunks) = (bytes, Vec::new());
    for size in sizes {
        let (chunk, later) = rest.split_at((*size).min(rest.len()));
        chunks.push(chunk);
        rest = later;
    }
    chunks.push(rest);
    filtered(&chunks)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn cuts_make_no_difference(bytes in hostile(), sizes in proptest::collection::vec(0usize..7, 0..80)) {
        prop_assert_eq!(cut(&bytes, &sizes), filtered(&[&bytes]));
    }

    #[test]
    fn nothing_that_a_terminal_would_obey_comes_through(bytes in hostile()) {
        let shown = filtered(&[&bytes]);
        let text = std::str::from_utf8(&shown);
        prop_assert!(text.is_ok());
        prop_assert_eq!(first_danger(text.unwrap()), None);
    }

    #[test]
    fn what_resets_a_terminal_passes_the_filter_and_leaves_nothing(bytes in hostile()) {
        let (mut filter, mut out) = (Filter::new(PREFIX), Vec::new());
        filter.push(&bytes, &mut out);
        let (reset, restore) = (filter.modes().reset(), filter.modes().restore());
        for bytes in [&reset, &restore] {
            prop_assert_eq!(first_danger(std::str::from_utf8(bytes).unwrap()), None);
        }
        let mut after = Filter::new(PREFIX);
        after.push(&out, &mut Vec::new());
        after.push(&reset, &mut Vec::new());
        prop_assert_eq!(after.modes().reset(), Vec::<u8>::new());
    }

    #[test]
    fn text_is_left_alone(text in "[^\\x00-\\x1f\\x7f-\\x9f]*", sizes in proptest::collection::vec(0usize..5, 0..40)) {
        let shown = cut(text.as_bytes(), &sizes);
        prop_assert_eq!(shown, text.as_bytes());
    }
}

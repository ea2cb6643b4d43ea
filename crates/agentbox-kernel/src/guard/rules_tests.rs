//! The kernel's walk in Rust, against what the patterns mean.

use super::*;
use proptest::prelude::*;

/// What is done at a path.
#[derive(Clone, Copy, PartialEq)]
enum What {
    Make,
    Move,
    Read,
}

/// `judge()` of guard.bpf.c for a path below the project, without what it skips to be quick.
fn refused(rules: &Rules, path: &[&[u8]], what: What) -> bool {
    let (mut plain, mut moved) = (Bits::default(), Bits::default());
    let (mut hit, mut hit_at_root) = (false, false);
    for (at, name) in path.iter().rev().enumerate() {
        let bits = positions_of(rules, name);
        let begin = match (what, at) {
            (What::Read, 0) => rules.read_last,
            (What::Read, _) => rules.read_above,
            (_, 0) => rules.last,
            (_, _) => rules.above,
        };
        plain = advance(rules, plain, begin, bits);
        let begin = if at == 0 && what == What::Move { rules.moved } else { Bits::default() };
        moved = if at == 0 { and(begin, bits) } else { advance(rules, moved, begin, bits) };
        hit |= plain.or(moved).meets(rules.ends);
        hit_at_root = plain.or(moved).meets(rules.root_ends);
        let live = plain.or(moved) != Bits::default();
        let anything = if at == 0 { ANY_LAST } else { ANY_ABOVE };
        // Where something begins, the sieve lets the name through.
        assert!(!live || at > 0 || what == What::Move || rules.flags & anything != 0 || sifted(rules, name));
    }
    hit || hit_at_root
}

fn and(a: Bits, b: Bits) -> Bits {
    let mut result = a;
    result.0.iter_mut().zip(b.0).for_each(|(mine, other)| *mine &= other);
    result
}

fn advance(rules: &Rules, old: Bits, begin: Bits, bits: Bits) -> Bits {
    let (mut next, mut carry) = (Bits::default(), 0);
    for word in 0..WORDS {
        let shifted = old.0[word] << 1 | carry | old.0[word] & rules.deep.0[word];
        next.0[word] = (shifted & !rules.starts.0[word] | begin.0[word]) & bits.0[word];
        carry = old.0[word] >> 63;
    }
    next
}

fn positions_of(rules: &Rules, name: &[u8]) -> Bits {
    let mut bits = rules.any;
    if name.len() < NAME {
        let mut key = [0; NAME];
        key[..name.len()].copy_from_slice(name);
        bits = bits.or(rules.literals.get(&key).copied().unwrap_or_default());
    }
    for star in &rules.stars {
        let long_enough = name.len() >= star.front.len() + star.end.len();
        if long_enough && name.starts_with(&star.front) && name.ends_with(&star.end) {
            bits.set(star.position);
        }
    }
    bits
}

fn sifted(rules: &Rules, name: &[u8]) -> bool {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return true };
    let (first, last) = (usize::from(*first), usize::from(*last));
    let at = (name.len() * 8 + first * 31 + last * 7) % 1024;
    let (fronts, ends) = rules.star_bytes();
    let has = |words: &[u64], at: usize| words[at / 64] >> (at % 64) & 1 == 1;
    has(&rules.sieve(), at) || has(&fronts, first) || has(&ends, last)
}

fn glob(text: &str) -> PathGlob {
    text.parse().unwrap()
}

fn names(path: &str) -> Vec<&[u8]> {
    path.split('/').map(str::as_bytes).collect()
}

/// A directory of that name could hold a match of this pattern, of which at least one name is its own.
fn could_hold(pattern: &PathGlob, path: &[&[u8]]) -> bool {
    let anchored = glob(&format!("/{}", pattern.to_string().trim_start_matches('/')));
    let starts = if pattern.is_anchored() { 0..1 } else { 0..path.len() };
    starts.into_iter().any(|start| anchored.may_match_below(&path[start..]))
}

fn check(texts: &[&str], path: &str) {
    let patterns: Vec<PathGlob> = texts.iter().map(|text| glob(text)).collect();
    let path = names(path);
    let expected = patterns.iter().any(|pattern| pattern.matches(&path));
    let held = patterns.iter().any(|pattern| could_hold(pattern, &path));
    let rules = Rules::compile(&patterns, []).unwrap();
    assert_eq!(refused(&rules, &path, What::Make), expected, "{texts:?} {path:?}");
    assert_eq!(refused(&rules, &path, What::Move), expected || held, "moved: {texts:?} {path:?}");
    assert!(!refused(&rules, &path, What::Read));
    let masks = Rules::compile([], &patterns).unwrap();
    assert_eq!(refused(&masks, &path, What::Read), expected, "read: {texts:?} {path:?}");
}

#[test]
fn the_kernel_matches_what_the_patterns_mean() {
    let patterns = [
        ".git/hooks/**",
        ".git/modules/**/hooks/**",
        ".claude/settings.json",
        ".envrc",
        "/only/here",
        "*.pem",
        ".env*",
        "secrets/*/**",
    ];
    for path in [
        ".git/hooks",
        ".git/hooks/x",
        ".git/hooks/x/y",
        "a/.git/hooks/x",
        "hooks/x",
        ".git",
        ".git/modules/a/hooks/x",
        ".git/modules/a/b/hooks/x",
        ".git/modules/hooks/x",
        ".git/modules/a",
        ".claude",
        ".claude/settings.json",
        "x/.claude/settings.json",
        "settings.json",
        ".claude/other.json",
        ".envrc",
        "a/.envrc",
        ".envrc/a",
        "only",
        "only/here",
        "a/only/here",
        "a.pem",
        "b/.pem",
        ".environment",
        "secrets",
        "secrets/a",
        "secrets/a/b",
    ] {
        check(&patterns, path);
    }
}

#[test]
fn masks_are_refused_for_reading_and_the_rest_is_not() {
    let rules = Rules::compile(&[glob(".envrc")], &[glob(".env"), glob("keys/**")]).unwrap();
    for (path, make, read) in [
        (".envrc", true, false),
        (".env", true, true),
        ("keys/a", true, true),
        ("keys", false, false),
        ("other", false, false),
    ] {
        assert_eq!(refused(&rules, &names(path), What::Make), make, "{path}");
        assert_eq!(refused(&rules, &names(path), What::Read), read, "{path}");
    }
}

#[test]
fn what_has_no_form_or_no_room_is_refused_by_name() {
    let long = "x".repeat(64);
    for (text, why) in [
        ("**", "everything"),
        ("*a*", "several stars"),
        (long.as_str(), "63 bytes"),
        ("aaaaaaaaaaaaaaaaaaaaaaaaa*", "24 bytes"),
    ] {
        let error = Rules::compile(&[glob(text)], []).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(text), "{error}");
    }
    let mut rules = Rules::compile(&[glob(".envrc")], []).unwrap();
    let before = rules.clone();
    assert!(rules.mask(&glob("*a*")).is_err() && rules == before);
    rules.mask(&glob("/a/.env")).unwrap();
    assert_eq!(rules, Rules::compile(&[glob(".envrc")], &[glob("/a/.env")]).unwrap());
    let many: Vec<_> = (0..MAX_POSITIONS + 1).map(|number| glob(&format!("n{number}"))).collect();
    assert!(Rules::compile(&many, []).unwrap_err().to_string().contains("384"));
    assert!(Rules::compile(&many[1..], []).is_ok());
    let stars: Vec<_> = (0..STARS + 1).map(|number| glob(&format!("s{number}*"))).collect();
    assert!(Rules::compile(&stars, []).is_err());
}

proptest! {
    #[test]
    fn any_patterns_mean_the_same_to_the_kernel(
        texts in proptest::collection::vec("/?(a|b|ab|a\\*|\\*b|\\*)(/(a|b|\\*\\*|\\*)){0,3}", 1..5),
        path in "[ab]{1,2}(/[ab]{1,2}){0,4}",
    ) {
        let valid: Vec<&str> = texts.iter().map(String::as_str).filter(|text| text.parse::<PathGlob>().is_ok()).collect();
        check(&valid, &path);
    }
}

//! The kernel's walk in Rust, against what the patterns mean.

use super::*;
use agentbox_plan::trigger::{Hold, Trigger, Triggers};
use proptest::prelude::*;

/// What is done at a path.
#[derive(Clone, Copy, PartialEq)]
enum What {
    Make,
    Move,
    LinkBeside,
    Read,
}

/// `judge()` of guard.bpf.c for a path below the project, without what it skips to be quick.
fn refused(rules: &Rules, path: &[&[u8]], what: What) -> bool {
    let (mut plain, mut moved) = (Bits::default(), Bits::default());
    let (mut held, mut hit_at_root, mut topmost) = (false, false, 0);
    for (at, name) in path.iter().rev().enumerate() {
        let bits = positions_of(rules, name);
        let begin = match (what, at) {
            (What::Read, 0) => rules.read_last,
            (What::Read, _) => rules.read_above,
            (_, 0) => rules.last,
            (_, _) => rules.above,
        };
        plain = advance(rules, plain, begin, bits);
        let begin = match (what, at) {
            (What::Move, 0) => rules.moved,
            (What::LinkBeside, 0) => without(rules.moved, rules.any),
            _ => Bits::default(),
        };
        moved = if at == 0 { and(begin, bits) } else { advance(rules, moved, begin, bits) };
        held |= plain.or(moved).meets(rules.ends);
        if plain.or(moved).meets(rules.loose_ends) {
            topmost = at + 1;
        }
        hit_at_root = plain.or(moved).meets(rules.root_ends);
        let live = plain.or(moved) != Bits::default();
        let anything = if at == 0 { ANY_LAST } else { ANY_ABOVE };
        // Where something begins, the sieve lets the name through.
        let brings = matches!(what, What::Move | What::LinkBeside);
        assert!(!live || at > 0 || brings || rules.flags & anything != 0 || sifted(rules, name));
    }
    held || hit_at_root || (topmost > 0 && !in_brought(rules, path, topmost))
}

/// `place()`: whether above so many of the last names there is a brought one.
fn in_brought(rules: &Rules, path: &[&[u8]], last: usize) -> bool {
    path[..path.len() - last].iter().any(|name| rules.brought().any(|brought| brought == *name))
}

/// `leaves()`, for a directory or a link that is renamed.
fn leaves(rules: &Rules, from: &str, to: &str) -> bool {
    in_brought(rules, &names(from), 0) && !in_brought(rules, &names(to), 0)
}

/// `leads_in()`, byte by byte.
fn leads_in(rules: &Rules, to: &[u8]) -> bool {
    let (mut number, mut found) = (fnv(b""), false);
    for byte in to.iter().chain(b"\0") {
        if !matches!(byte, 0 | b'/') {
            number = (number ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            continue;
        }
        found |= rules.brought().any(|name| fnv(name) == number);
        number = fnv(b"");
    }
    found
}

fn without(a: Bits, b: Bits) -> Bits {
    let mut result = a;
    result.0.iter_mut().zip(b.0).for_each(|(mine, other)| *mine &= !other);
    result
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

fn check(texts: &[&str], path: &str) {
    let patterns: Vec<PathGlob> = texts.iter().map(|text| glob(text)).collect();
    let path = names(path);
    let expected = patterns.iter().any(|pattern| pattern.matches(&path));
    let held = patterns.iter().any(|pattern| pattern.is_below(&path, path.len()));
    let rules = Rules::compile(&patterns, []).unwrap();
    assert_eq!(refused(&rules, &path, What::Make), expected, "{texts:?} {path:?}");
    assert_eq!(refused(&rules, &path, What::Move), expected || held, "moved: {texts:?} {path:?}");
    let named = patterns.iter().any(|pattern| pattern.is_below_by_name(&path, path.len()));
    assert_eq!(refused(&rules, &path, What::LinkBeside), expected || named, "beside: {texts:?} {path:?}");
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

/// The same patterns and names as the kernel reads them and as everybody else does.
fn both(everywhere: &[&str], loose: &[&str], masks: &[&str], brought: &[&str]) -> (Rules, Triggers) {
    let globs = |texts: &[&str]| texts.iter().map(|text| glob(text)).collect::<Vec<_>>();
    let mut rules = Rules::compile(&globs(everywhere), &globs(masks)).unwrap();
    rules.but_in(brought, &globs(loose)).unwrap();
    let of = |texts: &[&str], everywhere| {
        globs(texts).into_iter().map(move |pattern| Trigger {
            pattern,
            hold: Hold::Refuse,
            actor: String::new(),
            everywhere,
        })
    };
    let all = of(everywhere, true).chain(of(masks, true)).chain(of(loose, false)).collect();
    (rules, Triggers { all, brought: brought.iter().map(|name| (*name).to_owned()).collect() })
}

#[test]
fn what_packages_bring_may_lie_where_they_bring_it_and_nowhere_else() {
    let (rules, triggers) = both(
        &[".git/hooks/**"],
        &[".claude/settings.json", ".envrc", ".husky/**", "/only/here"],
        &[".env"],
        &["node_modules", "venv", ".husky"],
    );
    for path in [
        ".envrc",
        "node_modules",
        "node_modules/.envrc",
        "a/node_modules/p/.claude/settings.json",
        "a/node_modules_/p/.claude/settings.json",
        "node_modules/p/.git/hooks/x",
        "node_modules/.env",
        ".claude/node_modules/settings.json",
        ".husky/x",
        ".husky/venv/x",
        ".husky/venv/.envrc",
        "venv/.husky/x",
        "only/here",
        "venv/only/here",
    ] {
        let path = names(path);
        let expected = triggers.find_held(&path).is_some_and(|(_, hold)| hold == Hold::Refuse);
        assert_eq!(refused(&rules, &path, What::Make), expected, "{path:?}");
    }
    for (from, to, leaves_it) in [
        ("node_modules/p", "p", true),
        ("node_modules", "lib", true),
        ("a/node_modules", "node_modules", false),
        ("a/node_modules/p", "venv/p", false),
        ("prepared", "node_modules/p", false),
        ("prepared", "venv", false),
        ("a", "b", false),
    ] {
        assert_eq!(leaves(&rules, from, to), leaves_it, "{from} {to}");
    }
    // A directory that holds one takes it along.
    assert!(refused(&rules, &names("node_modules/.git"), What::Move));
    assert!(!refused(&rules, &names("node_modules/p/.claude"), What::Move));
    for to in ["node_modules/x", "../a/venv", "/x/node_modules/", "node_modules_", "", "/", "a//b", "venvs/x"]
    {
        assert_eq!(leads_in(&rules, to.as_bytes()), triggers.leads_in(&names("x"), to.as_bytes()), "{to}");
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
    let names: Vec<String> = (0..=BROUGHT).map(|number| format!("n{number}")).collect();
    assert!(rules.clone().but_in(&names, []).unwrap_err().to_string().contains("16"));
    assert!(rules.clone().but_in(&[""], []).is_err() && rules.clone().but_in(&[long.as_str()], []).is_err());
    rules.but_in(&names[1..], []).unwrap();
    let many: Vec<_> = (0..MAX_POSITIONS + 1).map(|number| glob(&format!("n{number}"))).collect();
    assert!(Rules::compile(&many, []).unwrap_err().to_string().contains("384"));
    assert!(Rules::compile(&many[1..], []).is_ok());
    let stars: Vec<_> = (0..STARS + 1).map(|number| glob(&format!("s{number}*"))).collect();
    assert!(Rules::compile(&stars, []).is_err());
}

fn valid(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).filter(|text| text.parse::<PathGlob>().is_ok()).collect()
}

proptest! {
    #[test]
    fn any_patterns_hold_where_nothing_is_brought(
        loose in proptest::collection::vec("/?(a|b|ab|a\\*|\\*)(/(a|b|c|\\*\\*)){0,2}", 0..4),
        everywhere in proptest::collection::vec("(a|ab)(/(b|\\*\\*)){0,2}", 0..2),
        path in "[abc]{1,2}(/[abc]{1,2}){0,4}",
        to in "[abc/.]{0,8}",
    ) {
        let loose: Vec<&str> = valid(&loose);
        let everywhere: Vec<&str> = valid(&everywhere);
        let (rules, triggers) = both(&everywhere, &loose, &[], &["c", "ca"]);
        let path = names(&path);
        let expected = triggers.find_held(&path).is_some_and(|(_, hold)| hold == Hold::Refuse);
        prop_assert_eq!(refused(&rules, &path, What::Make), expected);
        prop_assert_eq!(leads_in(&rules, to.as_bytes()), triggers.leads_in(&names("x"), to.as_bytes()));
    }

    #[test]
    fn any_patterns_mean_the_same_to_the_kernel(
        texts in proptest::collection::vec("/?(a|b|ab|a\\*|\\*b|\\*)(/(a|b|\\*\\*|\\*)){0,3}", 1..5),
        path in "[ab]{1,2}(/[ab]{1,2}){0,4}",
    ) {
        check(&valid(&texts), &path);
    }
}

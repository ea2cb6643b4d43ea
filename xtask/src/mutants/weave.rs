//! The text of a file with its mutants in it.

use super::Mutant;
use anyhow::{Context as _, Result, bail, ensure};
use std::ops::Range;

/// What asks whether a mutant is awake; at the end of the crate.
pub(super) const SWITCH: &str = "
pub(crate) fn mutant(name: &str) -> bool {
    static AWAKE: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var(\"AGENTBOX_TEST_MUTANT\").ok());
    AWAKE.as_deref() == Some(name)
}
";

const COMPARISONS: &[&str] = &[" == ", " != ", " < ", " > ", " <= ", " >= "];

/// A place in a file with everything that can stand there.
struct Place<'a> {
    range: Range<usize>,
    mutants: Vec<&'a Mutant>,
}

/// The file with every mutant in it, asleep.
///
/// # Errors
/// Names the mutant of which the text is not there once, or lies within that of another.
pub(super) fn weave(text: &str, mutants: &[&Mutant]) -> Result<String> {
    let mut out = text.to_owned();
    // From the end, so that what is before stays where it is.
    for place in places(text, mutants)?.into_iter().rev() {
        let it = &text[place.range.clone()];
        let mut woven = String::from("(");
        for mutant in place.mutants {
            let instead = mutant.instead.replace("IT", it);
            woven.push_str(&format!("if crate::mutant({:?}) {{ {instead} }} else ", mutant.name));
        }
        woven.push_str(&format!("{{ {it} }})"));
        out.replace_range(place.range, &woven);
    }
    Ok(out)
}

/// The comparisons of a file that have no mutant, with their lines.
///
/// # Errors
/// Those of [`weave`].
pub(super) fn without_any(text: &str, mutants: &[&Mutant]) -> Result<Vec<String>> {
    let places = places(text, mutants)?;
    let mut found = Vec::new();
    let mut at = 0;
    for (number, line) in code(text).split_inclusive('\n').enumerate() {
        let words = line.split("//").next().unwrap_or_default();
        for comparison in COMPARISONS {
            for (within, _) in words.match_indices(comparison) {
                let is_text = words[..within].matches('"').count() % 2 == 1;
                if !is_text && !places.iter().any(|place| place.range.contains(&(at + within))) {
                    found.push(format!("{}: {}", number + 1, line.trim()));
                }
            }
        }
        at += line.len();
    }
    Ok(found)
}

/// What is before the unit tests, which house style puts at the end of a file.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

fn places<'a>(text: &str, mutants: &[&'a Mutant]) -> Result<Vec<Place<'a>>> {
    let mut places: Vec<Place<'a>> = Vec::new();
    for mutant in mutants {
        let range =
            place(code(text), mutant.text).with_context(|| format!("{}: {}", mutant.file, mutant.name))?;
        match places.iter_mut().find(|place| place.range == range) {
            Some(place) => place.mutants.push(mutant),
            None => places.push(Place { range, mutants: vec![mutant] }),
        }
    }
    places.sort_by_key(|place| place.range.start);
    if let Some(pair) = places.windows(2).find(|pair| pair[0].range.end > pair[1].range.start) {
        bail!("{:?} and {:?} overlap", pair[0].mutants[0].name, pair[1].mutants[0].name);
    }
    Ok(places)
}

fn place(code: &str, wanted: &str) -> Result<Range<usize>> {
    let plain = wanted.replace(['«', '»'], "");
    let mut found = code.match_indices(&plain);
    let (start, _) = found.next().with_context(|| format!("there is no `{plain}`"))?;
    ensure!(found.next().is_none(), "there are several `{plain}`");
    Ok(match wanted.split_once('«').and_then(|(before, rest)| Some((before, rest.split_once('»')?))) {
        Some((before, (it, _))) => start + before.len()..start + before.len() + it.len(),
        None => start..start + plain.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(name: &str, text: &'static str, instead: &str) -> Mutant {
        Mutant { name: name.to_owned(), file: "a.rs", text, instead: instead.to_owned(), by: "t" }
    }

    const FILE: &str = "fn a(x: u8) -> bool { x > 1 && x < 9 }\nfn b(x: u8) -> bool { x == 7 } // x == 8\n\
        const ORDER: &str = \"a < b\";\n\
        \n#[cfg(test)]\nmod tests { fn c() { assert!(1 == 1) } }\n";

    #[test]
    fn every_mutant_is_woven_into_its_place() {
        let (one, two) = (mutant("one", "x > 1", "true"), mutant("two", "x > 1", "!(IT)"));
        let other = mutant("other", "x > 1 && «x < 9»", "x < 8");
        let woven = weave(FILE, &[&one, &other, &two]);
        // They overlap, for what is around counts no more than that it is there.
        assert_eq!(
            woven.unwrap().lines().next(),
            Some(
                "fn a(x: u8) -> bool { (if crate::mutant(\"one\") { true } else if crate::mutant(\"two\") { !(x > 1) } \
                 else { x > 1 }) && (if crate::mutant(\"other\") { x < 8 } else { x < 9 }) }"
            )
        );
    }

    #[test]
    fn a_text_that_is_not_there_once_is_an_error() {
        for text in ["x > 2", "x", "1 == 1"] {
            assert!(weave(FILE, &[&mutant("m", text, "true")]).is_err(), "{text}");
        }
        let within = [&mutant("m", "x > 1", "true"), &mutant("n", "x > 1 && x < 9", "true")];
        assert!(weave(FILE, &within).is_err());
    }

    #[test]
    fn comparisons_without_a_mutant_are_found() {
        let found = without_any(FILE, &[&mutant("m", "x > 1", "true")]).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("1: ") && found[1].starts_with("2: "), "{found:?}");
    }
}

//! Values of configuration files. Each one checks itself while it is read, so that a bad value is
//! reported with the line it stands in.

use agentbox_plan::glob::PathGlob;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

impl Pattern {
    /// The pattern.
    #[must_use]
    pub fn glob(&self) -> Option<PathGlob> {
        // Checked when it was read.
        self.0.parse().ok()
    }
}

/// Declares a string that is only made through its check.
macro_rules! checked_text {
    ($(#[$meta:meta])* $name:ident, $check:path, $pattern:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes a text that fits.
            ///
            /// # Errors
            /// What it should have been.
            pub fn new(text: impl Into<String>) -> Result<Self, String> {
                let text = text.into();
                $check(&text).map(|()| Self(text))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(input)?).map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

checked_text! {
    /// Name of a profile, project, posture, agent or session. It becomes a directory's name.
    Name, check_name, "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
}
checked_text! {
    /// An absolute path, or one below the person's home: `~` or `~/…`.
    HostPath, check_path, "^(/|~/?)"
}
checked_text! {
    /// A pattern of paths in a project, as [`PathGlob`] has it.
    Pattern, check_pattern, "^.{1,256}$"
}
checked_text! {
    /// Name of an environment variable.
    VariableName, check_variable, "^[A-Za-z_][A-Za-z0-9_]{0,127}$"
}
checked_text! {
    /// Name of an environment variable, or the beginning of one followed by `*`.
    PassName, check_pass, "^[A-Za-z_][A-Za-z0-9_]{0,127}\\*?$"
}
checked_text! {
    /// Name of a user.
    UserName, check_user, "^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,255}$"
}
checked_text! {
    /// One line of text.
    Line, check_line, "^[^\\n]{1,256}$"
}

checked_text! {
    /// Something of an agent's that is kept: `claude:credentials`.
    KeptName, check_kept, "^[a-z]{1,32}:[a-z]{1,32}$"
}

checked_text! {
    /// A path whose content is what was looked at: as accepted, or as `#sha256:…` behind it says.
    PinnedPath, check_pinned, "^(/|~/)"
}

impl PinnedPath {
    /// The path, with `~` as written.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.split_once("#sha256:").map_or(self.as_str(), |(path, _)| path)
    }

    /// The hash that it has to have: 64 digits.
    #[must_use]
    pub fn hash(&self) -> Option<&str> {
        self.0.split_once("#sha256:").map(|(_, hash)| hash)
    }
}

fn check_pinned(text: &str) -> Result<(), String> {
    let (path, hash) = match text.split_once("#sha256:") {
        Some((path, hash)) => (path, Some(hash)),
        None => (text, None),
    };
    check_path(path)?;
    let is_hash =
        |hash: &str| hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if matches!(path, "/" | "~") || hash.is_some_and(|hash| !is_hash(hash)) {
        return Err("a path, and maybe `#sha256:` with 64 digits behind it".to_owned());
    }
    Ok(())
}

fn check_kept(text: &str) -> Result<(), String> {
    let word =
        |word: &str| (1..=32).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let fits = text.split_once(':').is_some_and(|(agent, item)| word(agent) && word(item));
    fits.then_some(()).ok_or_else(|| "what is kept is named AGENT:WHAT: \"claude:credentials\"".to_owned())
}

fn check_name(text: &str) -> Result<(), String> {
    let fits = text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    fits.then_some(()).ok_or_else(|| {
        "a name is 1 to 64 characters of A-Z, a-z, 0-9, `_` and `-`, the first a letter or a digit".to_owned()
    })
}

fn check_path(text: &str) -> Result<(), String> {
    let rest = match text.strip_prefix('~') {
        Some("") => return Ok(()),
        Some(rest) => rest,
        None if text == "/" => return Ok(()),
        None => text,
    };
    let Some(rest) = rest.strip_prefix('/') else {
        return Err("a path begins with `/` or `~/`".to_owned());
    };
    if text.len() > 4000 {
        return Err("a path has at most 4000 bytes".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("a path has no control characters".to_owned());
    }
    if rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("a path has no `.`, no `..`, no doubled and no trailing `/`".to_owned());
    }
    Ok(())
}

fn check_pattern(text: &str) -> Result<(), String> {
    text.parse::<PathGlob>().map(drop).map_err(|error| format!("a pattern of paths: {error}"))
}

fn check_variable(text: &str) -> Result<(), String> {
    let fits = text.len() <= 128
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    fits.then_some(()).ok_or_else(|| {
        "a variable's name is 1 to 128 characters of A-Z, a-z, 0-9 and `_`, the first no digit".to_owned()
    })
}

fn check_pass(text: &str) -> Result<(), String> {
    check_variable(text.strip_suffix('*').unwrap_or(text))
        .map_err(|what| format!("{what}; a `*` may follow at the end"))
}

fn check_user(text: &str) -> Result<(), String> {
    let fits = text.len() <= 256
        && text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@'));
    fits.then_some(()).ok_or_else(|| "not the name of a user".to_owned())
}

fn check_line(text: &str) -> Result<(), String> {
    let fits = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then_some(())
        .ok_or_else(|| "a text of 1 to 256 bytes in one line, without control characters".to_owned())
}

/// A number of bytes: a whole number, or one followed by `K`, `M`, `G` or `T` (powers of 1024). At
/// least `MIN`, at most 2⁶² bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size<const MIN: u64>(u64);

impl<const MIN: u64> Size<MIN> {
    const MAX: u64 = 1 << 62;

    /// Takes a number of bytes.
    ///
    /// # Errors
    /// What it should have been.
    pub fn new(bytes: u64) -> Result<Self, String> {
        if (MIN..=Self::MAX).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(format!("a size of at least {} and at most {}", Size::<0>(MIN), Size::<0>(Self::MAX)))
        }
    }

    /// Bytes.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "a size is a whole number of bytes, or one with K, M, G or T: \"512M\"".to_owned();
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'K') => (&text[..text.len() - 1], 10),
            Some(b'M') => (&text[..text.len() - 1], 20),
            Some(b'G') => (&text[..text.len() - 1], 30),
            Some(b'T') => (&text[..text.len() - 1], 40),
            _ => (text, 0),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        Self::new(number.saturating_mul(1 << shift))
    }
}

impl<const MIN: u64> fmt::Display for Size<MIN> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, letter) in [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')] {
            if self.0 >= 1 << shift && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{letter}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl<const MIN: u64> Serialize for Size<MIN> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_u64(self.0)
    }
}

impl<'de, const MIN: u64> Deserialize<'de> for Size<MIN> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Read<const MIN: u64>;
        impl<const MIN: u64> Visitor<'_> for Read<MIN> {
            type Value = Size<MIN>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 1048576 or \"512M\"")
            }
            fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<Self::Value, E> {
                Size::new(bytes).map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<Self::Value, E> {
                // A negative number is below every least size.
                Size::new(u64::try_from(bytes).unwrap_or(u64::MAX)).map_err(E::custom)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Size::parse(text).map_err(E::custom)
            }
        }
        input.deserialize_any(Read)
    }
}

impl<const MIN: u64> JsonSchema for Size<MIN> {
    fn schema_name() -> Cow<'static, str> {
        format!("Size{MIN}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": MIN, "maximum": Self::MAX },
            { "type": "string", "pattern": "^[0-9]+[KMGT]?$" },
        ]})
    }
}

/// A time: whole seconds, or a whole number followed by `s`, `m`, `h` or `d`. At least a minute, at most 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

/// Letters of times with their seconds, the largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

impl Time {
    const MIN: u64 = 60;
    const MAX: u64 = 366 * 86_400;

    /// Takes a number of seconds.
    ///
    /// # Errors
    /// What it should have been.
    pub fn new(seconds: u64) -> Result<Self, String> {
        if (Self::MIN..=Self::MAX).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err("a time of at least 1m and at most 366d".to_owned())
        }
    }

    /// Seconds.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "a time is a whole number of seconds, or one with s, m, h or d: \"8h\"".to_owned();
        let unit = UNITS.iter().find(|(letter, _)| text.ends_with(*letter));
        let (digits, seconds) = unit.map_or((text, 1), |(_, seconds)| (&text[..text.len() - 1], *seconds));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        Self::new(number.saturating_mul(seconds))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, seconds)| self.0.is_multiple_of(*seconds)).unwrap_or(&UNITS[3]);
        write!(f, "{}{}", self.0 / unit.1, unit.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as 3600 or \"8h\"")
            }
            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Time, E> {
                Time::new(seconds).map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Time, E> {
                // A negative number is below every time.
                Time::new(u64::try_from(seconds).unwrap_or(0)).map_err(E::custom)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                Time::parse(text).map_err(E::custom)
            }
        }
        input.deserialize_any(Read)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": Self::MIN, "maximum": Self::MAX },
            { "type": "string", "pattern": "^[0-9]+[smhd]?$" },
        ]})
    }
}

/// A whole number between `MIN` and `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Count<MIN, MAX> {
    /// Takes a number.
    ///
    /// # Errors
    /// What it should have been.
    pub fn new(number: u32) -> Result<Self, String> {
        if (MIN..=MAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(format!("a whole number from {MIN} to {MAX}"))
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        u64::from(self.0)
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Display for Count<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<const MIN: u32, const MAX: u32> Serialize for Count<MIN, MAX> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_u32(self.0)
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(input)?;
        let number = u32::try_from(number).map_err(|_| format!("a whole number from {MIN} to {MAX}"));
        number.and_then(Self::new).map_err(D::Error::custom)
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Count<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Count{MIN}to{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_in_a_directory() {
        for good in ["work", "A", "0", "a-b_c", &"x".repeat(64)] {
            assert!(Name::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "-a", "_a", "a.b", "a b", "a\n", "ä", &"x".repeat(65)] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_are_absolute_or_below_the_home_and_normal() {
        for good in ["/", "~", "~/a", "/a/b c", "/ä", "/..."] {
            assert!(HostPath::new(good).is_ok(), "{good:?}");
        }
        for bad in
            ["", "a", "./a", "~a", "~me/x", "/a/", "~/", "//", "/a/../b", "/a/./b", "/a\nb", "/a\u{1b}"]
        {
            assert!(HostPath::new(bad).is_err(), "{bad:?}");
        }
        assert!(HostPath::new(format!("/{}", "a/".repeat(2500) + "a")).is_err());
    }

    #[test]
    fn times_are_read_in_every_unit_and_written_in_the_largest() {
        for (text, seconds, shown) in [
            ("90", 90, "90s"),
            ("60s", 60, "1m"),
            ("8h", 28_800, "8h"),
            ("24h", 86_400, "1d"),
            ("366d", 31_622_400, "366d"),
        ] {
            let time = Time::parse(text).unwrap();
            assert_eq!((time.get(), time.to_string().as_str()), (seconds, shown), "{text}");
        }
        for bad in ["", "h", "59", "0m", "367d", "99999999999999999999d", "1.5h", "-1h", "1w", "1 h"] {
            assert!(Time::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_read_and_written_in_powers_of_1024() {
        type S = Size<1024>;
        for (text, bytes) in
            [("1024", 1024), ("4K", 4096), ("512M", 512 << 20), ("4G", 4 << 30), ("1T", 1 << 40)]
        {
            assert_eq!(S::parse(text).map(S::get), Ok(bytes), "{text}");
        }
        for text in ["", "K", "-1", "+4K", "1.5G", "4g", "4GB", "1023", "99999999999999999999", "9999999999T"]
        {
            assert!(S::parse(text).is_err(), "{text}");
        }
        for (bytes, text) in [(1024, "1K"), (1536, "1536"), (3 << 30, "3G"), (5 << 40, "5T")] {
            assert_eq!(S::new(bytes).map(|size| size.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_bare_star_passes_nothing() {
        assert!(PassName::new("*").is_err());
        assert!(PassName::new("LC_*").is_ok());
        assert!(PassName::new("A*B").is_err());
        assert!(PassName::new("A=B").is_err());
    }
}

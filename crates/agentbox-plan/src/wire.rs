//! A fixed little-endian encoding for values that both sides were compiled with.
//!
//! Integers are little-endian, sequences and byte strings carry a `u32` count, enums a `u8` tag, options
//! a `u8` 0 or 1. There are no optional fields and no versions: both ends come from one build, and
//! [`MAGIC`] at the head of a plan says so. A decoder never allocates more than the bytes it was given.

use std::ffi::CString;

/// First bytes of an encoded [`Plan`](crate::Plan); changes with every change of its layout.
pub const MAGIC: &[u8; 8] = b"abplan03";

/// Why bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes ended inside a value.
    #[error("message ends at byte {at} inside a {what}")]
    Short {
        /// Offset at which bytes were missing.
        at: usize,
        /// What was being read.
        what: &'static str,
    },
    /// A value is outside what its type allows.
    #[error("byte {at}: not a valid {what}")]
    Invalid {
        /// Offset behind the value.
        at: usize,
        /// What was being read.
        what: &'static str,
    },
    /// Bytes are left over behind the value.
    #[error("{0} bytes behind the end of the message")]
    Trailing(usize),
}

/// A value with an encoding.
pub trait Wire: Sized {
    /// Appends the encoding of `self`.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads a value.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are short or not a value of this type.
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError>;

    /// The encoding of `self` alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }

    /// Reads a value that fills `bytes` to the last one.
    ///
    /// # Errors
    /// [`WireError`] as [`Wire::get`], and [`WireError::Trailing`].
    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader { bytes, at: 0 };
        let value = Self::get(&mut reader)?;
        match bytes.len() - reader.at {
            0 => Ok(value),
            left => Err(WireError::Trailing(left)),
        }
    }
}

/// A position in bytes that are being decoded.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&[u8], WireError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { return Err(WireError::Short { at: self.at, what }) };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// The error for a value that was read whole and is not allowed.
    #[must_use]
    pub fn invalid(&self, what: &'static str) -> WireError {
        WireError::Invalid { at: self.at, what }
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
                let mut bytes = [0; size_of::<$type>()];
                bytes.copy_from_slice(input.take(size_of::<$type>(), stringify!($type))?);
                Ok(<$type>::from_le_bytes(bytes))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, i32);

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        match u8::get(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(input.invalid("flag")),
        }
    }
}

/// A byte string; `Vec<u8>` itself would be a sequence of integers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Wire for Bytes {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(&self.0, out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self(get_bytes(input, "byte string")?.to_vec()))
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let bytes = get_bytes(input, "string")?.to_vec();
        Self::from_utf8(bytes).map_err(|_| input.invalid("UTF-8 string"))
    }
}

impl Wire for CString {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let taken = get_bytes(input, "C string")?;
        // With room for the end, so that no shorter copy of it is left behind: it may hold a secret.
        let mut bytes = Vec::with_capacity(taken.len() + 1);
        bytes.extend_from_slice(taken);
        Self::new(bytes).map_err(|_| input.invalid("C string"))
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.len(), out);
        for item in self {
            item.put(out);
        }
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let count = u32::get(input)?;
        // Grows as items are read: a forged count cannot make it allocate ahead of the bytes.
        let mut items = Self::new();
        for _ in 0..count {
            items.push(T::get(input)?);
        }
        Ok(items)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        if bool::get(input)? { T::get(input).map(Some) } else { Ok(None) }
    }
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    // A plan is limited to megabytes long before this; saturating makes a larger one undecodable.
    u32::try_from(count).unwrap_or(u32::MAX).put(out);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn get_bytes<'a>(input: &'a mut Reader<'_>, what: &'static str) -> Result<&'a [u8], WireError> {
    let count = u32::get(input)? as usize;
    input.take(count, what)
}

/// Declares a struct whose encoding is its fields in order.
macro_rules! wire_struct {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
        impl $crate::wire::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(<$type as $crate::wire::Wire>::put(&self.$field, out);)*
            }
            fn get(input: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::WireError> {
                Ok(Self { $($field: <$type as $crate::wire::Wire>::get(input)?,)* })
            }
        }
    };
}

/// Declares an enum whose encoding is a tag and the fields of the variant in order.
macro_rules! wire_enum {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$variant_meta:meta])* $tag:literal = $variant:ident $({
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        })?,)*
    }) => {
        $(#[$meta])*
        pub enum $name { $($(#[$variant_meta])* $variant $({ $($(#[$field_meta])* $field: $type,)* })?,)* }
        impl $crate::wire::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $({ $($field,)* })? => {
                        <u8 as $crate::wire::Wire>::put(&$tag, out);
                        $($(<$type as $crate::wire::Wire>::put($field, out);)*)?
                    })*
                }
            }
            fn get(input: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::WireError> {
                match <u8 as $crate::wire::Wire>::get(input)? {
                    $($tag => Ok(Self::$variant $({
                        $($field: <$type as $crate::wire::Wire>::get(input)?,)*
                    })?),)*
                    _ => Err(input.invalid(stringify!($name))),
                }
            }
        }
    };
}
pub(crate) use {wire_enum, wire_struct};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_forged_count_does_not_allocate() {
        let bytes = u32::MAX.to_bytes();
        assert!(matches!(Vec::<u64>::from_bytes(&bytes), Err(WireError::Short { .. })));
        assert!(matches!(Bytes::from_bytes(&bytes), Err(WireError::Short { .. })));
    }

    #[test]
    fn bytes_behind_the_value_are_an_error() {
        assert_eq!(u8::from_bytes(&[1, 2]), Err(WireError::Trailing(1)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            text in ".*",
            numbers in proptest::collection::vec(any::<u64>(), 0..9),
            flag in proptest::option::of(any::<bool>()),
        ) {
            prop_assert_eq!(String::from_bytes(&text.to_bytes()), Ok(text.clone()));
            prop_assert_eq!(Vec::<u64>::from_bytes(&numbers.to_bytes()), Ok(numbers));
            prop_assert_eq!(Option::<bool>::from_bytes(&flag.to_bytes()), Ok(flag));
        }

        #[test]
        fn any_bytes_are_a_plan_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = crate::Plan::from_bytes(&bytes);
            let _ = crate::console::Hello::from_bytes(&bytes);
            let _ = crate::inner::ToInner::from_bytes(&bytes);
            let _ = crate::report::Report::from_bytes(&bytes);
            let _ = crate::net::Rules::from_bytes(&bytes);
        }
    }
}

//! Values as ssh writes them (RFC 4251, section 5): big-endian numbers, and strings with their length.

/// Bytes that end inside a value, or behind the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotSsh;

/// A position in bytes of a stranger.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], NotSsh> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NotSsh)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, NotSsh> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn flag(&mut self) -> Result<bool, NotSsh> {
        // RFC 4251 lets every number but 0 be true; programs write 1, and so nothing else is read.
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(NotSsh),
        }
    }

    pub(super) fn number(&mut self) -> Result<u32, NotSsh> {
        let bytes = self.take(4)?.first_chunk().ok_or(NotSsh)?;
        Ok(u32::from_be_bytes(*bytes))
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], NotSsh> {
        let length = self.number()? as usize;
        self.take(length)
    }

    /// A positive number of any length, without the zero before it.
    pub(super) fn positive(&mut self) -> Result<&'a [u8], NotSsh> {
        match self.string()? {
            [0, rest @ ..] if rest.first().is_some_and(|byte| byte & 0x80 != 0) => Ok(rest),
            number if number.first().is_some_and(|byte| *byte != 0 && byte & 0x80 == 0) => Ok(number),
            _ => Err(NotSsh),
        }
    }

    /// Nothing is left.
    pub(super) fn end(self) -> Result<(), NotSsh> {
        if self.0.is_empty() { Ok(()) } else { Err(NotSsh) }
    }
}

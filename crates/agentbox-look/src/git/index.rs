//! Which files git tracks: the names in its index (gitformat-index(5)), versions 2 to 4.

use std::collections::BTreeSet;

/// Most bytes of an index that is read. That of a repository with 500 000 files has about 60 MiB.
pub const MAX_BYTES: usize = 96 << 20;

/// What an index says of some paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tracked {
    /// Those of the wanted paths that are tracked, and those that hold something that is.
    pub found: BTreeSet<Vec<u8>>,
    /// Name of a further index that holds the rest (`sharedindex.…`).
    pub shared: Option<String>,
}

/// An index that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an index that is understood")]
pub struct IndexError;

/// Looks for paths in an index. Hashes of the repository have `hash_bytes`.
///
/// # Errors
/// [`IndexError`] when it is cut off, of another version or not an index at all.
pub fn look(bytes: &[u8], hash_bytes: usize, wanted: &BTreeSet<Vec<u8>>) -> Result<Tracked, IndexError> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.take(4)? != b"DIRC" {
        return Err(IndexError);
    }
    let version = reader.number()?;
    if !(2..=4).contains(&version) {
        return Err(IndexError);
    }
    let count = reader.number()?;
    let mut tracked = Tracked::default();
    let mut name: Vec<u8> = Vec::new();
    for _ in 0..count {
        let start = reader.at;
        // Times, device, inode, mode, owner, size.
        let stat = reader.take(40)?;
        let is_directory = stat[24..28] == [0, 0, 0x40, 0];
        reader.take(hash_bytes)?;
        let flags = u16::from_be_bytes([reader.byte()?, reader.byte()?]);
        if version >= 3 && flags & 0x4000 != 0 {
            reader.take(2)?;
        }
        if version == 4 {
            let strip = reader.offset()?;
            let keep = name.len().checked_sub(strip).ok_or(IndexError)?;
            name.truncate(keep);
            name.extend_from_slice(reader.until_nul()?);
        } else {
            name.clear();
            name.extend_from_slice(reader.until_nul()?);
            // Zeros up to a multiple of eight, one of them read already.
            let length = reader.at - start;
            reader.take(length.next_multiple_of(8) - length)?;
        }
        note(&name, is_directory, wanted, &mut tracked.found);
    }
    tracked.shared = shared(&mut reader, hash_bytes)?;
    Ok(tracked)
}

/// Marks the wanted paths that a tracked name is, lies in, or (of a sparse index) holds.
fn note(name: &[u8], is_directory: bool, wanted: &BTreeSet<Vec<u8>>, found: &mut BTreeSet<Vec<u8>>) {
    let mut end = name.len();
    loop {
        let path = &name[..end];
        if let Some(hit) = wanted.get(path) {
            found.insert(hit.clone());
        }
        match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => end = at,
            None => break,
        }
    }
    if is_directory && name.ends_with(b"/") {
        found.extend(wanted.range(name.to_vec()..).take_while(|path| path.starts_with(name)).cloned());
    }
}

/// The extension that says that this index is only the difference to another one. What follows the
/// extensions has to be one hash: with another length of hashes an index makes no sense.
fn shared(reader: &mut Reader<'_>, hash_bytes: usize) -> Result<Option<String>, IndexError> {
    let mut shared = None;
    while reader.bytes.len() - reader.at > hash_bytes {
        let signature = reader.take(4)?;
        let length = reader.number()? as usize;
        let content = reader.take(length)?;
        if signature == b"link" {
            let base = content.get(..hash_bytes).ok_or(IndexError)?;
            let hex: String = base.iter().map(|byte| format!("{byte:02x}")).collect();
            shared = base.iter().any(|byte| *byte != 0).then(|| format!("sharedindex.{hex}"));
        }
    }
    if reader.bytes.len() - reader.at == hash_bytes { Ok(shared) } else { Err(IndexError) }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], IndexError> {
        let end = self.at.checked_add(count).ok_or(IndexError)?;
        let taken = self.bytes.get(self.at..end).ok_or(IndexError)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, IndexError> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u32, IndexError> {
        let bytes: [u8; 4] = self.take(4)?.try_into().map_err(|_| IndexError)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// A number as version 4 writes it (gitformat-pack(5), offset encoding).
    fn offset(&mut self) -> Result<usize, IndexError> {
        let mut byte = self.byte()?;
        let mut value = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            value = value.checked_add(1).and_then(|v| v.checked_mul(128)).ok_or(IndexError)?;
            value |= usize::from(byte & 0x7f);
        }
        Ok(value)
    }

    fn until_nul(&mut self) -> Result<&'a [u8], IndexError> {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let length = rest.iter().take(4097).position(|byte| *byte == 0).ok_or(IndexError)?;
        self.at += length + 1;
        Ok(&rest[..length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;
    use std::process::Command;

    fn git(directory: &Path, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments).current_dir(directory);
        let done = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(done.status.success(), "{arguments:?} {}", String::from_utf8_lossy(&done.stderr));
    }

    fn paths(list: &[&str]) -> BTreeSet<Vec<u8>> {
        list.iter().map(|path| path.as_bytes().to_vec()).collect()
    }

    #[test]
    fn what_git_wrote_is_understood_in_every_version() {
        for (version, format, hash_bytes) in [("2", "sha1", 20), ("4", "sha1", 20), ("4", "sha256", 32)] {
            let dir = tempfile::TempDir::new().unwrap();
            git(dir.path(), &["init", "-q", &format!("--object-format={format}")]);
            git(dir.path(), &["config", "index.version", version]);
            std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
            for name in ["a/b/one", "a/b/two", "a/b.c", "z", ".env"] {
                std::fs::write(dir.path().join(name), name).unwrap();
            }
            git(dir.path(), &["add", "a", "z", ".env"]);
            // An entry with the flags of version 3.
            git(dir.path(), &["update-index", "--skip-worktree", "z"]);
            let wanted = paths(&["a", "a/b/two", "a/b/missing", ".env", "other", "a/b"]);
            let index = std::fs::read(dir.path().join(".git/index")).unwrap();
            let tracked = look(&index, hash_bytes, &wanted).unwrap();
            assert_eq!(tracked.found, paths(&["a", "a/b", "a/b/two", ".env"]), "{version} {format}");
            assert_eq!(tracked.shared, None);
            git(dir.path(), &["update-index", "--split-index"]);
            let index = std::fs::read(dir.path().join(".git/index")).unwrap();
            let shared = look(&index, hash_bytes, &wanted).unwrap().shared.unwrap();
            let index = std::fs::read(dir.path().join(".git").join(shared)).unwrap();
            assert_eq!(look(&index, hash_bytes, &wanted).unwrap().found.len(), 4);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_index_or_an_error(
            version in 0u32..6,
            count in any::<u32>(),
            rest in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let bytes = [b"DIRC".as_slice(), &version.to_be_bytes(), &count.to_be_bytes(), &rest].concat();
            let _ = look(&bytes, 20, &paths(&["a"]));
            let _ = look(&rest, 32, &paths(&["a"]));
        }
    }
}

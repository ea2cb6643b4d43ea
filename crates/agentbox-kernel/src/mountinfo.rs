//! The kernel's table of mounts, `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its number.
    pub(crate) id: u64,
    /// Number of the mount that it is on.
    pub(crate) parent: u64,
    /// Device of the file system, as the kernel counts it: 12 bits and 20 bits.
    pub(crate) device: u32,
    /// Which directory of the file system is mounted.
    pub(crate) root: Vec<u8>,
    /// Where, seen from the process's root.
    pub(crate) point: Vec<u8>,
    /// Options of this mount (`ro`, `nosuid`, `idmapped`, …).
    pub(crate) options: Vec<String>,
    /// Type of the file system.
    pub(crate) kind: String,
    /// Options of the file system.
    pub(crate) file_system: Vec<String>,
}

impl Mount {
    /// Whether the mount has an option.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|found| found == option)
    }
}

/// The mounts of a table; a line that is not one is `None` in its place.
pub(crate) fn parse(table: &[u8]) -> Option<Vec<Mount>> {
    table.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = device(fields.next()?)?;
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let options = list(fields.next()?);
    // Optional fields end with a single hyphen.
    fields.find(|field| *field == b"-")?;
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    let _source = fields.next()?;
    let file_system = list(fields.next()?);
    Some(Mount { id, parent, device, root, point, options, kind, file_system })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn device(field: &[u8]) -> Option<u32> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some(major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?)
}

fn list(field: &[u8]) -> Vec<String> {
    field.split(|byte| *byte == b',').map(|option| String::from_utf8_lossy(option).into_owned()).collect()
}

/// Takes back the escapes of space, tab, newline and backslash: three octal digits each.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..]) = (byte, tail) {
            out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = behind;
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_and_without_optional_fields_are_read() {
        let table = b"36 35 98:0 /mnt1 /mnt2 rw,noatime,idmapped master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let mounts = parse(table).unwrap();
        assert_eq!(mounts[0].root, b"/mnt1");
        assert_eq!((mounts[0].id, mounts[0].parent), (36, 35));
        assert!(mounts[0].has("idmapped") && !mounts[0].has("nosuid"));
        assert_eq!(mounts[0].file_system, ["rw", "errors=continue"]);
        assert_eq!(
            (mounts[1].kind.as_str(), mounts[1].point.as_slice()),
            ("cgroup2", &b"/sys/fs/cgroup/unified"[..])
        );
    }

    #[test]
    fn escaped_names_come_back_as_they_were() {
        assert_eq!(unescape(b"/a\\040b\\012\\134\\011"), b"/a b\n\\\t");
        assert_eq!(unescape(b"/a\\04"), b"/a\\04");
        assert_eq!(unescape("/ä\\377".as_bytes()), [b"/\xc3\xa4".as_slice(), b"\xff"].concat());
    }

    #[test]
    fn a_table_with_a_broken_line_is_none() {
        assert_eq!(parse(b"36 35 98:0 / / rw ext3 x rw\n"), None);
        assert_eq!(parse(b"x 35 98:0 / / rw - ext3 x rw\n"), None);
        assert_eq!(parse(b""), Some(vec![]));
    }
}

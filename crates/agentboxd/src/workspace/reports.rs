//! The reports of sessions that have ended: a file each in STATE/reports, named by the session.
//!
//! Most of what is in one was named by an agent, so each has a bound, and each owner has their own number of them.

use super::WorkspaceError;
use crate::audit::cut_at;
use crate::supervisor::Supervisor;
use agentbox_ipc::ReportAnswer;
use agentbox_kernel::directory::{self, DirectoryError};
use agentbox_plan::SessionId;
use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;

const REPORTS: &str = "reports";
/// Most bytes of a report.
const MAX_BYTES: usize = 4 << 20;
/// Most bytes of one text in it: a whole path, unless most of its bytes have to be escaped.
const MAX_TEXT_BYTES: usize = 4096;
/// What one of an earlier version may have had.
const MAX_READ_BYTES: usize = 64 << 20;
/// Reports that are kept of one owner; the oldest go.
const MAX_REPORTS: usize = 200;
/// Session and owner are its first members.
const BEGINNING_BYTES: usize = 256;

/// The report of a session, if there is one.
pub(crate) fn read(supervisor: &Supervisor, id: &SessionId) -> Result<Option<ReportAnswer>, WorkspaceError> {
    read_in(&supervisor.directories.kept(REPORTS)?, id)
}

fn read_in(reports: &OwnedFd, id: &SessionId) -> Result<Option<ReportAnswer>, WorkspaceError> {
    let Some(bytes) = directory::read_file(reports, id.as_str(), MAX_READ_BYTES)? else { return Ok(None) };
    Ok(Some(within_bounds(serde_json::from_slice(&bytes)?)?))
}

/// Whose report of this session there is, also where it cannot be read as a whole.
pub(crate) fn owner(supervisor: &Supervisor, id: &SessionId) -> Option<u32> {
    owner_in(&supervisor.directories.kept(REPORTS).ok()?, id.as_str())
}

fn owner_in(reports: &OwnedFd, name: &str) -> Option<u32> {
    let beginning = directory::read_beginning(reports, name, BEGINNING_BYTES).ok()??;
    let beginning = String::from_utf8_lossy(&beginning);
    let (_, rest) = beginning.split_once("\"owner_uid\":")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Keeps a report, and no more than there may be of its owner.
pub(super) async fn write(supervisor: &Supervisor, report: &ReportAnswer) -> Result<(), WorkspaceError> {
    let reports = supervisor.directories.kept(REPORTS)?;
    write_in(&reports, report)?;
    let owner_uid = report.owner_uid;
    let pruned = tokio::task::spawn_blocking(move || prune(&reports, owner_uid, MAX_REPORTS));
    Ok(pruned.await.map_err(std::io::Error::from)??)
}

fn write_in(reports: &OwnedFd, report: &ReportAnswer) -> Result<(), WorkspaceError> {
    let bytes = serde_json::to_vec(&within_bounds(report.clone())?)?;
    // That nothing was found is not waited for until it is on the disk.
    let sync = !report.findings.is_empty() || report.unseen_count > 0 || report.failed.is_some();
    Ok(directory::write_atomic(reports, &report.id, &bytes, 0o600, sync)?)
}

/// Removes the oldest of this owner.
fn prune(reports: &OwnedFd, owner_uid: u32, most: usize) -> Result<(), DirectoryError> {
    let names = directory::names(reports)?;
    // All of them are no more than one may have: none needs to be opened.
    if names.len() <= most {
        return Ok(());
    }
    let written = |name: &String| {
        let stat = rustix::fs::statat(reports, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((stat.st_mtime, stat.st_mtime_nsec))
    };
    let theirs = names.iter().filter(|name| owner_in(reports, name) == Some(owner_uid));
    let mut dated: Vec<_> = theirs.map(|name| (written(name), name)).collect();
    dated.sort();
    for (_, name) in dated.iter().take(dated.len().saturating_sub(most)) {
        directory::remove_file(reports, name)?;
    }
    Ok(())
}

/// The report with as much as fits, the first of it; the rest is counted.
fn within_bounds(mut report: ReportAnswer) -> Result<ReportAnswer, WorkspaceError> {
    report.project = cut(&report.project);
    report.failed = report.failed.as_deref().map(cut);
    report.unseen.iter_mut().for_each(|unseen| *unseen = cut(unseen));
    for finding in &mut report.findings {
        finding.path = cut(&finding.path);
        finding.detail = cut(&finding.detail);
    }
    let (findings, unseen) = (std::mem::take(&mut report.findings), std::mem::take(&mut report.unseen));
    // With room for the numbers, which may grow.
    let mut left = MAX_BYTES.saturating_sub(serde_json::to_vec(&report)?.len() + 64);
    let mut fits = |length: usize| match left.checked_sub(length + 1) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let all = findings.len();
    for finding in findings {
        if !fits(serde_json::to_vec(&finding)?.len()) {
            break;
        }
        report.findings.push(finding);
    }
    let beyond = all - report.findings.len();
    report.more = report.more.saturating_add(u32::try_from(beyond).unwrap_or(u32::MAX));
    for unseen in unseen {
        if !fits(serde_json::to_vec(&unseen)?.len()) {
            break;
        }
        report.unseen.push(unseen);
    }
    Ok(report)
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    // With room for what is added, so that what was cut is not cut again when it is read.
    cut_at(text, MAX_TEXT_BYTES - 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_ipc::ReportLine;
    use std::fs::File;
    use std::time::{Duration, SystemTime};
    use tempfile::TempDir;

    fn report(id: &str, owner_uid: u32) -> ReportAnswer {
        ReportAnswer { id: id.to_owned(), owner_uid, project: "/p".to_owned(), ..ReportAnswer::default() }
    }

    fn reports() -> (TempDir, OwnedFd) {
        let directory = TempDir::new().unwrap();
        let opened = File::open(directory.path()).unwrap().into();
        (directory, opened)
    }

    fn pointer(path: String, grave: bool) -> ReportLine {
        ReportLine {
            kind: "git-pointer".to_owned(),
            change: "added".to_owned(),
            path,
            actor: "git".to_owned(),
            detail: String::new(),
            grave,
        }
    }

    #[test]
    fn however_much_an_agent_leaves_there_is_a_report_that_begins_with_it_and_counts_the_rest() {
        let (_directory, reports) = reports();
        // Fifteen names of 240 control characters each, as they are escaped.
        let path = format!("{}.git", format!("{}/", "\\u{1}".repeat(240)).repeat(15));
        let mut written = report("abc12345", 1000);
        written.findings = (0..2000).map(|at| pointer(format!("{at}/{path}"), at < 800)).collect();
        written.unseen = vec![path; 100];
        (written.more, written.unseen_count) = (7, 100);
        write_in(&reports, &written).unwrap();
        let id = "abc12345".parse().unwrap();
        let length = directory::read_file(&reports, "abc12345", MAX_BYTES).unwrap().unwrap().len();
        assert!(length > MAX_BYTES / 2, "{length}");
        let read = read_in(&reports, &id).unwrap().unwrap();
        assert!(read.grave() > 100, "{}", read.grave());
        assert_eq!(read.findings.len() + read.more as usize, 2007);
        assert_eq!(read.unseen_count, 100);
        let first = &read.findings[0].path;
        assert!(
            first.starts_with("0/\\u{1}")
                && first.ends_with(&format!("({} bytes)", written.findings[0].path.len()))
        );
    }

    #[test]
    fn what_an_earlier_version_wrote_is_read_and_what_cannot_be_is_no_absence() {
        let (directory, reports) = reports();
        let mut large = report("abc12345", 1000);
        large.findings = vec![pointer("x".repeat(40_000), true); 200];
        std::fs::write(directory.path().join("abc12345"), serde_json::to_vec(&large).unwrap()).unwrap();
        let read = read_in(&reports, &"abc12345".parse().unwrap()).unwrap().unwrap();
        assert_eq!(read.findings.len(), 200);
        assert!(read_in(&reports, &"abc12346".parse().unwrap()).unwrap().is_none());
        let file = File::create(directory.path().join("abc12347")).unwrap();
        std::io::Write::write_all(&mut &file, b"{\"id\":\"abc12347\",\"owner_uid\":1001,").unwrap();
        for length in [40, MAX_READ_BYTES as u64 + 1] {
            file.set_len(length).unwrap();
            read_in(&reports, &"abc12347".parse().unwrap()).unwrap_err();
            assert_eq!(owner_in(&reports, "abc12347"), Some(1001));
        }
    }

    #[test]
    fn nobody_elses_reports_make_room_and_the_oldest_go() {
        let (directory, reports) = reports();
        for at in 0_u64..6 {
            let name = format!("abc1234{at}");
            write_in(&reports, &report(&name, 1000 + u32::from(at == 0))).unwrap();
            let file = File::options().write(true).open(directory.path().join(name)).unwrap();
            // The last one written is the oldest.
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1000 - 10 * at)).unwrap();
        }
        prune(&reports, 1000, 3).unwrap();
        assert_eq!(directory::names(&reports).unwrap(), ["abc12340", "abc12341", "abc12342", "abc12343"]);
    }
}

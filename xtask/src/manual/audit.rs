//! agentbox-audit(7): the trail, its entries in the journal, and every event of the table.

use super::page::Page;
use agentbox_ipc::EVENTS;

pub(super) fn page() -> Vec<u8> {
    let mut page = Page::new("agentbox-audit", "7", "the audit trail of agentbox");
    page.section("DESCRIPTION");
    page.text(
        "Everything that is asked of the supervisor, and what becomes of it, is a line in \
         */var/log/agentbox/audit.jsonl*, which only root reads and no session reaches. A line is a JSON object. \
         *agentboxctl log* shows people the lines of their own sessions, and root all.",
    );
    page.text(
        "A start that cannot be written into the trail is refused. A session that runs goes on, and *agentboxctl status* \
         says what is wrong.",
    );
    page.section("MEMBERS OF EVERY LINE");
    for (name, says) in [
        (
            "seq",
            "Number of the event, one more than that of the line before. A gap says that something is missing.",
        ),
        ("time_unix_ms", "When it was written, in milliseconds of the Unix epoch."),
        ("event", "Its class, one of those below."),
        ("session", "The session it is about, where it is about one."),
        ("owner_uid", "Whose session that is."),
        ("prev", "The hash of the line before; of the first line, zeros."),
        (
            "hash",
            "Last: the SHA-256 of the bytes of the line in front of *,\"hash\":*. It covers all lines before, through *prev*.",
        ),
    ] {
        page.item(name, says);
    }
    page.text(
        "Further members are those of the class. Texts are cut after 1024 bytes and lists after 32 members; control \
         characters are escaped. Decisions about one destination are one line for ten seconds, with their *count*.",
    );
    page.section("CHECKING IT");
    page.text(
        "*agentboxctl log --verify* reads all of it. The chain shows what was edited, removed or put into another \
         order; */var/log/agentbox/audit.head*, which names the last line, shows that lines were cut off.",
    );
    page.text(
        "Of a service each event is an entry of the journal too, with *AGENTBOX_SEQ* and *AGENTBOX_HASH*: whoever changes \
         these two files, or puts others in their place, would have to change the journal as well. Only entries count \
         that journald itself says are root's and of *agentboxd.service*, since everybody may write entries with our \
         fields. A journal that has forgotten its oldest entries vouches for the lines from then on; it vouches for \
         nothing against somebody who is root and changes both, which a journal that is sent elsewhere is against \
         (*systemd-journal-upload*(8)). After *apt purge* the journal still knows the trail that was removed, and says so.",
    );
    page.section("ENTRIES OF THE JOURNAL");
    page.text("*MESSAGE_ID* is that of the class; *AGENTBOX_LINE* is the line itself. Read them with:");
    page.example("journalctl _UID=0 _SYSTEMD_UNIT=agentboxd.service AGENTBOX_SESSION=ID");
    for (name, says) in [
        ("AGENTBOX_EVENT, AGENTBOX_SESSION, AGENTBOX_OWNER_UID", "As in the line."),
        ("AGENTBOX_SEQ, AGENTBOX_HASH", "Number and hash of the line."),
        ("AGENTBOX_LINE", "The line."),
    ] {
        page.item(name, says);
    }
    page.section("EVENTS");
    for event in EVENTS {
        page.item(event.name, event.says);
        page.aside(&format!("MESSAGE_ID={:032x}", event.message_id));
    }
    page.see_also(&["agentboxctl-log(1)", "agentbox(7)", "agentboxd(8)", "journalctl(1)"]);
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_on_the_page_with_its_id() {
        let page = String::from_utf8(page()).unwrap();
        for event in EVENTS {
            assert!(page.contains(&format!("{:032x}", event.message_id)), "{}", event.name);
            assert!(page.contains(&event.name.replace('-', "\\-")), "{}", event.name);
        }
    }
}

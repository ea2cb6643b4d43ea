//! agentbox(7): what it is, on a page.

use super::page::Page;

pub(super) fn page() -> Vec<u8> {
    let mut page = Page::new("agentbox", "7", "sessions of coding agents, held by the kernel");
    page.section("DESCRIPTION");
    page.text(
        "agentbox runs coding agents so that a careless, confused or compromised one costs an hour of work and nothing \
         else. *agentboxctl start* opens a *session*: one run of an agent on a *project* (a directory), under a *profile* \
         (whose identity it has) and a *posture* (how strongly it is held). Nothing runs before everything is in force.",
    );
    page.section("POSTURES");
    for (name, says) in [
        (
            "L0",
            "Nothing holds it; it is recorded. It has to be asked for twice, and polkit is asked as well.",
        ),
        (
            "L1",
            "The host's files, read-only; the project can be written; places of credentials and sockets are hidden. It \
                runs as the person, and reaches hosts that are listed.",
        ),
        (
            "L2",
            "The default: only what is listed exists. It runs under ids leased for it alone, and reaches public names.",
        ),
        ("L3, L4, L5", "Virtual machines and other hosts: not in this version."),
    ] {
        page.item(name, says);
    }
    page.section("WHO MAY DO WHAT");
    page.text(
        "Root, users that the configuration names, and members of the group *agentbox* may use the supervisor, each for \
         their own sessions. Somebody else's session is unknown to them, unless polkit consents: *org.agentbox1.inspect* \
         to see it, *org.agentbox1.control* to use or end it, *org.agentbox1.widen* to let one reach more than the \
         configuration allows, *org.agentbox1.start-unconfined* for L0, *org.agentbox1.repair* to remove what dead \
         sessions left.",
    );
    page.section("FILES");
    for (file, says) in [
        ("/etc/agentbox", "Configuration, see *agentbox.toml*(5)."),
        ("/run/agentbox", "Sockets and ledgers of sessions that run."),
        ("/var/lib/agentbox", "Leased ids, what profiles keep, layers of sessions on an overlay."),
        ("/var/log/agentbox", "The audit trail, see *agentbox-audit*(7)."),
    ] {
        page.item(file, says);
    }
    page.section("EXAMPLE");
    page.example(
        "agentboxctl doctor\nagentboxctl start --agent claude\nagentboxctl list\nagentboxctl why ID github.com:22\n\
         agentboxctl stop ID\nagentboxctl log --verify",
    );
    page.see_also(&[
        "agentboxctl(1)",
        "agentbox.toml(5)",
        "agentbox-audit(7)",
        "agentboxd(8)",
        "polkit(8)",
        "systemd.scope(5)",
    ]);
    page.finish()
}

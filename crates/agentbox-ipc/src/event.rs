//! Every event of the audit trail: one table, from which the journal is written and agentbox-audit(7) is made.

/// A class of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The member `event` of its lines.
    pub name: &'static str,
    /// `MESSAGE_ID` of its entries in the journal (systemd.journal-fields(7)). Never changed, never used again.
    pub message_id: u128,
    /// What it says.
    pub says: &'static str,
}

/// All of them.
pub const EVENTS: &[Event] = &[
    event("daemon-started", 0x396eca7c_35b94af0_8fed99a1_e9934e9b, "The supervisor runs."),
    event(
        "daemon-ended",
        0x8c914f53_c4ac4bf9_8fe063ac_136e9547,
        "The supervisor was told to end; sessions live on.",
    ),
    event(
        "configuration-read",
        0x743d8175_e3d844ef_938b5174_46bb32c6,
        "The configuration was read again and is in force.",
    ),
    event(
        "configuration-refused",
        0xac67389a_04b14170_88aeb5f9_fd72efb3,
        "The configuration was read again and cannot be used; the old one stays.",
    ),
    event(
        "trail-damaged",
        0xa0ccc515_16cd4610_841c1551_41098359,
        "The trail was found changed; the numbers have a gap here for ever.",
    ),
    event(
        "trail-repaired",
        0x56c43b77_952746a1_b1d19ad5_65ad1279,
        "Half a line of an append that was cut off was taken away.",
    ),
    event("refused", 0xbec58404_7317442e_92243b30_99ab215a, "A start was refused."),
    event(
        "start",
        0x2e0466a6_d9054cd8_98c80509_f75911ce,
        "A session is about to be started: who, what, under which policy.",
    ),
    event("running", 0x7d5cee5c_4fd14006_a2d7547b_46d7f1e1, "The agent of a session runs, confined."),
    event(
        "failed",
        0x6fd95d49_cb7d4c1c_a382f644_7a0b789e,
        "A step of a session did not work; what was done before it is undone.",
    ),
    event("attached", 0x8f40d10f_8a244e1e_8e084344_c6913f8d, "Somebody attached to a session."),
    event("exec", 0xcf8df736_e36d4f5a_bf2483f5_93a203ce, "A program was started beside the agent."),
    event(
        "stop",
        0xf95bb3a9_382d437e_b346df14_4f28ef4c,
        "A session was told to end, by somebody or by a bound.",
    ),
    event(
        "memory-exceeded",
        0x3edb4b08_b92d4e2e_a98d58c6_beff1818,
        "A session used more memory than it may, and the kernel ended all of it.",
    ),
    event("ended", 0x093c71aa_06f54464_af3b3c1a_148fd590, "Nothing of a session is left."),
    event("left-over", 0x2cb303e9_2e774053_9dc1f664_86497441, "Something of a session could not be undone."),
    event(
        "adopted",
        0x1e7f5dd5_1e3346d0_a1366375_4f73fc13,
        "A supervisor took a session over that an earlier one had started.",
    ),
    event("repaired", 0x8329cd22_3bc04311_b815cadf_40cf20f1, "What a dead session had left was removed."),
    event("frozen", 0x82c1b2bd_34ab4728_b84a8bd3_fab9a157, "The agent of a session stands still."),
    event("thawed", 0x1e72aaf4_246f4e01_99f56c86_943eeeb3, "The agent of a session goes on."),
    event(
        "net-allowed",
        0x6da848ff_4fc2410f_af1ebc47_e0a95c7a,
        "Connections of a session were let through by a rule, with their number in ten seconds; in five minutes once it has reached thousands of destinations.",
    ),
    event(
        "net-denied",
        0x4562d95e_04144b03_ba00e64f_80ff3172,
        "Connections or questions of a session were refused, with their number in ten seconds.",
    ),
    event(
        "net-total",
        0xf3ce218b_cf4d4502_85e0a775_f0c981e3,
        "A session has ended that sent and received so many bytes, to one destination; without one, to all that are not told apart.",
    ),
    event(
        "net-others",
        0x2c2807f7_f0984aa2_af7dd1c7_5a71476e,
        "Further refusals of a session's network in ten seconds, too many to be told apart.",
    ),
    event(
        "rule-added",
        0x3d1ef165_1d9f4676_aa11d347_d8d5412f,
        "A session may reach a host, or may not, from now on.",
    ),
    event("rule-removed", 0xd9998a14_bf2d4f87_aa0e8265_4b39b26e, "The time of a rule is over."),
    event(
        "network-narrowed",
        0x209f9422_2eb847c4_8d31a657_d32d8b6a,
        "The configuration was read again and narrows the network of a session that runs.",
    ),
    event("gate-lost", 0xfeaefbdc_45e44428_b78da0ad_28c062e9, "The gate of a session's network ended."),
    event("gate-repaired", 0x1b5cc770_28994127_94e0340f_1890a8e3, "A session's network has another gate."),
    event(
        "firewall-restored",
        0xb2160a84_4e8249e8_91ed714c_dcf68ec2,
        "The host's table of nftables was gone and is in force again.",
    ),
    event(
        "firewall-lost",
        0x617abf41_c19e41f5_98b9d2c1_401d0dfb,
        "The host's table of nftables is gone and could not be made again.",
    ),
    event(
        "sign-allowed",
        0x8c9c7fca_876c4689_a2c08bcd_c4349a4e,
        "A signature was made with a key of the person's.",
    ),
    event(
        "sign-refused",
        0x75dd7abd_491244c1_8f2d6632_d7806061,
        "A request to a session's ssh-agent was refused.",
    ),
    event("sign-confirmed", 0xcb5be729_e62d44bf_9e77ecfd_dd4d8c74, "A signature that waited was confirmed."),
    event("sign-declined", 0xfc917126_c4ad4096_bbecf11a_0a0d3d63, "A signature that waited was declined."),
    event(
        "sign-others",
        0x735a6456_04b7462b_b725fa88_d14d9f18,
        "Further decisions of a session's ssh-agent, too many to be told apart.",
    ),
    event(
        "keys-lost",
        0xd9108ab9_98144100_ab850c04_b54321f0,
        "The ssh-agent of a session ended; nothing is signed any more.",
    ),
    event(
        "trigger",
        0x44f5e149_90be4a1d_9c4ab83e_4c3698b3,
        "A file came to be on which a program of the host acts.",
    ),
    event(
        "guard",
        0x7ef55d1e_44a84ebc_a493f0ce_ffd19450,
        "The kernel refused a file on which a program of the host would act.",
    ),
    event(
        "watch-lost",
        0xacb3decb_87a8489f_b758d6e0_051976cb,
        "The watch of a project lost sight; the report tells of all.",
    ),
    event("git-config", 0xaa8b48d1_9047416c_a79d1aaf_e534dc44, "Keys of git's configuration were put back."),
    event(
        "git-config-others",
        0x76031e09_eeb447f5_a2503ccc_448dd367,
        "Further keys of git's configuration were put back, too many to be told apart.",
    ),
    event("report", 0x7a55c739_53734b0d_b4fde09c_bf9794c6, "A project was looked at after its session."),
    event(
        "kept",
        0xa0c6e074_9ff54a31_aa32b618_60720489,
        "What became of the agent's own files that outlive a session.",
    ),
    event(
        "applied",
        0x412ce3f6_403f44dc_89f3972c_0aa66793,
        "Changes of a session on an overlay were taken into the project.",
    ),
    event(
        "discarded",
        0xa57cabee_51a841e5_b6d5202b_2a223ffc,
        "Changes of a session on an overlay were thrown away.",
    ),
    event(
        "trusted",
        0x30d23b44_6bfa4028_ab24215a_ec13e8ae,
        "A person accepted a project's own file, and what their profile puts into sessions.",
    ),
    event(
        "profile-reset",
        0xf67b5023_113c4289_a6b3eee0_f9f63d1a,
        "All that was kept for a profile was removed.",
    ),
];

const fn event(name: &'static str, message_id: u128, says: &'static str) -> Event {
    Event { name, message_id, says }
}

impl Event {
    /// The class with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        EVENTS.iter().find(|event| event.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_name_and_a_random_id_of_its_own() {
        for (at, event) in EVENTS.iter().enumerate() {
            for other in &EVENTS[..at] {
                assert!(event.name != other.name && event.message_id != other.message_id, "{}", event.name);
            }
            // Version 4 of RFC 9562, as systemd-id128(1) makes them.
            assert_eq!((event.message_id >> 76) & 0xf, 4, "{}", event.name);
            assert_eq!((event.message_id >> 62) & 3, 2, "{}", event.name);
            assert_eq!(Event::named(event.name), Some(event));
        }
    }
}

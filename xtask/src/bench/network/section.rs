//! The part of docs/BENCHMARKS.md about the network.

use super::crowd::Crowd;
use super::pull::Pull;
use super::{Measured, Network};
use crate::table::Table;

impl Network {
    pub(in crate::bench) fn markdown(&self) -> String {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let lab = format!(
            "In two network namespaces with a wire between them and no way out of either. Direct: the same client on the \
             same wire, without a session. Client, gate and server share {processors} processors; client and server alone \
             fill two.\n"
        );
        [lab, self.names(), self.connections(), self.pulls(), crowd(&self.crowd)].concat()
    }

    fn names(&self) -> String {
        let mut table = Table::new(&["answer for a name", "median µs", "p95 µs", "answers/s, many at once"]);
        for (row, rate) in self.names.one.iter().zip(self.names.flood) {
            table.row([
                row.name.clone(),
                micros(row.median_ms()),
                micros(row.p95_ms()),
                format!("{rate:.0}"),
            ]);
        }
        let core = self.names.per_core.map_or("not measured".to_owned(), |rate| format!("{rate:.0}"));
        format!(
            "\nAnswers of the gate in a second of its own time on a processor: {core}. The forwarder sends each \
             question on to a resolver; the gate answers a name that a rule allows by itself.\n\n{}",
            table.markdown()
        )
    }

    fn connections(&self) -> String {
        let mut table = Table::new(&["new connection, to the first byte", "median µs", "p95 µs", "added µs"]);
        let direct = self.connections.first().and_then(Measured::median_ms);
        for row in &self.connections {
            let added = row.median_ms().zip(direct).map(|(mine, direct)| mine - direct);
            table.row([row.name.clone(), micros(row.median_ms()), micros(row.p95_ms()), micros(added)]);
        }
        format!("\n{}", table.markdown())
    }

    fn pulls(&self) -> String {
        let head = ["download, 1 GiB", "direct MiB/s", "gate MiB/s", "of direct", "srt MiB/s", "of direct"];
        let mut table = Table::new(&head);
        let mut missing = Vec::new();
        for Pull { streams, direct, gate, peer } in &self.pulls {
            let rate = |measured| Pull::rate(measured).map_or("–".to_owned(), |rate| format!("{rate:.0}"));
            let share = |measured: &Measured| {
                measured.speed_against(direct).map_or("–".to_owned(), |share| format!("{share:.2}"))
            };
            let name = if *streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") };
            table.row([name, rate(direct), rate(gate), share(gate), rate(peer), share(peer)]);
            for measured in [direct, gate, peer] {
                if let Err(why) = &measured.times {
                    missing.push(format!("* {}, {streams} at once: {why}\n", measured.name));
                }
            }
        }
        let mut out = format!(
            "\ncurl over HTTP. srt: the proxy of sandbox-runtime, with the same name allowed.\n\n\
             ![Download through the gate](benchmarks/download.svg)\n\n{}",
            table.markdown()
        );
        if !missing.is_empty() {
            out.push_str(&format!("\nNot measured:\n\n{}", missing.concat()));
        }
        out
    }
}

fn crowd(crowd: &Crowd) -> String {
    let mut table =
        Table::new(&["start of a session with network `allowlist`", "median ms", "against the first"]);
    let cell = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
    for row in [&crowd.first, &crowd.last] {
        let ratio = row.median_ms().zip(crowd.first.median_ms()).map(|(mine, first)| mine / first);
        let ratio = ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}×"));
        table.row([row.name.clone(), cell(row.median_ms()), ratio]);
    }
    let mut out = format!("\n{} sessions lived at once", crowd.sessions);
    out.push_str(&crowd.why_no_more.as_ref().map_or(".".to_owned(), |why| format!("; then: {why}.")));
    let [one, all] = crowd.ruleset;
    out.push_str(&format!(
        " The host's table had {} rules and {} elements with one session, {} rules and {} elements with all.",
        one.rules, one.elements, all.rules, all.elements
    ));
    if let Some((sessions, weight)) = crowd.weight {
        let mib = |kb: f64| kb / 1024.0;
        out.push_str(&format!(
            " Memory of a session (proportional set size, of {sessions}): gate {:.2} MiB, launcher {:.2} MiB, \
             together {:.2} MiB.",
            mib(weight.gate),
            mib(weight.launcher),
            mib(weight.gate + weight.launcher)
        ));
    }
    out.push_str(&format!("\n\n{}", table.markdown()));
    out
}

fn micros(ms: Option<f64>) -> String {
    ms.map_or("–".to_owned(), |ms| format!("{:.1}", ms * 1000.0))
}

#[cfg(test)]
mod tests {
    use super::super::crowd::{Ruleset, Weight};
    use super::super::names::Names;
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_section_has_ratios_and_reasons() {
        let row = |name: &str, micros: u64| Measured {
            name: name.to_owned(),
            times: Ok(vec![Duration::from_micros(micros)]),
        };
        let network = Network {
            names: Names {
                one: vec![row("bare", 20), row("gate", 30)],
                flood: [1000.0, 2000.0],
                per_core: Some(30_000.0),
            },
            connections: vec![row("direct", 100), row("gate", 350)],
            pulls: vec![Pull {
                streams: 2,
                direct: row("direct", 90_000),
                gate: row("gate", 100_000),
                peer: Measured::not("srt", "no socat"),
            }],
            crowd: Crowd {
                sessions: 200,
                why_no_more: Some("full".to_owned()),
                first: row("1 to 20", 10_000),
                last: row("181 to 200", 12_000),
                weight: Some((100, Weight { gate: 1024.0, launcher: 512.0 })),
                ruleset: [Ruleset { rules: 9, elements: 0 }; 2],
            },
        };
        let text = network.markdown();
        for part in [
            "processor: 30000",
            "| 250.0 ",
            "| 0.90 ",
            "* srt, 2 at once: no socat",
            "200 sessions lived at once; then: full.",
            "together 1.50 MiB",
            "1.20×",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

//! The tables: each figure with its spread, and as a multiple of nginx's in the same turn.

use std::fmt::Write as _;

use crate::peers::Peer;
use crate::scenario::{Metric, Sample, Samples, Scenario};
use crate::stats::{differences, median, ratios, spread};

/// What was measured of one scenario.
pub struct Measured {
    pub scenario: &'static Scenario,
    pub tls: bool,
    pub samples: Samples,
}

/// What must hold of the relay.
pub struct Target {
    /// What the row is called.
    pub name: &'static str,
    pub scenario: &'static str,
    pub tls: bool,
    pub metric: Metric,
    pub bound: Bound,
    /// Where the relay should get.
    pub goal: f64,
}

/// How a figure is held against its limit.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// At most so many times nginx's.
    AtMost(f64),
    /// At least so many times nginx's.
    AtLeast(f64),
    /// At most so much, in the metric's own unit.
    Absolute(f64),
}

const fn target(
    name: &'static str,
    scenario: &'static str,
    tls: bool,
    metric: Metric,
    bound: Bound,
    goal: f64,
) -> Target {
    Target {
        name,
        scenario,
        tls,
        metric,
        bound,
        goal,
    }
}

use Bound::{Absolute, AtLeast, AtMost};
use Metric::{Busy, Cpu, First, HarnessBusy, IdleMemory, Memory, P50, P99, PerSecond, Ready};

/// All of them.
pub const TARGETS: [Target; 15] = [
    target(
        "JSON request, TLS upstream",
        "json",
        true,
        Cpu,
        AtMost(0.90),
        0.55,
    ),
    target(
        "JSON request, plain upstream",
        "json",
        false,
        Cpu,
        AtMost(1.25),
        0.75,
    ),
    target(
        "SSE chunk, paced, TLS upstream",
        "sse",
        true,
        Cpu,
        AtMost(1.0),
        0.70,
    ),
    target(
        "SSE chunk, paced, plain upstream",
        "sse",
        false,
        Cpu,
        AtMost(1.10),
        0.75,
    ),
    target(
        "SSE un-paced, chunks a second, TLS upstream",
        "sse-burst",
        true,
        PerSecond,
        AtLeast(0.75),
        1.25,
    ),
    target(
        "SSE un-paced, chunks a second, plain upstream",
        "sse-burst",
        false,
        PerSecond,
        AtLeast(0.75),
        1.25,
    ),
    target(
        "WebSocket round trip, TLS upstream",
        "ws",
        true,
        Cpu,
        AtMost(0.85),
        0.80,
    ),
    target(
        "WebSocket round trip, plain upstream",
        "ws",
        false,
        Cpu,
        AtMost(1.0),
        0.95,
    ),
    target(
        "8 KB audio delta, TLS upstream",
        "ws-audio",
        true,
        Cpu,
        AtMost(0.80),
        0.70,
    ),
    target(
        "8 KB audio delta, plain upstream",
        "ws-audio",
        false,
        Cpu,
        AtMost(0.85),
        0.75,
    ),
    target(
        "KiB of an idle session, plain upstream",
        "ws-idle",
        false,
        Memory,
        Absolute(2.0),
        1.0,
    ),
    target(
        "KiB of an idle session, TLS upstream",
        "ws-idle",
        true,
        Memory,
        Absolute(12.0),
        9.0,
    ),
    target(
        "KiB of a stalled reader",
        "stalled",
        false,
        Memory,
        Absolute(64.0),
        32.0,
    ),
    target(
        "ms until ready",
        "start",
        false,
        Ready,
        Absolute(50.0),
        15.0,
    ),
    target(
        "MiB at rest",
        "start",
        false,
        IdleMemory,
        Absolute(12.0),
        9.0,
    ),
];

impl Metric {
    fn heading(self) -> &'static str {
        match self {
            PerSecond => "per second",
            Cpu => "CPU µs each",
            P50 => "p50 µs (over direct)",
            P99 => "p99 µs (over direct)",
            First => "first byte p50 µs",
            Memory => "KiB each",
            Ready => "ready ms",
            IdleMemory => "MiB at rest",
            Busy => "relay busy",
            HarnessBusy => "harness busy",
        }
    }

    /// Whether it is also shown as a multiple of nginx's.
    fn is_compared(self) -> bool {
        matches!(self, PerSecond | Cpu | Memory | Ready | IdleMemory)
    }

    fn is_latency(self) -> bool {
        matches!(self, P50 | P99)
    }

    fn show(self, value: f64) -> String {
        match self {
            Busy | HarnessBusy => format!("{:.0} %", value * 100.0),
            PerSecond | P50 | P99 | First => thousands(value),
            _ if value >= 100.0 => format!("{value:.0}"),
            _ => format!("{value:.1}"),
        }
    }
}

/// All repetitions of a figure.
fn values(samples: &[Sample], metric: Metric) -> Vec<f64> {
    samples
        .iter()
        .filter_map(|sample| sample.get(&metric).copied())
        .collect()
}

impl Measured {
    fn values(&self, peer: Peer, metric: Metric) -> Vec<f64> {
        self.samples
            .get(&peer)
            .map(|samples| values(samples, metric))
            .unwrap_or_default()
    }

    /// A peer's multiples of nginx.
    fn ratios(&self, peer: Peer, metric: Metric) -> Vec<f64> {
        ratios(
            &self.values(peer, metric),
            &self.values(Peer::Nginx, metric),
        )
    }

    /// How the build beside the relay compares with it: a line for each metric.
    pub fn beside(&self) -> String {
        let compared = [Cpu, Memory].into_iter().filter_map(|metric| {
            let [theirs, ours] = [Peer::Beside, Peer::Relay].map(|peer| self.values(peer, metric));
            let found = ratios(&theirs, &ours);
            let (ratio, spread) = (median(&found)?, show_spread(&found));
            let heading = metric.heading();
            Some(format!(
                "The build beside it: {ratio:.3}{spread} × openai-relay ({heading})\n"
            ))
        });
        compared.collect()
    }

    /// The table in Markdown.
    pub fn table(&self) -> String {
        let mut out = String::from("| relay |");
        let mut rule = String::from("| --- |");
        for metric in self.scenario.metrics {
            let _ = write!(out, " {} |", metric.heading());
            rule.push_str(" --- |");
            if metric.is_compared() {
                out.push_str(" × nginx |");
                rule.push_str(" --- |");
            }
        }
        let _ = write!(out, "\n{rule}\n");
        for peer in Peer::ALL
            .into_iter()
            .filter(|peer| self.samples.contains_key(peer))
        {
            let name = if peer == Peer::Relay {
                format!("**{}**", peer.name())
            } else {
                peer.name().to_owned()
            };
            let _ = write!(out, "| {name} |");
            for metric in self.scenario.metrics {
                self.write_cells(&mut out, peer, *metric);
            }
            out.push('\n');
        }
        out
    }

    fn write_cells(&self, out: &mut String, peer: Peer, metric: Metric) {
        let found = self.values(peer, metric);
        let shown = match median(&found) {
            None => "–".to_owned(),
            Some(middle) if metric.is_latency() => {
                let over = differences(&found, &self.values(Peer::Direct, metric));
                let over = median(&over).filter(|_| peer != Peer::Direct);
                let over = over.map_or_else(|| "–".to_owned(), |over| format!("{over:+.0}"));
                format!("{} ({over})", metric.show(middle))
            }
            Some(middle) => format!("{}{}", metric.show(middle), show_spread(&found)),
        };
        let _ = write!(out, " {shown} |");
        if metric.is_compared() {
            let found = self.ratios(peer, metric);
            let shown = median(&found).map_or_else(
                || "–".to_owned(),
                |ratio| format!("{ratio:.2}{}", show_spread(&found)),
            );
            let _ = write!(out, " {shown} |");
        }
    }
}

/// What must hold, row by row, as far as it was measured. Markdown, and how many do not hold; `None`
/// where nothing was measured that must.
pub fn judge(measured: &[Measured]) -> Option<(String, usize)> {
    let mut out = String::from(
        "| what | must hold | measured | spread | holds | the goal |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    let (mut judged, mut broken) = (0, 0);
    for target in &TARGETS {
        let found = measured.iter().find(|measured| {
            measured.scenario.name == target.scenario && measured.tls == target.tls
        });
        let Some(found) = found else { continue };
        let (figures, limit, sign, unit) = match target.bound {
            AtMost(limit) => (
                found.ratios(Peer::Relay, target.metric),
                limit,
                "≤",
                " × nginx",
            ),
            AtLeast(limit) => (
                found.ratios(Peer::Relay, target.metric),
                limit,
                "≥",
                " × nginx",
            ),
            Absolute(limit) => (found.values(Peer::Relay, target.metric), limit, "≤", ""),
        };
        let Some(figure) = median(&figures) else {
            continue;
        };
        let holds = holds(target.bound, figure);
        judged += 1;
        broken += usize::from(!holds);
        let _ = writeln!(
            out,
            "| {} | {sign} {limit}{unit} | {figure:.2} |{} | {} | {} |",
            target.name,
            show_spread(&figures),
            if holds { "yes" } else { "**no**" },
            target.goal,
        );
    }
    (judged > 0).then_some((out, broken))
}

fn holds(bound: Bound, figure: f64) -> bool {
    match bound {
        AtMost(limit) | Absolute(limit) => figure <= limit,
        AtLeast(limit) => figure >= limit,
    }
}

fn show_spread(values: &[f64]) -> String {
    spread(values).map_or_else(String::new, |spread| format!(" ±{:.0} %", spread * 100.0))
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::scenario::SCENARIOS;

    fn measured(relay: &[f64], nginx: &[f64]) -> Measured {
        let samples = |values: &[f64]| {
            values
                .iter()
                .map(|cpu| Sample::from([(Cpu, *cpu)]))
                .collect()
        };
        Measured {
            scenario: &SCENARIOS[0],
            tls: true,
            samples: BTreeMap::from([(Peer::Relay, samples(relay)), (Peer::Nginx, samples(nginx))]),
        }
    }

    #[test]
    fn a_row_holds_by_the_median_of_its_ratios() {
        let (text, broken) =
            judge(&[measured(&[8.0, 18.0, 50.0], &[10.0, 20.0, 30.0])]).expect("a row");
        assert_eq!(broken, 0, "{text}");
        assert!(
            text.contains("| JSON request, TLS upstream | ≤ 0.9 × nginx | 0.90 |"),
            "{text}"
        );
        let (text, broken) =
            judge(&[measured(&[10.0, 10.0, 1.0], &[10.0, 10.0, 10.0])]).expect("a row");
        assert!(judge(&[]).is_none());
        assert!(broken == 1 && text.contains("**no**"), "{text}");
    }

    #[test]
    fn every_target_names_a_scenario_that_shows_its_metric() {
        for target in &TARGETS {
            let scenario = SCENARIOS
                .iter()
                .find(|scenario| scenario.name == target.scenario);
            assert!(
                scenario.is_some_and(|scenario| scenario.metrics.contains(&target.metric)),
                "{}",
                target.name
            );
        }
        assert!(holds(AtLeast(0.75), 0.75) && !holds(AtLeast(0.75), 0.74));
    }

    #[test]
    fn a_table_shows_figures_with_spread_and_ratio() {
        let table = measured(&[9.0, 10.0, 11.0], &[10.0, 10.0, 10.0]).table();
        assert!(
            table.contains("| **openai-relay** | – | – | 10.0 ±10 % | 1.00 ±10 % |"),
            "{table}"
        );
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(999.0), "999");
    }
}

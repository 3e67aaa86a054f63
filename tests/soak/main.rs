//! The long rows of the promises: one line each, with figure, limit, and pass or fail.
//!
//! `scripts/soak` runs all of them, `scripts/soak P01 P16` those. Needs Linux and root for P33.

// A run may stop at once, and its tasks end with it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

mod accounts;
mod dns;
mod leaks;
mod legit;
mod limits;
mod memory;
mod rolling;
mod slow;
mod sockets;
mod stop;

#[path = "../relay/support/mod.rs"]
mod support;

use std::time::Duration;

use support::trust;

/// What a row has shown.
pub struct Row {
    /// In words, with units.
    measured: String,
    passed: bool,
}

impl Row {
    fn new(passed: bool, measured: String) -> Row {
        Row { measured, passed }
    }
}

const ROWS: [&str; 15] = [
    "P01", "P02", "P03", "P16", "P23", "P24", "P30", "P33", "P36", "P37", "P38", "P42", "P43",
    "P46", "P48",
];

async fn run(row: &str, time: Option<Duration>) -> Row {
    match row {
        "P01" => slow::heads(time.unwrap_or(Duration::from_secs(120))).await,
        "P02" => slow::bodies().await,
        "P03" => slow::readers().await,
        "P16" => memory::beyond_the_budget().await,
        "P23" => accounts::nobody_is_found_by_time().await,
        "P24" => accounts::guesses().await,
        "P30" => limits::redis_and_relays_die().await,
        "P38" => accounts::killed().await,
        "P46" => accounts::a_hundred_thousand().await,
        "P33" => dns::fails(time.unwrap_or(Duration::from_secs(600))).await,
        "P48" => limits::a_million_addresses().await,
        "P36" => stop::gracefully().await,
        "P37" => rolling::restarts().await,
        "P43" => sockets::exact_and_idle(time.unwrap_or(Duration::from_secs(300))).await,
        "P42" => leaks::chaos(time.unwrap_or(Duration::from_secs(1800))).await,
        _ => Row::new(false, "there is no such row".to_owned()),
    }
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--")
        .collect();
    if arguments.first().is_some_and(|word| word == "dns-within") {
        return dns::within();
    }
    let seconds = arguments
        .iter()
        .find_map(|word| word.strip_prefix("--seconds="));
    let time = seconds.map(|text| Duration::from_secs(text.parse().expect("seconds")));
    let wanted: Vec<&str> = match arguments
        .iter()
        .filter(|word| word.starts_with('P'))
        .count()
    {
        0 => ROWS.to_vec(),
        _ => arguments
            .iter()
            .map(String::as_str)
            .filter(|word| word.starts_with('P'))
            .collect(),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut all_passed = true;
    for name in wanted {
        let row = runtime.block_on(run(name, time));
        let verdict = if row.passed { "pass" } else { "FAIL" };
        println!("{name}  {verdict}  {}", row.measured);
        trust::record_by(
            name,
            &format!("{}: {verdict}", row.measured),
            "scripts/soak",
        );
        all_passed &= row.passed;
    }
    std::process::ExitCode::from(u8::from(!all_passed))
}

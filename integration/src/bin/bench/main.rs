//! `bench`: how fast and how small `saltfo` is, measured on real masters and minions in a lab.

mod binary;
mod crowd;
mod fault;
mod faults;
mod inner;
mod keys;
mod lookup;
mod machine;
mod memory;
mod plan;
mod relay;
mod release;
mod report;
mod round_trip;
mod run;
mod samples;
mod sidecar;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use integration::{Progress, SaltVersion};

use crate::machine::Machine;
use crate::plan::Plan;
use crate::report::{Release, Report, Row};

/// Measures saltfo on two real salt-masters and their minions, each host in a network namespace of its own.
#[derive(Debug, Parser)]
#[command(
    name = "bench",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  cargo run --release -p integration --bin bench
  cargo run --release -p integration --bin bench -- --salt 3006 --salt 3008 --json bench.json
  cargo run --release -p integration --bin bench -- --runs 10       a quick look
  cargo run --release -p integration --bin bench -- run             saltfo run, beside salt on the master
  cargo run --release -p integration --bin bench -- agent           the sidecar
  cargo run --release -p integration --bin bench -- relay           the sidecar as a relay
  cargo run --release -p integration --bin bench -- keys            pki-tools, on a client of 1,000 servers

Takes about six minutes for each release of Salt, as does `run`; `agent` takes half an hour and `relay` ten minutes. Everything that is compared was measured in turns, so ratios within
a run say more than milliseconds. Keep the machine quiet: its load is in the report.

Exits 0 when everything was measured, whether or not a target is met; 1 when something could not be measured or
saltfo gave a wrong answer."
)]
struct Arguments {
    #[command(flatten)]
    bench: Bench,
    #[command(subcommand)]
    other: Option<Other>,
}

#[derive(Debug, Args)]
struct Bench {
    /// A release of Salt: 3006, 3007 or 3008; may be given several times [default: 3008]
    #[arg(long = "salt", value_name = "RELEASE")]
    versions: Vec<SaltVersion>,
    /// How often to measure what takes a fraction of a second
    #[arg(long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    runs: u32,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Output {
    /// What to print on stdout: a table, or one JSON document with every sample
    #[arg(long, value_enum, default_value_t = Out::Text)]
    out: Out,
    /// Also write the JSON document to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Measures saltfo run beside salt on the master: one job at a time, and fifty at once for ten minions
    Run(Bench),
    /// Measures saltfo agent: how soon it notices a fault, and what it costs its host and the masters
    #[command(mut_arg("runs", |runs| {
        runs.default_value("5").value_parser(clap::value_parser!(u32).range(1..=100))
            .help("How often to cause each fault, and to measure the masters with and without it (three times at most)")
    }))]
    Agent(Bench),
    /// Measures the relay: how soon jobs get through the other master after a fault, and what it adds to requests and files
    #[command(mut_arg("runs", |runs| {
        runs.default_value("10").value_parser(clap::value_parser!(u32).range(1..=100))
            .help("How often to cause each fault, and to fetch a large file (seven times at most)")
    }))]
    Relay {
        #[command(flatten)]
        bench: Bench,
        /// Measure Salt's own failover instead, without a relay: once for each fault, for at most seven minutes each
        #[arg(long)]
        salt_alone: bool,
    },
    /// Measures pki-tools: making keys beside OpenSSL, editing a large file, memory
    Keys {
        /// Servers of the client
        #[arg(long, value_name = "N", default_value = "1000")]
        servers: usize,
        #[command(flatten)]
        output: Output,
    },
    /// Measures on a host of the lab; the bench starts this
    #[command(hide = true)]
    Inner(inner::Inner),
    /// Asks the sidecar of a host of the lab; the bench starts this
    #[command(hide = true)]
    Ask(sidecar::Ask),
    /// Asks a master through the relay of a host of the lab, and straight; the bench starts this
    #[command(hide = true)]
    Latency(relay::Latency),
}

/// How results are written: Salt's own option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Out {
    /// For people, and for Markdown
    Text,
    /// One document
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.other {
        Some(Other::Inner(inner)) => inner.run().map(|()| ExitCode::SUCCESS),
        Some(Other::Ask(ask)) => ask.run().map(|()| ExitCode::SUCCESS),
        Some(Other::Latency(latency)) => latency.run().map(|()| ExitCode::SUCCESS),
        Some(Other::Relay { bench, salt_alone }) => {
            let measure = if *salt_alone {
                relay::measure_salt_alone
            } else {
                relay::measure
            };
            bench.run(measure, "", |_| Ok(Vec::new()))
        }
        Some(Other::Agent(bench)) => bench.run(sidecar::measure, "", |_| Ok(Vec::new())),
        Some(Other::Run(bench)) => bench.run(run::measure, "", |_| Ok(Vec::new())),
        Some(Other::Keys { servers, output }) => bench_keys(*servers, output),
        None => arguments.bench.run(release::measure, "the binary", binary::rows),
    };
    result.unwrap_or_else(|error| {
        eprintln!("bench: {error:#}");
        ExitCode::FAILURE
    })
}

impl Bench {
    /// `measure` measures one release; `others`, under this title, what needs no Salt.
    fn run(
        &self,
        measure: impl Fn(&Plan<'_>) -> anyhow::Result<Release>,
        title: &'static str,
        others: impl Fn(&Path) -> anyhow::Result<Vec<Row>>,
    ) -> anyhow::Result<ExitCode> {
        let progress = progress();
        progress.say("building saltfo");
        let saltfo = integration::build_saltfo()?;
        let mut report = Report::new(Machine::look(&saltfo)?, title, others(&saltfo)?);
        let versions = if self.versions.is_empty() {
            vec![SaltVersion::V3008]
        } else {
            self.versions.clone()
        };
        for version in versions {
            let plan = Plan {
                version,
                runs: self.runs,
                saltfo: &saltfo,
                progress: &progress,
            };
            report.releases.push(measure(&plan)?);
        }
        self.output.give(&report)
    }
}

impl Output {
    fn give(&self, report: &Report) -> anyhow::Result<ExitCode> {
        let json = serde_json::to_string_pretty(report)? + "\n";
        if let Some(path) = &self.json {
            std::fs::write(path, &json).with_context(|| format!("cannot write {}", path.display()))?;
        }
        match self.out {
            Out::Text => print!("{report}"),
            Out::Json => print!("{json}"),
        }
        Ok(if report.is_complete() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn bench_keys(servers: usize, output: &Output) -> anyhow::Result<ExitCode> {
    let progress = progress();
    progress.say("building pki-tools");
    let pki_tools = integration::build_pki_tools()?;
    let machine = Machine::look(&pki_tools)?;
    let rows = keys::rows(&pki_tools, servers, &progress)?;
    output.give(&Report::new(machine, "keys of a client", rows))
}

fn progress() -> Progress {
    let progress = Progress::new(|line| eprintln!("bench: {line}"));
    if cfg!(debug_assertions) {
        progress.say("this is a debug build: its numbers say nothing; use cargo run --release");
    }
    progress
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}

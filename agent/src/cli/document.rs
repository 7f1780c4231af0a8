//! The documents on stdout: their JSON shapes are part of the contract with scripts.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use super::CliError;
use super::args::Out;
use crate::config::{Config, MasterConfig};
use crate::locate::{Answer, Located};
use crate::probe::Probed;
use crate::state::{State, Verdict};

/// What `active-master --out json` prints for a minion.
#[derive(Debug, Serialize)]
pub(super) struct Lookup<'a> {
    minion: &'a str,
    active: Option<&'a str>,
    jid: Option<&'a str>,
    rtt_ms: Option<f64>,
    pub(super) masters: Vec<MasterLine<'a>>,
}

/// One master in a document.
#[derive(Debug, Serialize)]
pub(super) struct MasterLine<'a> {
    pub(super) name: &'a str,
    pub(super) address: &'a str,
    pub(super) state: State,
    pub(super) verified: bool,
    pub(super) latency_ms: Option<f64>,
    pub(super) error: Option<Cow<'a, str>>,
}

/// What `probe --out json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Probe<'a> {
    pub(super) masters: Vec<ProbeLine<'a>>,
}

/// One master in it.
#[derive(Debug, Serialize)]
pub(super) struct ProbeLine<'a> {
    #[serde(flatten)]
    pub(super) master: MasterLine<'a>,
    /// One encrypted request over the open connection.
    pub(super) request_ms: Option<f64>,
    /// The publish port.
    pub(super) publish: PublishPort<'a>,
}

/// The publish port in a probe. Not verified: a PING is answered by whoever is there.
#[derive(Debug, Serialize)]
pub(super) struct PublishPort<'a> {
    pub(super) port: u16,
    pub(super) ping_ms: Option<f64>,
    pub(super) error: Option<&'a str>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(config: &'a Config, located: &'a Located, answer: &'a Answer) -> Self {
        let found = answer.found.as_ref();
        let masters = config.masters.iter().zip(&located.masters).enumerate();
        Self {
            minion: answer.minion.as_str(),
            active: found
                .and_then(|found| config.masters.get(found.master))
                .map(|master| master.name.as_str()),
            jid: found.map(|found| found.jid.as_str()),
            rtt_ms: found.map(|found| milliseconds(found.rtt)),
            masters: masters
                .map(|(index, (master, asked))| {
                    let mut line = MasterLine::new(master, &asked.verdict, asked.latency);
                    if found.is_some_and(|found| found.master == index) {
                        (line.state, line.error) = (State::Active, None);
                    } else if answer.unknown_to.contains(&index) {
                        line.state = State::UnknownMinion;
                        line.error = Some(format!("has no accepted key of {}", answer.minion).into());
                    }
                    line
                })
                .collect(),
        }
    }
}

impl Lookup<'_> {
    pub(super) fn minion(&self) -> &str {
        self.minion
    }

    pub(super) fn active(&self) -> Option<&str> {
        self.active
    }
}

impl<'a> MasterLine<'a> {
    fn new(master: &'a MasterConfig, verdict: &'a Verdict, latency: Option<Duration>) -> Self {
        Self {
            name: master.name.as_str(),
            address: master.address.as_str(),
            state: verdict.state,
            verified: verdict.verified,
            latency_ms: latency.map(milliseconds),
            error: verdict.error.as_deref().map(Cow::Borrowed),
        }
    }
}

impl<'a> Probe<'a> {
    pub(super) fn new(config: &'a Config, probed: &'a [Probed]) -> Self {
        let line = |(master, probed): (&'a MasterConfig, &'a Probed)| ProbeLine {
            master: MasterLine::new(master, &probed.verdict, probed.latency),
            request_ms: probed.request.map(milliseconds),
            publish: PublishPort {
                port: master.publish_port,
                ping_ms: probed.publish.as_ref().ok().copied().map(milliseconds),
                error: probed.publish.as_ref().err().map(String::as_str),
            },
        };
        Self {
            masters: config.masters.iter().zip(probed).map(line).collect(),
        }
    }
}

/// Prints the one document of a run.
pub(super) fn print<T: Serialize>(document: &T, out: Out, text: &str) -> Result<(), CliError> {
    let printed = match out {
        Out::Text => text.to_owned(),
        Out::Json => {
            let json = serde_json::to_string_pretty(document);
            json.map_err(|error| CliError::Print(error.to_string()))? + "\n"
        }
        Out::Yaml => {
            let yaml = serde_saphyr::to_string(document);
            let yaml = yaml.map_err(|error| CliError::Print(error.to_string()))?;
            if yaml.ends_with('\n') { yaml } else { yaml + "\n" }
        }
    };
    write(&printed)
}

/// Writes to stdout, without colours where they are not wanted.
pub(super) fn write(text: &str) -> Result<(), CliError> {
    write_to(anstream::stdout().lock(), text)
}

/// Writes to stdout, byte for byte.
pub(super) fn write_as_it_is(text: &str) -> Result<(), CliError> {
    write_to(std::io::stdout().lock(), text)
}

fn write_to(mut stdout: impl std::io::Write, text: &str) -> Result<(), CliError> {
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever read has enough; the exit code is still that of the masters.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Milliseconds with microseconds behind the point: more digits say nothing.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

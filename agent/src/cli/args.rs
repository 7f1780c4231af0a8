//! The arguments, their help and their examples.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use colorchoice_clap::Color;
use proto::message::{Jid, MinionId};

use crate::output::StateOutput;

/// Multi-master failover for Salt: which master has the minion, proven by a round trip
#[derive(Debug, Parser)]
#[command(name = "saltfo", version, about, max_term_width = 100, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  saltfo active-master minion01                          print the master that minion01 answers through
  saltfo run minion01 state.apply app.deploy             dispatch a state there, wait, print the return
  saltfo --config xyz/saltfo.yaml probe                  look at every master of the client Xyz
  saltfo --minion-config /etc/salt/minion probe          speak as the minion of this host
  saltfo --client clients/xyz.yaml probe                 take all that from the client's YAML

Masters and identity come from the first of --config (or SALTFO_CONFIG), --minion-config and --client that is given.
A saltfo.yaml without `id` and `pki` speaks as this host's minion.

Exit codes:
  0  done
  1  the job ran and failed
  2  usage or configuration; nothing was sent
  3  the minion answers through no master
  4  no master could be reached
  5  a master failed verification, and no verified master has the minion
  6  refused: our key is not accepted there, or `peer:` does not allow this function
  7  dispatched, but what became of the job is not known: jid and master are printed";

#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Masters and identity from this saltfo.yaml [default: /etc/saltfo/saltfo.yaml]
    #[arg(long, value_name = "FILE", env = "SALTFO_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Masters and identity of a salt-minion, from its own configuration
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) minion_config: Option<PathBuf>,
    /// Masters and dispatch identity of a client, from its YAML as pki-tools gen leaves it
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) client: Option<PathBuf>,
    /// Passphrase of sealed keys in --client: the first line of this file [default: $PKI_TOOLS_PASSPHRASE, or asked for]
    #[arg(long, value_name = "FILE", conflicts_with = "key_file", global = true)]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Key file of sealed keys in --client
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) key_file: Option<PathBuf>,
    /// Form of the result on stdout
    #[arg(long, value_enum, value_name = "FORM", default_value = "text", global = true)]
    pub(crate) out: Out,
    /// Give up after so many seconds; fractions are taken [default: 10; for run: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, global = true)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) color: Color,
    /// Say more on stderr: each master's verdict (-v), each step (-vv)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Form of log lines on stderr
    #[arg(long, value_enum, value_name = "FORM", default_value = "text", global = true)]
    pub(crate) log_format: LogFormat,
    /// Accept a private key that others than its owner can read
    #[arg(long, global = true)]
    pub(crate) insecure_permissions: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at every master: reachable? verified? key accepted? how fast?
    #[command(after_help = PROBE_HELP)]
    Probe,
    /// Print the name of the master through which a minion answers now, and nothing else
    #[command(after_help = ACTIVE_MASTER_HELP)]
    ActiveMaster(ActiveMaster),
    /// Dispatch a function to minions at most once, wait for it, and print what it returned
    #[command(after_help = RUN_HELP, override_usage = RUN_USAGE)]
    Run(Run),
    /// Watch masters and the local minion, report, and help it if it is told to: the sidecar
    #[command(after_help = AGENT_HELP)]
    Agent,
    /// Print what the local sidecar knows
    #[command(after_help = STATUS_HELP)]
    Status(Status),
    /// Move the local minion to another master (mode relay)
    #[command(after_help = MOVE_HELP)]
    Move(Move),
    /// Keep the local minion away from a master (mode relay)
    #[command(after_help = DRAIN_HELP)]
    Drain(Drain),
    /// Lead this host's minion to the relay of its sidecar, or back to its masters
    #[command(after_help = SETUP_HELP)]
    Setup(Setup),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  saltfo completions bash > /etc/bash_completion.d/saltfo")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page
    #[command(after_help = "Examples:\n  saltfo man > saltfo.1\n  saltfo man active-master | man -l -")]
    Man {
        /// Of this command [default: of saltfo itself]
        command: Option<String>,
    },
}

const PROBE_HELP: &str = "\
Signs in at each master and sends one small encrypted request; pings the publish port. Publishes nothing.

Examples:
  saltfo probe
  saltfo probe --out json --timeout 3

Exit codes: 0 if no master is worse than unreachable and one at least is verified; else 4, 5 or 6.";

const AGENT_HELP: &str = "\
Runs beside a salt-minion until SIGTERM; SIGHUP reads the configuration again. Needs no file of its
own: without one it takes everything from /etc/salt/minion and speaks as that minion. A saltfo.yaml
with a section `sidecar:` alone changes how it behaves; what it leaves away of `masters` and of
`id` and `pki` is the minion's.

It reports at http://127.0.0.1:9745: /status, /active-master, /healthz, /readyz, /metrics.

Examples:
  saltfo agent
  saltfo agent --minion-config /srv/other/minion
  saltfo agent --config /etc/saltfo/saltfo.yaml --log-format json

Exit codes: 0 when it was stopped; 2 if the configuration can never work. Files that are not there
yet, or that it may not read, are waited for.";

const MOVE_HELP: &str = "\
Tells the sidecar on this host to carry the minion's messages to another master that is up: what is
under way ends where it began, and the minion is proven to answer there; if it does not, it gets the
old master back. Needs mode relay, and root.

Examples:
  saltfo move                 to any other master that is up
  saltfo move salt2.example   to this one

Exit codes: 0 moved, or it was there; 1 moved back, as it did not answer; 2 no relay, or no such master;
3 that master, or every other one, is not up; 7 no word from the sidecar in time.";

const DRAIN_HELP: &str = "\
Moves the minion off a master, say for maintenance, and keeps it away as long as another one is up. It
is forgotten when the sidecar is restarted, and when the minion is moved there. Needs mode relay, and root.

Examples:
  saltfo drain salt1.example
  saltfo drain salt1.example --end

Exit codes: those of `saltfo move`.";

const STATUS_HELP: &str = "\
Asks the sidecar on this host, at the address that `sidecar.listen` of saltfo.yaml says.

Examples:
  saltfo status
  saltfo status --out json
  saltfo status --listen 127.0.0.1:9746

Exit codes: 0 if jobs reach the minion, 3 if they do not, 2 if no sidecar answers.";

const SETUP_HELP: &str = "\
Prints what has to change on this host; with --apply it is done. The minion's own files stay as
they are: a drop-in that Salt reads last, minion.d/zz-saltfo-relay.conf, makes the relay its only
master, and without that file all is as it was. In saltfo.yaml the relay needs `masters:` (taken
from the minion's configuration) and `sidecar: {mode: relay}`: they are written if the file is not
there, and added at its end if nothing of it has to change for that. Files are written whole or not
at all; what was there is kept as FILE.bak, that of the drop-in beside its folder. Nothing is
restarted: do that, in this order.

To the relay, the sidecar first:
  saltfo setup relay                                     what would be written
  saltfo setup relay --apply
  systemctl restart saltfo && systemctl restart salt-minion

Back, at any time, also if the sidecar does not run:
  saltfo setup direct --apply && systemctl restart salt-minion

Other examples:
  saltfo setup relay --out json
  saltfo --minion-config /srv/2/minion --config /srv/2/saltfo.yaml setup relay --apply

Exit codes: 0 if it is done, can be done, or nothing is to do; 2 if something stands against it,
which is said with its place, and then nothing has been written.";

const ACTIVE_MASTER_HELP: &str = "\
Asks all masters at once: signs in, verifies, publishes test.ping for this one id and waits for the return.
The first verified answer wins; a dead, hung or lying other master costs nothing.

Examples:
  saltfo active-master minion01
  saltfo active-master minion01 --out json --timeout 5
  saltfo active-master minion01 --dotenv active.env      (GitLab's dotenv report)
  saltfo active-master -L minion01,minion02";

const RUN_USAGE: &str = "\
saltfo run [OPTIONS] MINION FUNCTION [ARG|KEY=VALUE]...
       saltfo run [OPTIONS] -L MINION,… FUNCTION [ARG|KEY=VALUE]...
       saltfo run [OPTIONS] MINION --base64 CMD
       saltfo run [OPTIONS] --jid JID MINION";

const RUN_HELP: &str = "\
Finds the master that the minion hangs on, publishes the job there, once, and waits for the
return. When that master dies meanwhile, the job is not published again: its return is looked for
on both masters and on the minion.

Examples:
  saltfo run minion01 state.apply app.deploy pillar='{\"version\": 3}'
  saltfo run minion01 cmd.run 'systemctl reload nginx' --timeout 60
  saltfo run -L minion01,minion02 --refresh-pillar state.apply test=True
  saltfo run minion01 --base64 \"$SALT_CMD\" --junit report.xml      in a pipeline
  saltfo run --jid 20261120184009763862 minion01         pick up the return of an earlier run

Exit codes:
  0  the job succeeded
  1  it ran and failed: a state with result False, an error text, a retcode other than 0
  7  dispatched, and what became of it is not known or cannot be written; the jid is on stderr
  and those of active-master if nothing was dispatched
With several minions it is the highest of all: beside 3 to 6 the job may have run on another minion,
so do not repeat such a run by its exit code.

A run that is cancelled (Ctrl-C, SIGTERM) exits with 7, or with 2 if nothing was dispatched.";

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Where it listens [default: sidecar.listen of saltfo.yaml, else 127.0.0.1:9745]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<std::net::SocketAddr>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Move {
    /// Its name, as `saltfo status` prints it [default: any other that is up]
    pub(crate) master: Option<String>,
    /// Where the sidecar's report is [default: sidecar.listen of saltfo.yaml, else 127.0.0.1:9745]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<std::net::SocketAddr>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    /// Its name, as `saltfo status` prints it
    pub(crate) master: String,
    /// The minion may be there again
    #[arg(long)]
    pub(crate) end: bool,
    /// Where the sidecar's report is [default: sidecar.listen of saltfo.yaml, else 127.0.0.1:9745]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<std::net::SocketAddr>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Setup {
    /// Where the minion is to be led
    #[arg(value_enum)]
    pub(crate) target: Target,
    /// Write it; without this it is only printed
    #[arg(long)]
    pub(crate) apply: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// To the relay
    Relay,
    /// Back to the masters of its own configuration
    Direct,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The id of one minion, the function and its arguments, as salt takes them
    #[arg(value_name = "WORD", allow_negative_numbers = true)]
    pub(crate) words: Vec<String>,
    /// Several minions: a block of output for each as it returns, the worst exit code
    #[arg(short = 'L', long, value_name = "MINION,…", value_delimiter = ',')]
    pub(crate) list: Vec<MinionId>,
    /// Look for the return of this job instead of dispatching one
    #[arg(long, value_name = "JID", value_parser = jid)]
    pub(crate) jid: Option<Jid>,
    /// Further arguments from a JSON file or stdin: a list, or {\"args\": […], \"kwargs\": {…}}
    #[arg(long, value_name = "FILE|-", conflicts_with = "jid")]
    pub(crate) arg_json: Option<PathBuf>,
    /// The function with its arguments as one word: base64 of a line that is split as a shell splits it
    #[arg(long, value_name = "CMD", conflicts_with = "jid")]
    pub(crate) base64: Option<String>,
    /// Let the minions render their pillar anew first
    #[arg(long, conflicts_with = "jid")]
    pub(crate) refresh_pillar: bool,
    /// Write the result to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out_file: Option<PathBuf>,
    /// Also write a JUnit report to this file, with a case for each state
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// How much the text says of each state
    #[arg(
        long,
        visible_alias = "state_output",
        value_enum,
        value_name = "HOW",
        default_value = "full"
    )]
    pub(crate) state_output: StateOutput,
    /// Whether the text shows states that succeeded and changed nothing
    #[arg(
        long,
        visible_alias = "state_verbose",
        value_name = "TRUE|FALSE",
        default_value = "true",
        action = clap::ArgAction::Set,
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub(crate) state_verbose: bool,
    /// What to do with the job on Ctrl-C or SIGTERM [default: leave; on a terminal, ask]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) on_cancel: Option<OnCancel>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnCancel {
    /// Kill it (saltutil.kill_job)
    Kill,
    /// Let it run
    Leave,
}

fn jid(text: &str) -> Result<Jid, String> {
    Jid::parse(text).map_err(|error| error.to_string())
}

#[derive(Debug, clap::Args)]
pub(crate) struct ActiveMaster {
    /// The id of one minion; patterns are refused
    #[arg(
        value_name = "MINION",
        required_unless_present = "list",
        conflicts_with = "list"
    )]
    pub(crate) minion: Option<MinionId>,
    /// Several minions at once: a line with minion, tab and master for each, the worst exit code
    #[arg(short = 'L', long, value_name = "MINION,…", value_delimiter = ',')]
    pub(crate) list: Vec<MinionId>,
    /// Also write SALTFO_MINION, SALTFO_ACTIVE_MASTER and SALTFO_ACTIVE_MASTER_ADDRESS to this file
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    pub(crate) dotenv: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Out {
    Text,
    Json,
    Yaml,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Common {
    /// `--timeout`, for commands that only ask.
    pub(crate) fn patience(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(10))
    }
}

/// More than a day is a mistake.
const LONGEST: f64 = 86_400.0;

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= LONGEST => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds above 0, at most 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_pattern_is_an_error_and_not_a_glob() {
        for pattern in ["*", "web?", "a,b", "../x"] {
            assert!(
                Args::try_parse_from(["saltfo", "active-master", pattern]).is_err(),
                "{pattern}"
            );
        }
        assert!(Args::try_parse_from(["saltfo", "active-master", "-L", "a,*"]).is_err());
        assert!(Args::try_parse_from(["saltfo", "active-master", "-L", "a,b"]).is_ok());
    }

    #[test]
    fn a_timeout_is_a_positive_number_of_seconds() {
        for text in ["0", "-1", "nan", "inf", "1e9", "x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    }
}

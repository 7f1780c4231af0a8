//! `pki-tools install`: a host's files, where Salt looks for them.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::ValueEnum;
use pki_tools::install::{self, Action, Function, Options, Report, User};

use super::args::{Out, PermissionArgs, SecretArgs};
use super::{Failure, print};

const AFTER: &str = "\
Examples:
  pki-tools install clients/xyz.yaml --host salt1.xyz.example --role master
  pki-tools install clients/xyz.yaml --host salt1.xyz.example --role master --user salt --prune
  pki-tools install clients/xyz.yaml --host salt1.xyz.example --role minion
  pki-tools install clients/xyz.yaml --host minion01.xyz.example --root /mnt/image --dry-run

A master gets its own key, master_sign, and the keys that it accepts: of every active server, of both masters'
own minions, and of the dispatch identity. A minion gets its key and the public half of master_sign; the minion
on a master's host, which needs --role minion, also gets that master's public key. Both get a saltfo.conf, in
master.d or minion.d. There a master that minions do not see at the ports 4505 and 4506 (external_ports) is written
as host:port, which is where requests go; publish_port is set if both have the same other one, because Salt has one
for all masters.

Nothing is written unless everything can be. A private key that differs is only replaced with --replace, and
then kept as NAME.pem.DATE. Links below etc/salt are not followed, but for those that Salt 3008 makes itself.

What the dispatch identity may do (--peer-allow): by default test.ping, test.version, state.*, grains.get,
grains.items, and of saltutil find_job, find_cached_job, is_running, running, kill_job, term_job, signal_job,
refresh_pillar, refresh_modules and sync_all. cmd.run is not among them, but mind that state.* is as powerful:
whoever has that key is root on every minion. What goes beyond: saltutil.* (cmd, runner and wheel reach other
minions and the master), cp.*, file.*, pillar.* and config.* (they read what is secret), cmd.*, and *.*.
Names are taken literally but for `*`, and are closed at both ends. publish.* is refused by Salt. It may also
ask the masters for jobs and their results (peer_run: jobs.list_job, jobs.list_jobs), of everybody's.";

/// Arguments of `install`.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// The client's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The master or server that this host is
    #[arg(long, value_name = "FQDN")]
    host: String,
    /// What runs there [default: what fits, if only one does]
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// The folder that is / on the host
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Who runs Salt there and gets the keys [default: root, or yourself if you are not]
    #[arg(long, value_name = "NAME|UID[:GID]")]
    user: Option<User>,
    /// Replace private keys that differ, and keep the old ones beside the new ones
    #[arg(long)]
    replace: bool,
    /// Remove accepted keys of ids that the client does not have, or not in use
    #[arg(long)]
    prune: bool,
    /// What the dispatch identity may call on minions, instead of the list below; `*` stands for anything
    #[arg(long, value_name = "FUNCTION", value_delimiter = ',')]
    peer_allow: Option<Vec<Function>>,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    permissions: PermissionArgs,
    #[command(flatten)]
    secrets: SecretArgs,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Out::Text)]
    out: Out,
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    Master,
    Minion,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut options = Options::new(&args.host);
    options.role = args.role.map(|role| match role {
        Role::Master => install::Role::Master,
        Role::Minion => install::Role::Minion,
    });
    options.root = args.root.clone();
    options.user = args.user.clone();
    options.replace = args.replace;
    options.prune = args.prune;
    options.peer_allow = args.peer_allow.clone();
    options.dry_run = args.dry_run;
    options.permissions = args.permissions.into();
    let report = install::run(&args.file, &options, &args.secrets.keyring(), SystemTime::now())?;
    let text = match args.out {
        Out::Text => {
            let style = anstyle::AnsiColor::Yellow.on_default().bold();
            for warning in &report.warnings {
                anstream::eprintln!("{style}warning:{style:#} {warning}");
            }
            text(&report)
        }
        Out::Json => {
            let mut text = serde_json::to_string_pretty(&report).map_err(io::Error::from)?;
            text.push('\n');
            text
        }
    };
    print(text.as_bytes())
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    for file in &report.files {
        let word = word(file.action, report.dry_run);
        // Writing to a text cannot fail.
        let _ = write!(out, "{word}  {}", file.path);
        if let Some(kept) = &file.kept {
            let verb = if report.dry_run { "would be kept" } else { "kept" };
            let _ = write!(out, " (old one {verb} as {kept})");
        }
        if let Some(because) = &file.because {
            let _ = write!(out, " ({because})");
        }
        out.push('\n');
    }
    if report.dry_run {
        out.push_str("dry run: nothing was written\n");
    }
    for next in &report.next {
        let _ = writeln!(out, "next, on {}: {} ({})", report.host, next.command, next.why);
    }
    if report.next.is_empty() {
        out.push_str("next: nothing, Salt need not be restarted\n");
    }
    out
}

/// What was done with a file, or would be; all of a length.
fn word(action: Action, dry_run: bool) -> &'static str {
    match (action, dry_run) {
        (Action::Made, false) => "made     ",
        (Action::Made, true) => "would make   ",
        (Action::Written, false) => "written  ",
        (Action::Written, true) => "would write  ",
        (Action::Replaced, false) => "replaced ",
        (Action::Replaced, true) => "would replace",
        (Action::Mended, false) => "mended   ",
        (Action::Mended, true) => "would mend   ",
        (Action::Pruned, false) => "pruned   ",
        (Action::Pruned, true) => "would prune  ",
        (Action::Unchanged, false) => "unchanged",
        (Action::Unchanged, true) => "unchanged    ",
        (Action::Left, false) => "left     ",
        (Action::Left, true) => "left         ",
    }
}

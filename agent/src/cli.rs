//! The command line: arguments become one checked request, a library call, a document, an exit code.

mod active_master;
mod agent;
mod args;
mod aside;
mod document;
mod dotenv;
mod harmless;
mod journal;
mod packaging;
mod probe;
mod run;
mod setup;
mod status;
mod steer;

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use pki_tools::secrets::Secrets;
use proto::message::MinionIdError;
use tracing::level_filters::LevelFilter;

use crate::arguments::{DocumentError, LineError, PillarError};
use crate::config::{Config, ConfigError, DEFAULT_MINION_CONFIG, DEFAULT_PATH, Outline, Permissions, Source};
use crate::dispatch::FunctionError;
use crate::exit::Exit;
use crate::output::TooLong;
use crate::setup::SetupError;
use crate::sidecar::control::ControlError;
use args::{Args, Command, LogFormat};

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot write {}: {source}", .file.display())]
    Write {
        file: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error("cannot write to stdout: {0}")]
    Stdout(#[from] std::io::Error),
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Minion(#[from] MinionIdError),
    #[error(transparent)]
    Function(#[from] FunctionError),
    #[error("{0}")]
    Words(&'static str),
    #[error("cannot read {}: {source}", .file.display())]
    Read {
        file: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {source}", .file.display())]
    Document {
        file: std::path::PathBuf,
        source: DocumentError,
    },
    #[error("--base64 {0}")]
    Line(#[from] LineError),
    #[error(transparent)]
    Pillar(#[from] PillarError),
    #[error(transparent)]
    TooLong(#[from] TooLong),
    #[error("cannot print the result: {0}")]
    Print(String),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(
        "nothing has been written: {} has a section `sidecar:` already; add the lines above to it by hand, then \
         run this again",
        .0.display()
    )]
    ByHand(PathBuf),
    #[error("no sidecar answers at {address}: {why}; is it running? (systemctl status saltfo)")]
    NoSidecar {
        address: std::net::SocketAddr,
        why: String,
    },
}

/// Parses the arguments, does what they say and gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    // Wrong usage ends here, with clap's message and code 2.
    let args = Args::parse();
    args.common.color.write_global();
    log_to_stderr(&args);
    match run(&args) {
        Ok(exit) => exit.into(),
        Err(CliError::Stdout(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done.into(),
        Err(error) => {
            say(&error);
            Exit::Usage.into()
        }
    }
}

/// Says a line on stderr. What becomes of a job must not hang on who reads it, so nothing comes of a full disk: `eprintln!` panics.
fn say(text: impl fmt::Display) {
    let _ = writeln!(anstream::stderr(), "saltfo: {text}");
}

fn run(args: &Args) -> Result<Exit, CliError> {
    match &args.command {
        Command::Probe => probe::run(&args.common),
        Command::ActiveMaster(request) => active_master::run(&args.common, request),
        Command::Run(request) => run::run(&args.common, request),
        Command::Agent => agent::run(&args.common),
        Command::Setup(request) => setup::run(&args.common, request),
        Command::Status(request) => status::run(&args.common, request),
        Command::Move(request) => steer::move_minion(&args.common, request),
        Command::Drain(request) => steer::drain(&args.common, request),
        Command::Completions { shell } => packaging::completions(*shell),
        Command::Man { command } => packaging::man(command.as_deref()),
    }
}

impl args::Common {
    /// Reads the configuration that the arguments and the environment name.
    fn config(&self) -> Result<Config, CliError> {
        let source = match self.named_source() {
            Some(source) => source,
            None => {
                let default = Path::new(DEFAULT_PATH);
                if !default.exists() {
                    return Err(ConfigError::None(default.to_owned()).into());
                }
                self.saltfo_yaml(default)
            }
        };
        for (option, given) in [
            ("--minion-config", &self.minion_config),
            ("--client", &self.client),
        ] {
            let is_used = |path: &Path| match &source {
                Source::Sidecar { file, minion } => {
                    let outline = Outline::read(file).ok().flatten().unwrap_or_default();
                    path == minion && !outline.has_identity
                }
                other => path == other.path(),
            };
            if let Some(path) = given.as_deref().filter(|path| !is_used(path)) {
                let (unused, used) = (path.display(), source.path().display());
                tracing::warn!("{option} {unused} is not used: {used} comes first");
            }
        }
        Ok(Config::load(&source, self.permissions())?)
    }

    /// The first that is given.
    fn named_source(&self) -> Option<Source> {
        Some(match (&self.config, &self.minion_config, &self.client) {
            (Some(path), _, _) => self.saltfo_yaml(path),
            (None, Some(path), _) => Source::Minion(path.clone()),
            (None, None, Some(path)) => Source::Client {
                file: path.clone(),
                secrets: Secrets {
                    passphrase_file: self.passphrase_file.clone(),
                    key_file: self.key_file.clone(),
                },
            },
            (None, None, None) => return None,
        })
    }

    /// What it leaves away is the minion's.
    fn saltfo_yaml(&self, file: &Path) -> Source {
        Source::Sidecar {
            file: file.to_owned(),
            minion: self.minion(),
        }
    }

    /// The configuration of this host's minion.
    fn minion(&self) -> PathBuf {
        let default = || PathBuf::from(DEFAULT_MINION_CONFIG);
        self.minion_config.clone().unwrap_or_else(default)
    }

    fn permissions(&self) -> Permissions {
        if self.insecure_permissions {
            Permissions::Unchecked
        } else {
            Permissions::Checked
        }
    }
}

/// Runs this to its end. One thread is enough: what there is to do is wait.
///
/// A name that is still being looked up is not waited for: the system's resolver asks a silent name server for 10 s and more, in a
/// thread that cannot be called back.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let done = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(done)
}

fn log_to_stderr(args: &Args) {
    // A daemon's log is where its transitions are.
    let verbose = args
        .common
        .verbose
        .saturating_add(u8::from(matches!(args.command, Command::Agent)));
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        // It would say on stderr that nobody reads stderr, and panic, as nobody does.
        .log_internal_errors(false);
    match args.common.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text if journal::reads_stderr() => {
            builder
                .with_ansi(false)
                .event_format(journal::Lines::new())
                .init();
        }
        LogFormat::Text => {
            let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
            builder
                .with_target(false)
                .with_ansi(colour && std::io::stderr().is_terminal())
                .init();
        }
    }
}

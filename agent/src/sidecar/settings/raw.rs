//! The section as it stands in the file: every value keeps its place until it has been checked.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::{Command, Election, MinionFiles, Mode, RelaySettings, SettingError, Settings};

const SECTION: &str = "sidecar";

const HEARTBEAT: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(60);
const VERIFY: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const VERIFY_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// A `minion_pub` is the dearest thing that one can ask of a master: not every second.
const ROUND_TRIP: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(24 * 3600);
const RESTART_AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
const RESTART_BACKOFF: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(24 * 3600);
const TIMES: RangeInclusive<u32> = 1..=100;

/// Scalars are read as text, so that what is said of a bad one names its key and what would do.
pub(super) type Scalar = Option<Spanned<String>>;
type Words = Option<Spanned<Vec<String>>>;

/// The section, unchecked.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSettings {
    heartbeat: Scalar,
    heartbeat_misses: Scalar,
    verify: Scalar,
    verify_timeout: Scalar,
    verify_misses: Scalar,
    rise: Scalar,
    round_trip: Scalar,
    mode: Scalar,
    policy: Scalar,
    pub(super) listen: Scalar,
    listen_anywhere: Scalar,
    restart_after: Scalar,
    restart_backoff: Scalar,
    restart_command: Words,
    minion_service: Scalar,
    minion: Option<RawMinion>,
    hooks: Option<RawHooks>,
    event: Scalar,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawMinion {
    config_dir: Scalar,
    pid_file: Scalar,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawHooks {
    on_change: Words,
}

/// A bad value, and where it stands.
#[derive(Debug)]
pub(crate) struct Misplaced {
    pub(crate) location: Location,
    pub(crate) section: &'static str,
    pub(crate) key: &'static str,
    pub(crate) problem: Box<SettingError>,
}

impl RawSettings {
    /// Checks every value; what is missing is as by default.
    pub(super) fn check(&self) -> Result<Settings, Misplaced> {
        let default = Settings::default();
        let minion = self.minion.as_ref();
        let hooks = self.hooks.as_ref();
        Ok(Settings {
            heartbeat: duration("heartbeat", &self.heartbeat, default.heartbeat, &HEARTBEAT)?,
            heartbeat_misses: times(
                "heartbeat_misses",
                &self.heartbeat_misses,
                default.heartbeat_misses,
            )?,
            verify: duration("verify", &self.verify, default.verify, &VERIFY)?,
            verify_timeout: duration(
                "verify_timeout",
                &self.verify_timeout,
                default.verify_timeout,
                &VERIFY_TIMEOUT,
            )?,
            verify_misses: times("verify_misses", &self.verify_misses, default.verify_misses)?,
            rise: times("rise", &self.rise, default.rise)?,
            round_trip: duration("round_trip", &self.round_trip, default.round_trip, &ROUND_TRIP)?,
            mode: read("mode", &self.mode, default.mode, mode)?,
            policy: read("policy", &self.policy, default.policy, election)?,
            listen: self.listen(default.listen)?,
            restart_after: duration(
                "restart_after",
                &self.restart_after,
                default.restart_after,
                &RESTART_AFTER,
            )?,
            restart_backoff: duration(
                "restart_backoff",
                &self.restart_backoff,
                default.restart_backoff,
                &RESTART_BACKOFF,
            )?,
            restart_command: self.restart_command(default.restart_command)?,
            minion: MinionFiles {
                config_dir: path(
                    "minion.config_dir",
                    minion.and_then(|raw| raw.config_dir.as_ref()),
                )?,
                pid_file: path("minion.pid_file", minion.and_then(|raw| raw.pid_file.as_ref()))?,
            },
            on_change: command("hooks.on_change", hooks.and_then(|raw| raw.on_change.as_ref()))?,
            event: read("event", &self.event, default.event, flag)?,
            relay: RelaySettings::default(),
        })
    }

    fn listen(&self, default: SocketAddr) -> Result<SocketAddr, Misplaced> {
        let anywhere = read("listen_anywhere", &self.listen_anywhere, false, flag)?;
        read("listen", &self.listen, default, |value| {
            let address: SocketAddr = value.parse().map_err(|_| SettingError::Address {
                value: value.to_owned(),
            })?;
            // `::ffff:127.0.0.1` is loopback, too.
            if anywhere || address.ip().to_canonical().is_loopback() {
                Ok(address)
            } else {
                Err(SettingError::NotLoopback(address))
            }
        })
    }

    fn restart_command(&self, default: Command) -> Result<Command, Misplaced> {
        let given = command("restart_command", self.restart_command.as_ref())?;
        match (given, &self.minion_service, &self.restart_command) {
            (Some(_), Some(_), Some(words)) => Err(Misplaced {
                location: words.referenced,
                section: SECTION,
                key: "restart_command",
                problem: Box::new(SettingError::RestartTwice),
            }),
            (Some(command), ..) => Ok(command),
            (None, service, _) => read("minion_service", service, default, unit),
        }
    }
}

pub(super) fn read<T>(
    key: &'static str,
    value: &Scalar,
    default: T,
    parse: impl FnOnce(&str) -> Result<T, SettingError>,
) -> Result<T, Misplaced> {
    let Some(value) = value else { return Ok(default) };
    parse(&value.value).map_err(|problem| Misplaced {
        location: value.referenced,
        section: SECTION,
        key,
        problem: Box::new(problem),
    })
}

fn duration(
    key: &'static str,
    value: &Scalar,
    default: Duration,
    bounds: &RangeInclusive<Duration>,
) -> Result<Duration, Misplaced> {
    read(key, value, default, |value| {
        let parsed = humantime::parse_duration(value).map_err(|source| SettingError::Duration {
            value: value.to_owned(),
            source,
        })?;
        if bounds.contains(&parsed) {
            return Ok(parsed);
        }
        Err(SettingError::Bounds {
            value: value.to_owned(),
            least: humantime::format_duration(*bounds.start()).to_string(),
            most: humantime::format_duration(*bounds.end()).to_string(),
        })
    })
}

fn times(key: &'static str, value: &Scalar, default: u32) -> Result<u32, Misplaced> {
    read(key, value, default, |value| number(value, &TIMES))
}

pub(super) fn number(value: &str, bounds: &RangeInclusive<u32>) -> Result<u32, SettingError> {
    let parsed: i128 = value.parse().map_err(|_| SettingError::Number {
        value: value.to_owned(),
    })?;
    match u32::try_from(parsed) {
        Ok(parsed) if bounds.contains(&parsed) => Ok(parsed),
        _ => Err(SettingError::Bounds {
            value: value.to_owned(),
            least: bounds.start().to_string(),
            most: bounds.end().to_string(),
        }),
    }
}

fn mode(value: &str) -> Result<Mode, SettingError> {
    match value {
        "observe" => Ok(Mode::Observe),
        "restart" => Ok(Mode::Restart),
        "relay" => Ok(Mode::Relay),
        _ => Err(choice(value, "observe, restart, relay")),
    }
}

fn election(value: &str) -> Result<Election, SettingError> {
    match value {
        "sticky" => Ok(Election::Sticky),
        "prefer" => Ok(Election::Prefer),
        "random" => Ok(Election::Random),
        _ => Err(choice(value, "sticky, prefer, random")),
    }
}

/// As Salt's people write it, `True`, and as YAML 1.2 does.
fn flag(value: &str) -> Result<bool, SettingError> {
    match value {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(choice(value, "true, false")),
    }
}

fn choice(value: &str, words: &'static str) -> SettingError {
    SettingError::Choice {
        value: value.to_owned(),
        words,
    }
}

/// systemd.unit(5): letters, digits and `:-_.\@`, at most 255 of them. The first one may not make an option of it.
fn unit(value: &str) -> Result<Command, SettingError> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if value.is_empty() || value.len() > 255 || value.starts_with('-') || !value.chars().all(is_fine) {
        return Err(SettingError::Unit {
            value: value.to_owned(),
        });
    }
    Ok(Command::restart(value))
}

fn command(key: &'static str, words: Option<&Spanned<Vec<String>>>) -> Result<Option<Command>, Misplaced> {
    let Some(words) = words else { return Ok(None) };
    let bad = |problem| Misplaced {
        location: words.referenced,
        section: SECTION,
        key,
        problem: Box::new(problem),
    };
    if words.value.iter().any(|word| word.contains('\0')) {
        return Err(bad(SettingError::NullByte));
    }
    match words.value.split_first() {
        Some((program, arguments)) if !program.is_empty() => Ok(Some(Command {
            program: program.clone(),
            arguments: arguments.to_vec(),
        })),
        _ => Err(bad(SettingError::NoProgram)),
    }
}

fn path(key: &'static str, value: Option<&Spanned<String>>) -> Result<Option<PathBuf>, Misplaced> {
    let Some(value) = value else { return Ok(None) };
    let path = PathBuf::from(&value.value);
    if path.is_absolute() {
        return Ok(Some(path));
    }
    Err(Misplaced {
        location: value.referenced,
        section: SECTION,
        key,
        problem: Box::new(SettingError::RelativePath {
            value: value.value.clone(),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(yaml: &str) -> Result<Settings, String> {
        let raw: RawSettings = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        raw.check().map_err(|bad| {
            let (line, column) = (bad.location.line(), bad.location.column());
            format!("{line}:{column} {}: {}", bad.key, bad.problem)
        })
    }

    #[test]
    fn what_is_not_said_is_as_by_default() {
        assert_eq!(settings("{}"), Ok(Settings::default()));
    }

    #[test]
    fn everything_can_be_said() {
        let all = "
heartbeat: 100ms
heartbeat_misses: 4
verify: 1m30s
verify_timeout: '2s'
verify_misses: 5
rise: 1
round_trip: 1h30m
mode: restart
policy: prefer
listen: '[::1]:80'
restart_after: 1 minute
restart_backoff: 1d
restart_command: [sv, restart, minion 1]
minion: {config_dir: /etc/salt2, pid_file: /run/salt2.pid}
hooks: {on_change: [/usr/local/bin/tell]}
event: True
";
        let expected = Settings {
            heartbeat: Duration::from_millis(100),
            heartbeat_misses: 4,
            verify: Duration::from_secs(90),
            verify_timeout: Duration::from_secs(2),
            verify_misses: 5,
            rise: 1,
            round_trip: Duration::from_secs(5400),
            mode: Mode::Restart,
            policy: Election::Prefer,
            listen: "[::1]:80".parse().unwrap(),
            restart_after: Duration::from_secs(60),
            restart_backoff: Duration::from_secs(86400),
            restart_command: Command {
                program: "sv".to_owned(),
                arguments: vec!["restart".to_owned(), "minion 1".to_owned()],
            },
            minion: MinionFiles {
                config_dir: Some("/etc/salt2".into()),
                pid_file: Some("/run/salt2.pid".into()),
            },
            on_change: Some(Command {
                program: "/usr/local/bin/tell".to_owned(),
                arguments: Vec::new(),
            }),
            event: true,
            relay: RelaySettings::default(),
        };
        assert_eq!(settings(all), Ok(expected));
    }

    #[test]
    fn a_bad_value_is_an_error_that_names_place_and_key_and_what_would_do() {
        let cases = [
            ("heartbeat: 5", "1:12 heartbeat: `5` is not a duration"),
            (
                "heartbeat: 49ms",
                "1:12 heartbeat: `49ms` is out of bounds: it must be 50ms to 1m",
            ),
            ("heartbeat: 61s", "1:12 heartbeat: `61s` is out of bounds"),
            ("verify: soon", "1:9 verify: `soon` is not a duration"),
            ("verify: 99ms", "must be 100ms to 1h"),
            ("verify_timeout: 2m", "must be 100ms to 1m"),
            ("round_trip: 1s", "must be 5s to 1day"),
            ("restart_after: 0s", "must be 1s to 1h"),
            ("restart_backoff: 9s", "must be 10s to 1day"),
            ("rise: 0", "1:7 rise: `0` is out of bounds: it must be 1 to 100"),
            ("rise: 101", "it must be 1 to 100"),
            ("rise: -1", "it must be 1 to 100"),
            ("rise: 99999999999999", "it must be 1 to 100"),
            ("rise: two", "1:7 rise: `two` is not a whole number"),
            ("verify_misses: 1.5", "verify_misses: `1.5` is not a whole number"),
            (
                "heartbeat_misses: 0",
                "1:19 heartbeat_misses: `0` is out of bounds",
            ),
            (
                "mode: steer",
                "1:7 mode: `steer` is none of observe, restart, relay",
            ),
            (
                "policy: sticy",
                "1:9 policy: `sticy` is none of sticky, prefer, random",
            ),
            ("event: 1", "1:8 event: `1` is none of true, false"),
            (
                "listen: localhost:9745",
                "1:9 listen: `localhost:9745` is not an IP address with a port",
            ),
            (
                "listen: 0.0.0.0:9745",
                "1:9 listen: 0.0.0.0:9745 is not a loopback address",
            ),
            ("listen: '[::]:9745'", "is not a loopback address"),
            (
                "restart_command: []",
                "1:18 restart_command: a command is a list of words",
            ),
            ("restart_command: ['', x]", "the first one is the program"),
            ("restart_command: [a, \"x\\0y\"]", "null byte"),
            (
                "hooks: {on_change: []}",
                "1:20 hooks.on_change: a command is a list of words",
            ),
            (
                "minion_service: -f",
                "1:17 minion_service: `-f` is not the name of a systemd unit",
            ),
            ("minion_service: a b", "is not the name of a systemd unit"),
            (
                "minion: {pid_file: run/x}",
                "1:20 minion.pid_file: `run/x` is not an absolute path",
            ),
            (
                "minion_service: a\nrestart_command: [b]",
                "2:18 restart_command: `minion_service` says already",
            ),
        ];
        for (yaml, expected) in cases {
            let error = settings(yaml).unwrap_err();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }

    #[test]
    fn unknown_and_repeated_keys_and_values_of_another_kind_are_refused() {
        for yaml in [
            "heart_beat: 1s",
            "rise: 1\nrise: 1",
            "heartbeat: [1s]",
            "restart_command: systemctl",
            "hooks: {on_start: [x]}",
            "minion: {user: x}",
            "minion: x",
        ] {
            assert!(settings(yaml).is_err(), "{yaml}");
        }
    }

    #[test]
    fn others_may_read_the_report_only_if_that_is_said() {
        let anywhere = settings("{listen: '0.0.0.0:1', listen_anywhere: true}").unwrap();
        assert_eq!(anywhere.listen, "0.0.0.0:1".parse().unwrap());
        assert!(settings("{listen: '0.0.0.0:1', listen_anywhere: false}").is_err());
        assert!(settings("listen: '127.8.0.1:1'").is_ok());
        assert!(settings("listen: '[::ffff:127.0.0.1]:1'").is_ok());
    }

    #[test]
    fn a_service_of_another_name_is_restarted_by_systemd() {
        let restart = settings("minion_service: salt-minion@2.service")
            .unwrap()
            .restart_command;
        assert_eq!(restart.program, "systemctl");
        assert_eq!(restart.arguments, ["restart", "salt-minion@2.service"]);
    }
}

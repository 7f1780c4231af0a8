//! The section `relay:` as it stands in the file, and both sections together.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::raw::{Misplaced, RawSettings, Scalar, number, read};
use super::{Mode, RelaySettings, SettingError, Settings};

const PORTS: RangeInclusive<u32> = 1..=65535;

/// The section, unchecked.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRelay {
    listen: Scalar,
    publish_port: Scalar,
    master_port: Scalar,
}

impl Settings {
    /// Checks every value of both sections; what is missing is as by default.
    pub(crate) fn check(sidecar: &RawSettings, relay: Option<&RawRelay>) -> Result<Self, Misplaced> {
        let settings = sidecar.check()?;
        let nothing = RawRelay::default();
        let raw = relay.unwrap_or(&nothing);
        let checked = raw.check()?;
        if relay.is_some() || settings.mode == Mode::Relay {
            raw.beside(checked, settings.listen, &sidecar.listen)?;
        }
        Ok(Self {
            relay: checked,
            ..settings
        })
    }
}

impl RawRelay {
    fn check(&self) -> Result<RelaySettings, Misplaced> {
        let default = RelaySettings::default();
        let ours = |bad: Misplaced| Misplaced {
            section: "relay",
            ..bad
        };
        let checked = RelaySettings {
            listen: read("listen", &self.listen, default.listen, loopback).map_err(ours)?,
            publish_port: read(
                "publish_port",
                &self.publish_port,
                default.publish_port,
                publish_port,
            )
            .map_err(ours)?,
            master_port: read("master_port", &self.master_port, default.master_port, port).map_err(ours)?,
        };
        match &self.master_port {
            Some(port) if checked.publish_port == checked.master_port => {
                Err(twice("relay", "master_port", port, "relay.publish_port"))
            }
            // By default it is the one that the other cannot be.
            _ => Ok(checked),
        }
    }

    /// The report and the relay cannot listen at one port.
    fn beside(&self, checked: RelaySettings, report: SocketAddr, listen: &Scalar) -> Result<(), Misplaced> {
        let ports = [
            (
                "publish_port",
                "relay.publish_port",
                checked.publish(),
                &self.publish_port,
            ),
            (
                "master_port",
                "relay.master_port",
                checked.requests(),
                &self.master_port,
            ),
        ];
        for (key, name, address, port) in ports {
            match (port, listen) {
                _ if !collide(report, address) => {}
                (Some(port), _) => return Err(twice("relay", key, port, "sidecar.listen")),
                (None, Some(listen)) => return Err(twice("sidecar", "listen", listen, name)),
                // By default they differ.
                (None, None) => {}
            }
        }
        Ok(())
    }
}

fn collide(report: SocketAddr, relay: SocketAddr) -> bool {
    let (anywhere, report_ip) = (report.ip().is_unspecified(), report.ip().to_canonical());
    report.port() == relay.port() && (anywhere || report_ip == relay.ip())
}

fn twice(
    section: &'static str,
    key: &'static str,
    value: &Spanned<String>,
    taken_by: &'static str,
) -> Misplaced {
    Misplaced {
        location: value.referenced,
        section,
        key,
        problem: Box::new(SettingError::PortTwice {
            value: value.value.clone(),
            taken_by,
        }),
    }
}

/// In its shortest form, as minions have it: `::ffff:127.0.0.1` is 127.0.0.1.
fn loopback(value: &str) -> Result<IpAddr, SettingError> {
    let ip: IpAddr = value.parse().map_err(|_| SettingError::Ip {
        value: value.to_owned(),
    })?;
    let ip = ip.to_canonical();
    if ip.is_loopback() {
        Ok(ip)
    } else {
        Err(SettingError::RelayNotLoopback(ip))
    }
}

fn port(value: &str) -> Result<u16, SettingError> {
    let port = number(value, &PORTS)?;
    u16::try_from(port).map_err(|_| SettingError::Number {
        value: value.to_owned(),
    })
}

/// A salt-minion takes 4506 for "not set", and the port that its master reports instead: `AsyncPubChannel.connect` in
/// salt/channel/client.py, 3006 to 3008.
fn publish_port(value: &str) -> Result<u16, SettingError> {
    match port(value)? {
        4506 => Err(SettingError::PublishPort),
        port => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(sidecar: &str, relay: &str) -> Result<RelaySettings, String> {
        let sidecar: RawSettings = serde_saphyr::from_str(sidecar).map_err(|error| error.to_string())?;
        let relay: RawRelay = serde_saphyr::from_str(relay).map_err(|error| error.to_string())?;
        let checked = Settings::check(&sidecar, Some(&relay)).map_err(|bad| {
            let (line, column) = (bad.location.line(), bad.location.column());
            format!("{line}:{column} {}.{}: {}", bad.section, bad.key, bad.problem)
        })?;
        Ok(checked.relay)
    }

    #[test]
    fn what_is_not_said_is_as_by_default() {
        assert_eq!(settings("{}", "{}"), Ok(RelaySettings::default()));
        assert_eq!(
            settings("{mode: relay}", "{publish_port: 14505}"),
            Ok(RelaySettings {
                publish_port: 14505,
                ..RelaySettings::default()
            })
        );
    }

    #[test]
    fn everything_can_be_said() {
        let expected = |listen: &str| RelaySettings {
            listen: listen.parse().unwrap(),
            publish_port: 1,
            master_port: 65535,
        };
        for (given, listen) in [
            ("127.0.0.2", "127.0.0.2"),
            ("::1", "::1"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
        ] {
            let all = format!("{{listen: '{given}', publish_port: 1, master_port: '65535'}}");
            assert_eq!(settings("{}", &all), Ok(expected(listen)));
        }
    }

    #[test]
    fn a_bad_value_is_an_error_that_names_place_and_key_and_what_would_do() {
        let cases = [
            (
                "{}",
                "listen: localhost",
                "1:9 relay.listen: `localhost` is not an IP address: write it like 127.0.0.1",
            ),
            ("{}", "listen: 127.0.0.1:4505", "is not an IP address"),
            (
                "{}",
                "listen: 0.0.0.0",
                "1:9 relay.listen: 0.0.0.0 is not a loopback address, and whoever connects",
            ),
            ("{}", "listen: '::'", ":: is not a loopback address"),
            (
                "{}",
                "listen: 192.0.2.1",
                "choose an address that only this host reaches",
            ),
            (
                "{}",
                "publish_port: 0",
                "1:15 relay.publish_port: `0` is out of bounds: it must be 1 to 65535",
            ),
            ("{}", "master_port: 65536", "it must be 1 to 65535"),
            (
                "{}",
                "master_port: http",
                "relay.master_port: `http` is not a whole number",
            ),
            (
                "{}",
                "publish_port: 4506\nmaster_port: 4507",
                "1:15 relay.publish_port: a salt-minion whose `publish_port` is 4506 uses the port that its master reports",
            ),
            (
                "{}",
                "publish_port: 1\nmaster_port: 1",
                "2:14 relay.master_port: `1` is the port of `relay.publish_port`, too",
            ),
            (
                "{}",
                "master_port: 9745",
                "1:14 relay.master_port: `9745` is the port of `sidecar.listen`, too",
            ),
            (
                "listen: '127.0.0.1:4505'",
                "{}",
                "1:9 sidecar.listen: `127.0.0.1:4505` is the port of `relay.publish_port`, too",
            ),
            (
                "{listen: '0.0.0.0:4506', listen_anywhere: true}",
                "{}",
                "sidecar.listen",
            ),
            ("listen: '[::ffff:127.0.0.1]:4506'", "{}", "sidecar.listen"),
        ];
        for (sidecar, relay, expected) in cases {
            let error = settings(sidecar, relay).unwrap_err();
            assert!(error.contains(expected), "{relay}: {error}");
        }
    }

    #[test]
    fn unknown_and_repeated_keys_and_values_of_another_kind_are_refused() {
        for yaml in [
            "port: 1",
            "listen: 127.0.0.1\nlisten: 127.0.0.1",
            "listen: [127.0.0.1]",
            "x",
            "[x]",
        ] {
            assert!(settings("{}", yaml).is_err(), "{yaml}");
        }
    }

    #[test]
    fn the_report_may_have_the_relays_ports_at_another_address_or_if_there_is_no_relay() {
        assert!(settings("listen: '127.0.0.2:4505'", "{}").is_ok());
        let observer: RawSettings = serde_saphyr::from_str("listen: '127.0.0.1:4505'").unwrap();
        assert!(Settings::check(&observer, None).is_ok());
        let relay: RawSettings = serde_saphyr::from_str("{listen: '127.0.0.1:4505', mode: relay}").unwrap();
        assert!(Settings::check(&relay, None).is_err());
    }
}

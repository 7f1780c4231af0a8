//! The settings that go with the keys: `saltfo.conf` in `master.d` and `minion.d`.

use proto::net::Host;

use super::error::InstallError;
use super::function::Function;
use crate::client::{Client, Master};

/// Its name in either folder.
pub(super) const FILE: &str = "saltfo.conf";

/// How every one of them begins, so that we know it again.
pub(super) const MARK: &str = "# Written by pki-tools install";

/// Salt's own ports, which need not be named.
const PUBLISH_PORT: u16 = 4505;
const REQUEST_PORT: u16 = 4506;

/// Whether we wrote a file.
pub(super) fn is_ours(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK.as_bytes())
}

/// What a master needs to know: that it signs its key, and what the dispatch identity may do.
pub(super) fn master(host: &str, dispatch: &str, allowed: &[Function]) -> String {
    let mut text = head(host);
    text.push_str("master_sign_pubkey: True\n");
    // A master that stalls repeats the call that it makes to itself for a `minion_pub`, and each is a job
    // (`request_channel_tries`, 3 by default).
    text.push_str("request_channel_tries: 1\n");
    // Closed at both ends: Salt matches at the start, so that `pipeline.xyz` alone would let in
    // `pipeline-xyz.evil`, and `test.ping` would allow `test.pingx`.
    let id = quoted(&format!("^{}$", escaped(dispatch)));
    text.push_str(&format!("peer:\n  {id}:\n"));
    for function in allowed {
        text.push_str(&format!("    - {}\n", quoted(&function.pattern())));
    }
    // One job for its retcodes, all of them to find one whose jid got lost.
    let list_jobs = quoted(r"jobs\.list_jobs?$");
    text.push_str(&format!("peer_run:\n  {id}:\n    - {list_jobs}\n"));
    text
}

/// What a minion needs to know: its id, its masters, and to verify them. With it a note, if one of the ports cannot
/// be said in Salt's configuration.
pub(super) fn minion(
    client: &Client,
    id: &str,
    own_master: Option<&Master>,
) -> Result<(String, Option<String>), InstallError> {
    let mut masters = Vec::new();
    // The minion on a master's host tries that one first.
    let (own, others): (Vec<_>, Vec<_>) = client
        .active_masters()
        .partition(|master| own_master.is_some_and(|own| own.fqdn == master.fqdn));
    for master in own.into_iter().chain(others) {
        masters.push(seen(master, own_master.is_some())?);
    }
    if masters.is_empty() {
        return Err(InstallError::NoMasters(client.file.clone()));
    }
    let mut text = head(id);
    text.push_str(&format!("id: {}\nmaster:\n", quoted(id)));
    for seen in &masters {
        text.push_str(&format!("  - {}\n", quoted(&seen.text())));
    }
    // Salt has one such port for all masters. Where it is not set, a minion goes to the one that each master names
    // at sign-in (`AsyncPubChannel.connect` in salt/channel/client.py).
    let mut ports: Vec<u16> = masters.iter().map(|seen| seen.publish_port).collect();
    ports.sort_unstable();
    ports.dedup();
    let note = match ports.as_slice() {
        [PUBLISH_PORT] => None,
        [port] => {
            text.push_str(&format!("publish_port: {port}\n"));
            None
        }
        _ => Some(
            "the masters publish on different ports, and Salt has one publish_port for all: a minion takes the one \
             that each master names, so let the publish_port of each master be the first of its external_ports"
                .to_owned(),
        ),
    };
    text.push_str(
        "master_type: failover\n\
         random_master: True\n\
         master_alive_interval: 60\n\
         master_tries: -1\n\
         retry_dns: 0\n\
         ping_interval: 1\n\
         verify_master_pubkey_sign: True\n",
    );
    Ok((text, note))
}

/// What a minion's `master:` says for this master, in its list or alone.
///
/// # Errors
/// [`InstallError::Address`].
pub(crate) fn address(master: &Master, from_a_master: bool) -> Result<String, InstallError> {
    Ok(seen(master, from_a_master)?.text())
}

/// A master as a minion sees it.
struct Seen {
    host: Host,
    publish_port: u16,
    request_port: u16,
}

impl Seen {
    /// As `prep_ip_port` in salt/minion.py reads it: an IPv6 address is in brackets if a port follows.
    fn text(&self) -> String {
        let (host, port) = (self.host.as_str(), self.request_port);
        match (port, host.contains(':')) {
            (REQUEST_PORT, _) => host.to_owned(),
            (_, true) => format!("[{host}]:{port}"),
            (_, false) => format!("{host}:{port}"),
        }
    }
}

/// Minions see a master at its `external_ip`, or its name if there is none. The minion of a master's host sees both
/// as the masters see each other: at `ip`, where nothing maps the ports.
fn seen(master: &Master, from_a_master: bool) -> Result<Seen, InstallError> {
    let own_ports = (PUBLISH_PORT, REQUEST_PORT);
    let external_ports = master.external_ports.unwrap_or(own_ports);
    let (key, text, (publish_port, request_port)) = match (&master.ip, &master.external_ip) {
        (Some(ip), _) if from_a_master => ("ip", ip, own_ports),
        (_, Some(ip)) => ("external_ip", ip, external_ports),
        (_, None) => ("fqdn", &master.fqdn, external_ports),
    };
    let host = Host::parse(text).map_err(|source| InstallError::Address {
        place: master.place_of(key).clone(),
        key,
        source,
    })?;
    Ok(Seen {
        host,
        publish_port,
        request_port,
    })
}

fn head(host: &str) -> String {
    format!("{MARK} for {host}; what is changed here is lost when it runs again.\n")
}

/// A text that Python's `re` finds in itself and nowhere else.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if character.is_ascii_punctuation() && !matches!(character, '_' | '-') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// A text in YAML's single quotes, in which only the quote itself means something. It has no line breaks.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::yaml::{Document, View};

    #[test]
    fn an_id_becomes_a_pattern_of_itself_that_yaml_gives_back() {
        let text = master("m", "it's+a.b-c_d", &[]);
        let document = Document::parse(0, Path::new("x"), Path::new("/x"), text.into_bytes()).unwrap();
        let peer = View::root(&document).unwrap().get("peer_run").unwrap();
        let key = peer.node.entries()[0].key.scalar().unwrap();
        assert_eq!(key, r"^it\'s\+a\.b-c_d$");
    }

    #[test]
    fn addresses_are_written_as_salt_reads_them() {
        let seen = |host: &str, request_port| Seen {
            host: Host::parse(host).unwrap(),
            publish_port: PUBLISH_PORT,
            request_port,
        };
        for (host, port, text) in [
            ("salt1", 4506, "salt1"),
            ("192.0.2.1", 4606, "192.0.2.1:4606"),
            ("2001:db8::1", 4506, "2001:db8::1"),
            ("2001:db8::1", 4606, "[2001:db8::1]:4606"),
        ] {
            assert_eq!(seen(host, port).text(), text);
        }
    }
}

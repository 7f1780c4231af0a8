//! What is refused, and what the message says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::common::data;
use crate::host::{CLIENT, Host, KEYS, MASTER};

#[test]
fn ids_that_are_no_names_are_refused_with_their_place() {
    for (id, part) in [
        ("../x", "'/' is not allowed"),
        ("a/b", "'/' is not allowed"),
        (".hidden", "begins with a dot"),
        ("'*'", "is a pattern"),
        ("'a b'", "' ' is not allowed"),
        ("..", "is not a minion id"),
    ] {
        let text = KEYS.replace("- fqdn: minion01.xyz.example", &format!("- fqdn: {id}"));
        let line = 1 + text
            .lines()
            .position(|line| line.contains(&format!("- fqdn: {id}")))
            .unwrap();
        let message = Host::with(&text).refused(&MASTER);
        assert!(
            message.contains(&format!("x.yaml:{line}:11: ")) && message.contains(part),
            "{message}"
        );
    }
    let text = KEYS.replace("id: pipeline.xyz", "id: ../../x");
    let message = Host::with(&text).refused(&MASTER);
    assert!(
        message.contains("x.yaml:") && message.contains("'/' is not allowed"),
        "{message}"
    );
    let text = KEYS.replace("id: pipeline.xyz", "id: minion02");
    let message = Host::with(&text).refused(&MASTER);
    assert!(
        message.contains("`minion02` is also the name of a host"),
        "{message}"
    );
}

#[test]
fn hosts_that_cannot_be_installed_are_refused_with_the_remedy() {
    let host = Host::new();
    for (args, parts) in [
        (
            &["nobody"][..],
            &[
                "nobody is no master or server of this client",
                "minion01.xyz.example",
            ][..],
        ),
        (
            &["minion02", "--role", "master"],
            &["minion02 is no master", "salt2.xyz.example"],
        ),
        (&["www.xyz.example"], &["is no master or server"]),
        (&["salt1.xyz.example"], &["--role master or --role minion"]),
        (&["old.xyz.example"], &["x.yaml:", "is not active"]),
        (&["minion02", "--prune"], &["--prune is for masters"]),
        (
            &["minion02", "--peer-allow", "test.ping"],
            &["--peer-allow is for masters"],
        ),
        (&["../x"], &["is no master or server"]),
    ] {
        let message = host.refused(args);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    let host = Host::with(CLIENT);
    for args in [&MASTER[..], &["minion02"]] {
        let message = host.refused(args);
        assert!(message.contains("pki-tools gen"), "{message}");
    }
    let host = Host::new();
    fs::remove_dir(host.path("")).unwrap();
    let message = host.refused(&["minion02"]);
    assert!(message.contains("root: No such file"), "{message}");
}

#[test]
fn halves_of_two_keys_are_refused() {
    let yaml = data(&KEYS);
    let public = |n: usize| yaml["assets"][n]["minion"]["pub"].as_str().unwrap().to_owned();
    // The second line of a public key tells keys of one size apart.
    let line = |n: usize| public(n).lines().nth(2).unwrap().to_owned();
    let host = Host::with(&KEYS.replace(&line(0), &line(1)));
    let message = host.refused(&["minion01.xyz.example"]);
    assert!(
        message.contains("are not halves of one key") && message.contains("x.yaml:"),
        "{message}"
    );
}

#[test]
fn a_client_that_everybody_can_read_is_refused() {
    let host = Host::new();
    fs::set_permissions(host.0.path("x.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    let message = host.refused(&["minion02"]);
    assert!(
        message.contains("everybody can read the private keys"),
        "{message}"
    );
    host.report(&["minion02", "--insecure-permissions"]);
}

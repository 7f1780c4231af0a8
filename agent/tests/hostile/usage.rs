//! Wrong usage and wrong configuration: said at once, with exit code 2, and nobody is sent anything.

use std::fs;

use super::case::BAD;
use super::client::{Client, Entry, ID, MINION, configuration, set_mode};
use super::peer::{Peer, drain};
use super::saltfo::Saltfo;

/// A name, what is changed before the run and which arguments it gets, and what stderr must have.
type Mistake = (&'static str, fn(&Client) -> Vec<String>, &'static str);

fn lookup(of: &str) -> Vec<String> {
    words(&["active-master", of])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// With this in place of that in the `saltfo.yaml`.
fn edited(client: &Client, from: &str, to: &str) -> Vec<String> {
    let text = fs::read_to_string(client.config()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    client.configure(&text.replace(from, to));
    lookup(MINION)
}

fn dotenv(path: &str) -> Vec<String> {
    words(&["active-master", MINION, "--dotenv", path])
}

/// `YAML` whose aliases stand for a billion values.
fn bomb() -> String {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("a{level}: &a{level} [{below}]\n");
    }
    text
}

fn mistakes() -> Vec<Mistake> {
    vec![
        ("a pattern", |_| lookup("*"), "is a pattern"),
        ("a list", |_| lookup("a,b"), "is a pattern"),
        ("a compound", |_| lookup("G@os:Debian"), "is a pattern"),
        ("a path", |_| lookup("../x"), "not a minion id"),
        ("no id", |_| lookup(""), "a minion id is empty"),
        (
            "a long id",
            |_| lookup(&"a".repeat(300)),
            "at most 255 bytes, this one has 300",
        ),
        ("two lines", |_| lookup("a\nb"), "not a minion id"),
        ("terminal codes", |_| lookup("a\u{1b}[2Jb"), "not a minion id"),
        ("dots", |_| lookup(".."), "not a minion id"),
        ("nothing", |_| words(&["active-master"]), "required"),
        (
            "an empty element",
            |_| words(&["active-master", "-L", "a,,b"]),
            "a minion id is empty",
        ),
        (
            "an empty last element",
            |_| words(&["active-master", "-L", "a,"]),
            "a minion id is empty",
        ),
        (
            "an empty list",
            |_| words(&["active-master", "-L", ""]),
            "a minion id is empty",
        ),
        (
            "both",
            |_| words(&["active-master", "a", "-L", "b"]),
            "cannot be used with",
        ),
        (
            "no time",
            |_| words(&["active-master", "a", "--timeout", "0"]),
            "a number of seconds above 0",
        ),
        (
            "time back",
            |_| words(&["active-master", "a", "--timeout=-1"]),
            "a number of seconds above 0",
        ),
        (
            "no number",
            |_| words(&["active-master", "a", "--timeout", "nan"]),
            "a number of seconds above 0",
        ),
        (
            "endless time",
            |_| words(&["active-master", "a", "--timeout", "1e99"]),
            "at most 86400",
        ),
        (
            "an odd form",
            |_| words(&["active-master", "a", "--out", "xml"]),
            "possible values: text, json, yaml",
        ),
        (
            "an odd colour",
            |_| words(&["active-master", "a", "--color", "pink"]),
            "possible values",
        ),
        (
            "an odd command",
            |_| words(&["active-slave"]),
            "unrecognized subcommand",
        ),
        ("a page of nothing", |_| words(&["man", "nothing"]), "no command"),
        (
            "no such dotenv folder",
            |client| dotenv(client.path("none/a.env").to_str().unwrap()),
            "none/a.env: No such file",
        ),
        (
            "a dotenv below a file",
            |client| dotenv(client.path("saltfo.yaml/a.env").to_str().unwrap()),
            "Not a directory",
        ),
        (
            "a dotenv that is a folder",
            |client| dotenv(client.path("pki").to_str().unwrap()),
            "directory",
        ),
        (
            "a dotenv where nobody can write",
            |_| dotenv("/proc/a.env"),
            "cannot write /proc/a.env",
        ),
        (
            "no config",
            |client| {
                fs::remove_file(client.config()).unwrap();
                lookup(MINION)
            },
            "saltfo.yaml: cannot read the configuration: No such file",
        ),
        (
            "a folder for a config",
            |client| {
                fs::remove_file(client.config()).unwrap();
                fs::create_dir(client.config()).unwrap();
                lookup(MINION)
            },
            "cannot read the configuration",
        ),
        (
            "a config that never ends",
            |client| {
                fs::remove_file(client.config()).unwrap();
                std::os::unix::fs::symlink("/dev/zero", client.config()).unwrap();
                lookup(MINION)
            },
            "saltfo.yaml",
        ),
        (
            "an empty config",
            |client| {
                client.configure("");
                lookup(MINION)
            },
            "saltfo.yaml",
        ),
        (
            "a bomb for a config",
            |client| {
                client.configure(&bomb());
                lookup(MINION)
            },
            "saltfo.yaml",
        ),
        (
            "an unknown key",
            |client| edited(client, "masters:", "mastres:"),
            "saltfo.yaml:5:1",
        ),
        (
            "a port that is none",
            |client| edited(client, "master_port: ", "master_port: 9"),
            "saltfo.yaml:8:",
        ),
        (
            "a bad id",
            |client| edited(client, ID, "'pipe*'"),
            "saltfo.yaml:1:5: id:",
        ),
        (
            "a bad address",
            |client| edited(client, "127.0.0.3", "'127.0.0.3;id'"),
            "neither a host name",
        ),
        (
            "nothing to trust",
            |client| edited(client, "  master_sign_pub: pki/master_sign.pub\n", ""),
            "nothing to verify a master with",
        ),
        (
            "no key",
            |client| edited(client, "pki/minion.pem", "pki/none.pem"),
            "pki/none.pem: cannot read",
        ),
        (
            "a folder for a key",
            |client| edited(client, "pki/minion.pem", "pki"),
            "cannot read the private key",
        ),
        (
            "a public key for a private one",
            |client| {
                set_mode(&client.path("pki/master.pub"), 0o400);
                edited(client, "pki/minion.pem", "pki/master.pub")
            },
            "this is a public key, not a private key",
        ),
        (
            "a key for everybody",
            |client| {
                set_mode(&client.path("pki/minion.pem"), 0o444);
                lookup(MINION)
            },
            "readable by others than its owner (mode 0444)",
        ),
    ]
}

#[test]
fn what_cannot_be_right_is_said_and_nothing_is_sent() {
    let peer = Peer::start(3, drain);
    let entry = Entry {
        name: BAD,
        address: peer.address,
        pinned: false,
    };
    for (name, prepare, why) in mistakes() {
        let client = Client::new(std::slice::from_ref(&entry));
        let arguments = prepare(&client);
        let config = client.config();
        let ended = Saltfo::new(&arguments)
            .env("SALTFO_CONFIG", config.to_str().unwrap())
            .run();
        assert_eq!(ended.code(), 2, "{name}: {ended:?}");
        assert_eq!(ended.stdout, "", "{name}");
        assert!(ended.stderr.contains(why), "{name}: {}", ended.stderr);
    }
    let none = Saltfo::new(["--minion-config", "/nonexistent/minion", "probe"]).run();
    assert_eq!((none.code(), none.stdout.as_str()), (2, ""), "{none:?}");
    assert!(
        none.stderr.contains("/nonexistent/minion: cannot read"),
        "{none:?}"
    );
    assert_eq!(peer.connections(), 0);
}

#[test]
fn a_key_that_everybody_can_read_is_used_if_one_insists() {
    // Also shows that the listener of the test above would have seen a connection.
    let peer = Peer::start(3, drop);
    let entry = Entry {
        name: BAD,
        address: peer.address,
        pinned: false,
    };
    let client = Client::new(std::slice::from_ref(&entry));
    client.configure(&configuration(&[entry]));
    set_mode(&client.path("pki/minion.pem"), 0o444);
    let ended = Saltfo::lookup(&client.config(), 2.0)
        .arg("--insecure-permissions")
        .run();
    assert_eq!(ended.code(), 4, "{ended:?}");
    assert!(peer.connections() > 0);
}

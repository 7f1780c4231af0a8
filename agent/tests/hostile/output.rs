//! What is printed, where, and in which form; nobody's closed pipe changes how a run ends.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use super::client::{Client, Entry, MINION};
use super::fake_master::{FakeMaster, JID, Script, SignIn};
use super::saltfo::{Ended, Saltfo};

const MASTER: &str = "salt1.xyz.example";

struct Scene {
    master: FakeMaster,
    client: Client,
}

impl Scene {
    fn of(script: Script) -> Self {
        let master = FakeMaster::start(2, script);
        let client = Client::new(&[Entry {
            name: MASTER,
            address: master.address(),
            pinned: false,
        }]);
        Self { master, client }
    }

    fn good() -> Self {
        Self::of(Script::honest())
    }

    fn bad() -> Self {
        Self::of(Script::signing_in(SignIn::Accept(|all| all.master_sign = None)))
    }

    fn saltfo(&self, arguments: &[&str]) -> Saltfo {
        Saltfo::new(arguments).arg("--config").arg(self.client.config())
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.saltfo(arguments).run()
    }
}

/// A pipe that nobody reads any more.
fn broken_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// The document without its times, which no two runs share.
fn timeless(mut document: Json) -> Json {
    document["rtt_ms"] = Json::Null;
    for line in document["masters"].as_array_mut().unwrap() {
        line["latency_ms"] = Json::Null;
    }
    document
}

#[test]
fn the_answer_is_the_name_and_nothing_else() {
    let scene = Scene::good();
    let ended = scene.run(&["active-master", MINION]);
    assert_eq!(
        (ended.code(), ended.stdout.as_str(), ended.stderr.as_str()),
        (0, "salt1.xyz.example\n", "")
    );
    let bad = Scene::bad().run(&["active-master", MINION]);
    assert_eq!((bad.code(), bad.stdout.as_str()), (5, ""));
    assert!(bad.stderr.contains("no master has minion01"), "{bad:?}");
    assert!(bad.stderr.contains("not signed by master_sign"), "{bad:?}");
}

#[test]
fn json_has_the_keys_of_the_contract_and_yaml_says_the_same() {
    let scene = Scene::good();
    let json = scene.run(&["active-master", MINION, "--out", "json"]).document();
    assert!(json["rtt_ms"].as_f64().unwrap() > 0.0);
    assert!(json["masters"][0]["latency_ms"].as_f64().unwrap() > 0.0);
    let expected = json!({
        "minion": MINION, "active": MASTER, "jid": JID, "rtt_ms": null,
        "masters": [{
            "name": MASTER, "address": "127.0.0.2", "state": "active", "verified": true,
            "latency_ms": null, "error": null,
        }],
    });
    assert_eq!(timeless(json), expected);
    let yaml = scene.run(&["active-master", MINION, "--out", "yaml"]).stdout;
    let yaml: Json = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(timeless(yaml), expected);
}

#[test]
fn yaml_of_a_failure_says_the_same_as_json() {
    let scene = Scene::bad();
    let json = scene.run(&["active-master", MINION, "--out", "json"]);
    let yaml = scene.run(&["active-master", MINION, "--out", "yaml"]);
    assert_eq!((json.code(), yaml.code()), (5, 5));
    let yaml: Json = serde_saphyr::from_str(&yaml.stdout).unwrap();
    assert_eq!(timeless(yaml), timeless(json.document()));
}

#[test]
fn several_minions_have_a_line_each_and_the_worst_exit_code() {
    let scene = Scene::good();
    let ended = scene.run(&["--timeout", "1.5", "active-master", "-L", "minion01,minion02"]);
    assert_eq!(
        (ended.code(), ended.stdout.as_str()),
        (3, "minion01\tsalt1.xyz.example\nminion02\t-\n"),
        "{ended:?}"
    );
    let arguments = [
        "--timeout",
        "1.5",
        "--out",
        "json",
        "active-master",
        "-L",
        "minion01,minion02",
    ];
    let document = scene.run(&arguments).document();
    assert_eq!(document[0]["active"], MASTER);
    assert_eq!(document[1]["active"], Json::Null);
    assert_eq!(document[1]["masters"][0]["state"], "unknown_minion");
}

#[test]
fn dotenv_is_exact_and_only_there_after_a_success() {
    let scene = Scene::good();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("active.env");
    let arguments = ["active-master", MINION, "--dotenv", path.to_str().unwrap()];
    assert_eq!(scene.run(&arguments).code(), 0);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "SALTFO_MINION=minion01\nSALTFO_ACTIVE_MASTER=salt1.xyz.example\nSALTFO_ACTIVE_MASTER_ADDRESS=127.0.0.2\n"
    );
    // In place of what is there, whole.
    fs::write(&path, "X=".repeat(1000)).unwrap();
    assert_eq!(scene.run(&arguments).code(), 0);
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .starts_with("SALTFO_MINION=minion01\n")
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let nothing = tempfile::tempdir().unwrap();
    let path = nothing.path().join("active.env");
    let arguments = ["active-master", MINION, "--dotenv", path.to_str().unwrap()];
    assert_eq!(Scene::bad().run(&arguments).code(), 5);
    assert_eq!(fs::read_dir(nothing.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_that_went_away_does_not_change_how_a_run_ends() {
    for (scene, code) in [(Scene::good(), 0), (Scene::bad(), 5)] {
        for out in ["text", "json", "yaml"] {
            let arguments = ["active-master", MINION, "--out", out];
            let quiet = scene.saltfo(&arguments).stderr(Stdio::piped());
            let ended = quiet.stdout(broken_pipe()).run_as_is();
            assert_eq!(ended.code(), code, "{out}: {ended:?}");
            let deaf = scene.saltfo(&arguments).stderr(broken_pipe()).arg("-vv");
            let ended = deaf.stdout(Stdio::piped()).run_as_is();
            assert_eq!(ended.code(), code, "{out}: {ended:?}");
        }
        let probe = scene.saltfo(&["probe"]).stderr(broken_pipe());
        assert_eq!(probe.stdout(broken_pipe()).run_as_is().code(), code);
    }
    for arguments in [["completions", "bash"].as_slice(), &["man"], &["--help"]] {
        let ended = Saltfo::new(arguments)
            .stderr(Stdio::piped())
            .stdout(broken_pipe())
            .run_as_is();
        assert_eq!(ended.code(), 0, "{arguments:?}: {ended:?}");
    }
    let ended = Saltfo::new(["man", "nothing"])
        .stdout(Stdio::piped())
        .stderr(broken_pipe())
        .run_as_is();
    assert_eq!(ended.code(), 2, "{ended:?}");
}

#[test]
fn colour_comes_when_it_is_asked_for_and_never_into_documents() {
    const ESCAPE: char = '\u{1b}';
    let scene = Scene::good();
    let coloured = |arguments: &[&str], no_color: bool| {
        let run = scene.saltfo(arguments);
        let run = if no_color { run.env("NO_COLOR", "1") } else { run };
        let ended = run.run();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert!(ended.stdout.contains(MASTER), "{ended:?}");
        ended.stdout.contains(ESCAPE)
    };
    assert!(coloured(&["probe", "--color", "always"], false));
    assert!(!coloured(&["probe"], false));
    assert!(!coloured(&["probe", "--color", "never"], false));
    assert!(!coloured(&["probe"], true));
    assert!(!coloured(&["probe", "--color", "always", "--out", "json"], false));
    assert!(!coloured(&["probe", "--color", "always", "--out", "yaml"], false));
    assert!(!coloured(&["active-master", MINION, "--color", "always"], false));
}

#[test]
fn a_probe_publishes_nothing() {
    let scene = Scene::good();
    let ended = scene.run(&["probe", "--out", "json"]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert_eq!(ended.document()["masters"][0]["verified"], true);
    assert_eq!(scene.master.count("_file_envs"), 1);
    assert_eq!(scene.master.count("minion_pub"), 0);
    assert_eq!(Scene::bad().run(&["probe", "--out", "json"]).code(), 5);
}

#[test]
fn packagers_get_completions_and_pages() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = Saltfo::new(["completions", shell]).run();
        assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""), "{shell}");
        assert!(ended.stdout.contains("active-master"), "{shell}");
        assert!(ended.stdout.contains("minion-config"), "{shell}");
    }
    let script = Saltfo::new(["completions", "bash"]).run().stdout;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saltfo.bash");
    fs::write(&path, script).unwrap();
    assert!(
        Command::new("bash")
            .arg("-n")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );

    for (arguments, name) in [
        (["man"].as_slice(), "saltfo"),
        (&["man", "active-master"], "active-master"),
    ] {
        let page = Saltfo::new(arguments).run();
        assert_eq!((page.code(), page.stderr.as_str()), (0, ""), "{name}");
        assert!(
            page.stdout.contains(".TH ") && page.stdout.contains(".SH SYNOPSIS"),
            "{name}"
        );
        assert!(page.stdout.replace('\\', "").contains(name), "{name}");
    }
}

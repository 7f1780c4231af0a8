//! The ways in which arguments are given: each delivers to the minion what `salt` would.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use integration::Lab;
use serde_json::{Value as Json, json};

use super::common::{Run, saltfo};

/// A function of `test` that returns what it got.
const ECHO: &str = "test.arg";

pub(crate) fn words_arrive_as_those_of_salt_do(lab: &Lab) {
    let words = [
        "app.deploy",
        "1",
        "'1'",
        "yes",
        "null",
        "None",
        "010",
        "1.50",
        "1:30",
        "2026-01-02",
        "[1, 2]",
        "{a: b}",
        "a b",
        "",
        "#",
        "grün 🧂",
        "pillar={\"v\": [3, null]}",
        "test=True",
        "x='1'",
        "a==1",
    ];
    let ours = saltfo(
        lab,
        &[&["run", "minion01", "--out", "json", ECHO], &words[..]].concat(),
    );
    let salts = Run::of(lab.salt_cli(
        "salt1",
        &[&["minion01", "--out", "json", ECHO], &words[..]].concat(),
    ));
    assert_eq!((ours.code, salts.code), (0, 0), "{ours:?}\n{salts:?}");
    assert_eq!(got(&ours), got(&salts));
}

pub(crate) fn a_base64_word_holds_the_whole_line(lab: &Lab) {
    let line = format!(
        "{ECHO} 'a  b' \"it's\" $HOME pillar='{{\"v\": \"ü; `id`\"}}' test=True -- --not-an-option -1\n"
    );
    let mut encode = std::process::Command::new("base64");
    encode.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = encode.spawn().unwrap();
    child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    // As coreutils print it, with line breaks.
    let word = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let run = saltfo(lab, &["run", "--out", "json", "minion01", "--base64", &word]);
    assert_eq!(run.code, 0, "{run:?}");
    let pillar = json!({"v": "ü; `id`"});
    let args = json!(["a  b", "it's", "$HOME", "--not-an-option", -1]);
    assert_eq!(
        got(&run),
        json!({"args": args, "kwargs": {"pillar": pillar, "test": true}})
    );
}

pub(crate) fn a_document_arrives_as_it_is(lab: &Lab) {
    let document = json!({
        "args": ["1", "yes", "a b", "{a: b}", 1, 1.5, null, true, ["x", {"y": "2026-01-02"}], "'q'"],
        "kwargs": {"pillar": {"v": "010", "q": "it's \"so\""}, "n": "None", "grün": [1]},
    });
    let file = lab.folder().join("arguments.json");
    fs::write(&file, document.to_string()).unwrap();
    let words = ["run", "--out", "json", "minion01", ECHO, "--arg-json"];
    let run = saltfo(lab, &[&words[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(got(&run), document);

    let mut command = lab
        .saltfo(&[&words[..], &["-", "first", "k=2"]].concat())
        .unwrap();
    command.stdin(fs::File::open(&file).unwrap());
    let run = Run::of(command);
    assert_eq!(run.code, 0, "{run:?}");
    let got = got(&run);
    assert_eq!(
        (&got["args"][0], &got["args"][1]),
        (&json!("first"), &json!("1")),
        "{run:?}"
    );
    assert_eq!(
        (&got["kwargs"]["k"], &got["kwargs"]["n"]),
        (&json!(2), &json!("None")),
        "{run:?}"
    );
}

/// What the function got, without what Salt adds.
fn got(run: &Run) -> Json {
    let mut got = run.json()["minion01"].clone();
    let kwargs = got["kwargs"].as_object_mut().unwrap_or_else(|| panic!("{run:?}"));
    kwargs.retain(|name, _| !name.starts_with("__pub_"));
    got
}

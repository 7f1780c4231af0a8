//! JUnit reports, read by a parser that is not ours: Python's expat, on the returns of real minions and worse.

// A helper of tests is no test to the lints: a panic is how it reports.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use agent::output::junit::{End, Suite, write};
use agent::success::{Outcome, judge};
use proto::message::Value;
use serde_json::json;

/// Reads a report as GitLab does: the cases with their verdict and its content.
const READER: &str = r#"
import json, sys, xml.etree.ElementTree as tree
root = tree.fromstring(sys.stdin.buffer.read())
assert root.tag == "testsuites", root.tag
cases = []
for suite in root:
    assert suite.tag == "testsuite" and int(suite.get("tests")) == len(suite), suite.attrib
    for case in suite:
        assert case.tag == "testcase", case.tag
        float(case.get("time"))
        inner = [(child.tag, child.get("message"), child.text) for child in case]
        cases.append([suite.get("name"), case.get("classname"), case.get("name"), inner])
print(json.dumps(cases))
"#;

fn read(suites: &[Suite<'_>]) -> serde_json::Value {
    let mut report = Vec::new();
    write(&mut report, suites, &|_| "text".to_owned()).unwrap();
    let mut child = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&report).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&report));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn state(tag: &[u8], comment: Vec<u8>) -> (Value, Value) {
    let fields = Value::map([
        ("result", Value::Bool(false)),
        ("comment", Value::Raw(comment)),
        ("__sls__", Value::text("a.b")),
    ]);
    (Value::Raw(tag.to_vec()), fields)
}

#[test]
fn every_byte_in_names_and_comments_makes_a_readable_report() {
    let all: Vec<u8> = (0..=255).collect();
    let plain = "x <b> & \"c\" 'd' ]]> é 😀 \u{7f}\u{85}\u{2028}\n\ttab\r\nend";
    let ret = Value::Map(vec![
        state(b"test_|-all_|-all_|-nop", all.clone()),
        state(
            &[b"test_|-", all.as_slice(), b"_|-n_|-nop"].concat(),
            b"c".to_vec(),
        ),
        state("test_|-<ü>_|-\"n\"\n_|-nop".as_bytes(), plain.as_bytes().to_vec()),
    ]);
    let outcome = judge("state.apply", &ret, None);
    let suite = Suite {
        minion: "minion01",
        function: "state.apply",
        end: End::Returned(&ret, &outcome),
        time: Duration::from_secs(1),
    };
    let cases = read(&[suite]);
    assert_eq!(cases.as_array().unwrap().len(), 3);
    let last = json!([
        "minion01",
        "a.b",
        "<ü> (test.nop \"n\"\n)",
        [["failure", "x <b> & \"c\" 'd' ]]> é 😀 \u{fffd}", plain]]
    ]);
    assert_eq!(cases[2], last);
}

#[test]
fn several_minions_are_suites_and_lost_ones_are_errors() {
    let ret = Value::Map(vec![state(b"test_|-a_|-a_|-nop", b"why".to_vec())]);
    let outcome = Outcome::Failed("why".to_owned());
    let suite = |minion, end| Suite {
        minion,
        function: "state.apply",
        end,
        time: Duration::from_secs(1),
    };
    let returned = End::Returned(&ret, &outcome);
    let cases = read(&[
        suite("m1", returned),
        suite("m2", returned),
        suite("m3", End::Unknown("no return\nin time")),
    ]);
    let failure = json!([["failure", "why", "why"]]);
    let expected = json!([
        ["m1", "m1: a.b", "a (test.nop)", failure],
        ["m2", "m2: a.b", "a (test.nop)", failure],
        [
            "m3",
            "m3: state",
            "state.apply",
            [["error", "no return", "no return\nin time"]]
        ]
    ]);
    assert_eq!(cases, expected);
}

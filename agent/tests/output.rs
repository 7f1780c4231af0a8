//! What saltfo prints of a return, compared with what Salt's own outputters print of it, to the byte.
//!
//! `agent/tests/output/README.md` says where the texts come from.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::BTreeMap;
use std::fs;

use agent::output::{self, Look, Returned, StateOutput};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use clap::ValueEnum as _;
use proto::message::{Limits, Value};
use serde::Deserialize;

const MINION: &str = "minion01";

/// A return, and what Salt printed of it, by the options that it was given.
#[derive(Deserialize)]
struct Case {
    name: String,
    value: String,
    printed: BTreeMap<String, String>,
}

impl Case {
    fn all() -> Vec<Self> {
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/output/printed.jsonl");
        let path = std::env::var("SALT_PRINTED").unwrap_or_else(|_| kept.to_owned());
        let lines = fs::read_to_string(path).unwrap();
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn value(&self) -> Value {
        Value::decode(&BASE64_STANDARD.decode(&self.value).unwrap(), Limits::VERIFIED).unwrap()
    }
}

/// What we print under the options that a text of Salt's is filed under.
fn print(value: &Value, options: &str) -> String {
    let words: Vec<&str> = options.split(' ').collect();
    let mut returned = Returned {
        minion: MINION,
        function: "state.apply",
        value,
        outputter: Some("highstate"),
        retcode: None,
    };
    let mut look = Look {
        color: words.contains(&"color"),
        state_verbose: !words.contains(&"quiet"),
        ..Look::default()
    };
    match words[0] {
        "json" => return output::json(&[(MINION, value)]).unwrap(),
        "yaml" => return output::yaml(&[(MINION, value)]).unwrap(),
        "nested" => {
            returned.outputter = Some("nested");
            returned.retcode = words.contains(&"failed").then_some(1);
        }
        state_output => look.state_output = StateOutput::from_str(state_output, false).unwrap(),
    }
    output::of_minion(&returned, &look).unwrap()
}

#[test]
fn every_return_is_printed_as_salt_prints_it() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for case in Case::all() {
        let value = case.value();
        for (options, expected) in &case.printed {
            compared += 1;
            let printed = print(&value, options);
            if printed != *expected {
                let difference = first_difference(expected, &printed);
                wrong.push(format!("{} ({options}): {difference}", case.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {compared} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(compared > 400, "only {compared} texts were compared");
}

/// The first line that differs, and its number.
fn first_difference(expected: &str, printed: &str) -> String {
    let mut pairs = expected.split('\n').zip(printed.split('\n')).enumerate();
    match pairs.find(|(_, (expected, printed))| expected != printed) {
        Some((at, (expected, printed))) => {
            format!("line {}\n    salt   {expected:?}\n    saltfo {printed:?}", at + 1)
        }
        None => format!(
            "{} lines instead of {}",
            printed.split('\n').count(),
            expected.split('\n').count()
        ),
    }
}

#[test]
fn several_minions_are_one_document() {
    let one = Value::map([("a", Value::Int(1))]);
    let two = Value::Array(vec![]);
    let returns = [("minion02", &one), ("minion01", &two)];
    let json: serde_json::Value = serde_json::from_str(&output::json(&returns).unwrap()).unwrap();
    assert_eq!(json, serde_json::json!({"minion02": {"a": 1}, "minion01": []}));
    assert_eq!(
        output::json(&returns).unwrap(),
        "{\n    \"minion02\": {\n        \"a\": 1\n    },\n    \"minion01\": []\n}\n"
    );
    assert_eq!(
        output::yaml(&returns).unwrap(),
        "minion01: []\nminion02:\n  a: 1\n"
    );
    assert_eq!(output::json(&[]).unwrap(), "{}\n");
    assert_eq!(output::yaml(&[]).unwrap(), "{}\n");
}

#[test]
fn keys_that_are_no_text_do_not_empty_the_json_document() {
    let value = Value::Map(vec![(Value::Raw(vec![0xff]), Value::text("kept"))]);
    let expected = "{\n    \"minion01\": {\n        \"b'\\\\xff'\": \"kept\"\n    }\n}\n";
    assert_eq!(print(&value, "json"), expected);
}

#[test]
fn functions_that_return_states_are_printed_as_states() {
    let states = Value::Map(vec![]);
    let printed = |function, outputter, value: &Value| {
        let returned = Returned {
            minion: MINION,
            function,
            value,
            outputter,
            retcode: None,
        };
        output::of_minion(&returned, &Look::default()).unwrap()
    };
    for function in [
        "state.apply",
        "state.sls_id",
        "state.highstate",
        "state.template_str",
    ] {
        assert!(
            printed(function, None, &states).contains("Summary for minion01"),
            "{function}"
        );
    }
    for function in [
        "state.show_sls",
        "state.orchestrate",
        "grains.items",
        "apply",
        "mystate.apply",
    ] {
        assert_eq!(
            printed(function, None, &states),
            "minion01:\n    ----------\n",
            "{function}"
        );
    }
    assert_eq!(
        printed("state.apply", Some("nested"), &states),
        "minion01:\n    ----------\n"
    );
    assert!(printed("my.function", Some("highstate"), &states).contains("Summary for minion01"));

    let errors = Value::Array(vec![Value::text("No matching sls found for 'x' in env 'base'")]);
    assert!(printed("state.apply", None, &errors).contains("Data failed to compile:"));
    let exception = Value::text("The minion function caused an exception: Traceback");
    let indented = "minion01:\n    The minion function caused an exception: Traceback\n";
    assert_eq!(printed("state.apply", None, &exception), indented);
}

/// Salt ends with a traceback here.
#[test]
fn states_with_names_that_salt_cannot_take_apart_are_printed_all_the_same() {
    let state = |name: &str| {
        let fields = [
            ("result", Value::Bool(false)),
            ("comment", Value::text("failed")),
            ("changes", Value::map([])),
            ("__run_num__", Value::Int(0)),
        ];
        Value::Map(vec![(Value::text(name), Value::map(fields))])
    };
    for options in ["full", "terse", "changes_id"] {
        let printed = print(&state("no parts"), options);
        assert!(printed.contains("failed"), "{printed}");
    }
}

#[test]
fn indentation_does_not_make_gigabytes_of_a_return() {
    let mut value = Value::text("a\n".repeat(1 << 20));
    for _ in 0..100 {
        value = Value::map([("k", value)]);
    }
    for outputter in ["nested", "highstate"] {
        let returned = Returned {
            minion: MINION,
            function: "state.apply",
            value: &value,
            outputter: Some(outputter),
            retcode: None,
        };
        assert_eq!(
            output::of_minion(&returned, &Look::default()),
            Err(output::TooLong),
            "{outputter}"
        );
    }
    let mut value = Value::Array(vec![Value::Int(1); 1 << 20]);
    for _ in 0..100 {
        value = Value::Array(vec![value]);
    }
    assert_eq!(output::json(&[(MINION, &value)]), Err(output::TooLong));
}

//! Arguments on their way through real Salt: its own `parse_input`, msgpack and `load_args_and_kwargs`.

// A helper of tests is no test to the lints: a panic is how it reports.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used
)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use agent::arguments::{from_document, from_words};
use integration::{Progress, Salt, SaltVersion};
use proto::message::Value;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

/// What trips readers of YAML 1.1, Salt's own exceptions, and the edges of msgpack.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "", " ", "1", "'1'", "\"1\"", "+1", "-1", "0", "007", "010", "-010", "0o17", "0x1F", "0b101", "1_000",
    "0x_", "1.5", "1.", ".5", "-.5", "1e3", "1.0e+3", "1.0e+400", ".inf", "-.INF", ".nan", "1:30", "1:30.5",
    "12:30:45", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
    "-9223372036854775808", "-9223372036854775809", "20261121153700123456", "12345678901234567890",
    "0xffffffffffffffffffff", "yes", "No", "TRUE", "on", "Off", "y", "n", "null", "~", "None", " None", "none",
    "2026-01-02", "2026-01-02 03:04:05", "2026-1-2T03:04:05Z", "---", "...", "--- a", "%", "@a", "`a`", "|",
    ">", "!", "! 12", "! '12'", "!a b", "!!int '3'", "!!str 3", "!!float 3", "!!null x", "!!bool abc",
    "!!binary aGVsbG8=", "[!!binary aGVsbG8]", "!!set {a}", "[!!set {a}]", "[!!omap [a: 1]]",
    "!!python/unicode 1", "!!python/object:os.system x", "[!!timestamp 2026-01-02]", "&a b", "[&a 1, *a]",
    "&a [*a]", "[&a [*a]]", "*a", "[&a {b: 1}, {<<: *a, c: 2}]", "{<<: {a: 1}, a: 2}", "{<<: [{a: 1}, {a: 2}]}",
    "<<", "[<<]", "=", "[=]", "{=: 1}", "[1, 2]", "[]", "[a, b", "[a,, b]", "[a b, c: d]",
    "[ -f /x ] && echo y", " [1]", "- a", "-", "?", ":", "a: b", "a:b", "a: b: c", "{a: 1}", "{a:1}",
    "{a: 1, a: 2}", "{1: a, true: b}", "{1: a, 1.0: b}", "{a: }", "{}", "{a}", "{[a]: b}",
    "{\"a\": \"\\u00e9\\n\\/\"}", "{\"a\": \"\\ud83d\\ude00\"}", "#", "# a", "a # b", "a#b", "{a: 1} # c",
    "a: 1 # c", "- 1 # c", "1 # c", "a\tb", "a\nb", "a\r\nb", "{a: 1}\n", "é", "😀", "\u{feff}abc", "a\u{85}b",
    "a\u{2028}b", "\u{a0}", "\u{3000}\u{1c}", "\u{7}", "a=1", "a=", "a='1'", "a= 1", "a==1", "=1", "1a=1",
    "_a=1", "a.b-c=1", "größe=5", "कि=1", "²=1", "a=b=c", "a=b\n", "a=b\nc", "a={b: [1, 2]}", "a=[1", "a=None",
    "a=2026-01-02", "a=20261121153700123456", "a=#b", "a=b # c", "__kwarg__=x", "__kwarg__=True", "__pub_jid=1",
    "{__kwarg__: true, z: 1}", "{__kwarg__: false, z: 1}", "-t", "--", "*.sls", "a,b", "app.deploy",
    "pillar={\"v\": 3, \"w\": [true, null]}", "test=True", "name=/etc/a b", "'a=b'", "\"a=b\"",
    "cmd='echo \"x: y\"'", "{{ x }}", "salt://a?saltenv=b", "http://a/b", "C:\\x", "50%", "a;b|c&d", "$HOME",
];

/// Pieces of which random words are made.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "a", "b", "1", "0", "9", "yes", "null", "e", "é", "😀", " ", "  ", ".", ":", ": ", ",", ", ", "-", "- ", "_",
    "+", "#", " #", "!", "!!", "!!str ", "&a ", "*a", "?", "|", ">", "%", "@", "'", "''", "\"", "\\", "\\n",
    "\\x41", "[", "]", "{", "}", "=", "a=", "b=", "<<", "\t", "\n", "\u{85}", "\u{2028}", "\u{a0}", "~", "/",
    "0x", "0b1", "1:30", "2026-01-02",
];

/// Asks the given Salt about every case and returns its answers.
fn ask(version: SaltVersion, cases: &[serde_json::Value]) -> Vec<serde_json::Value> {
    let salt = Salt::ensure(version, &Progress::stderr()).unwrap();
    let mut child = Command::new(salt.python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/arguments_salt.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), cases.len(), "the Python process ended early");
    answers
}

/// Fails with the first few cases that real Salt takes otherwise.
fn all_arrive(cases: &[serde_json::Value]) {
    for version in SaltVersion::tested().unwrap() {
        let answers = ask(version, cases);
        let wrong: Vec<_> = answers.iter().filter_map(|answer| answer.as_str()).collect();
        let few = wrong.iter().take(10).copied().collect::<Vec<_>>().join("\n");
        assert!(
            wrong.is_empty(),
            "{version}: {} of {} differ:\n{few}",
            wrong.len(),
            cases.len()
        );
    }
}

fn hex(arguments: Vec<Value>) -> String {
    let bytes = Value::Array(arguments).encode();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn words_case(words: &[String]) -> serde_json::Value {
    json!({"words": words, "wire": hex(from_words("test.arg", words).unwrap())})
}

fn random_text(random: &mut StdRng, longest: usize) -> String {
    let count = random.random_range(0..=longest);
    (0..count)
        .map(|_| PIECES[random.random_range(0..PIECES.len())])
        .collect()
}

#[test]
fn words_reach_the_function_as_salt_would_deliver_them() {
    let mut cases: Vec<_> = WORDS
        .iter()
        .map(|word| words_case(&[(*word).to_owned()]))
        .collect();
    // Kwargs that come twice, and words beside each other.
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..400 {
        let count = random.random_range(0..6);
        let pick = |random: &mut StdRng| WORDS[random.random_range(0..WORDS.len())].to_owned();
        cases.push(words_case(
            &(0..count).map(|_| pick(&mut random)).collect::<Vec<_>>(),
        ));
    }
    for _ in 0..3000 {
        cases.push(words_case(&[random_text(&mut random, 8)]));
    }
    all_arrive(&cases);
}

#[test]
fn a_document_reaches_the_function_as_it_is_written() {
    let mut texts: Vec<String> = WORDS.iter().map(|word| (*word).to_owned()).collect();
    texts.push("\0".to_owned());
    texts.push("x ".repeat(5000) + "\n");
    texts.push((0_u8..=127).map(char::from).collect());
    texts.push("\u{fffe}\u{ffff}\u{d7ff}\u{e000}\u{10ffff}\u{80}\u{9f}\u{7f}".to_owned());
    let mut random = StdRng::seed_from_u64(2);
    texts.extend((0..3000).map(|_| random_text(&mut random, 8)));
    let mut cases = Vec::new();
    let mut refused = Vec::new();
    for text in &texts {
        for document in [
            json!([text, [text], {text: text}]),
            json!({"kwargs": {"a": text, "b": [text, null, 1.5]}}),
        ] {
            let document = document.to_string();
            match from_document(&document) {
                Ok(arguments) => cases.push(json!({"document": document, "wire": hex(arguments)})),
                Err(error) => refused.push(format!("{document}: {error}")),
            }
        }
    }
    for numbers in [
        "[0, -1, 1.0, 1e3, 9223372036854775807, -999999999999999999, 1000000000000000000, true, false, null]",
        r#"{"args": [[18446744073709551615]], "kwargs": {"a": 18446744073709551615, "a b": 1, "": 2}}"#,
    ] {
        cases.push(json!({"document": numbers, "wire": hex(from_document(numbers).unwrap())}));
    }
    all_arrive(&cases);
    let other: Vec<_> = refused
        .iter()
        .filter(|why| !why.contains("looks like name=value"))
        .collect();
    assert!(other.is_empty(), "{other:?}");
    assert!(
        refused.len() < texts.len() / 4,
        "{} of {}",
        refused.len(),
        texts.len()
    );
}

#[test]
fn a_pillar_that_is_refused_is_no_mapping_to_salt_either() {
    let mut random = StdRng::seed_from_u64(3);
    let mut values: Vec<String> = (0..6000)
        .map(|_| format!("{{{}}}", random_text(&mut random, 6)))
        .collect();
    let whole = |word: &&&str| word.starts_with('{');
    values.extend(WORDS.iter().filter(whole).map(|word| (*word).to_owned()));
    values.extend(
        WORDS
            .iter()
            .map(|word| format!("{{\"a\": {word}, b: [{word}], '{word}': x}}")),
    );
    let is_refused = |value: &String| from_words("state.apply", &[format!("pillar={value}")]).is_err();
    let refused: Vec<_> = values.iter().filter(|value| is_refused(value)).collect();
    assert!(refused.len() > 1000 && refused.len() < values.len());
    let cases: Vec<_> = refused.iter().map(|value| json!({"value": value})).collect();
    for version in SaltVersion::tested().unwrap() {
        let answers = ask(version, &cases);
        let taken: Vec<_> = refused
            .iter()
            .zip(answers)
            .filter(|(_, answer)| answer == true)
            .collect();
        let few = taken
            .iter()
            .take(10)
            .map(|(value, _)| format!("{value:?}"))
            .collect::<Vec<_>>()
            .join("\n");
        assert!(
            taken.is_empty(),
            "{version}: Salt reads {} of {}:\n{few}",
            taken.len(),
            refused.len()
        );
    }
}

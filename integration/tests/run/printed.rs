//! What is printed and reported of a job, beside what Salt's own tools print of the same job.

use std::fs;
use std::process::Command;

use integration::Lab;

use super::common::{Run, saltfo};

/// Changes of several lines, text beyond ASCII, a failure, a requisite that fails with it, one that is not met.
const STATES: &str = "\
größe:
  test.configurable_test_state:
    - changes: True
    - result: True
    - comment: |
        first line, grün
        second line
file:
  file.managed:
    - name: FOLDER/managed
    - contents: |
        one
        zwei 🧂
broken:
  cmd.run:
    - name: echo out; echo err >&2; exit 3
never:
  test.nop:
    - require: [{cmd: broken}]
idle:
  test.nop:
    - onchanges: [{test: unchanged}]
unchanged:
  test.succeed_without_changes
warned:
  test.succeed_with_changes:
    - unknown_argument: 1
";

/// Finds the cases of a report as GitLab does, with the outcome of each.
const READER: &str = r#"
import sys, xml.etree.ElementTree as tree
for suite in tree.parse(sys.argv[1]).getroot():
    for case in suite:
        inner = case[0] if len(case) else None
        kind = "passed" if inner is None or inner.tag == "system-out" else inner.tag
        print(suite.get("name"), case.get("classname"), case.get("name"), kind, sep="|")
"#;

pub(crate) fn text_is_what_salt_prints_of_the_same_job(lab: &Lab) {
    let states = STATES.replace("FOLDER", &lab.folder().display().to_string());
    fs::write(lab.file_root().join("mixed.sls"), states).unwrap();
    fs::write(lab.file_root().join("unrendered.sls"), "{{ 1 / 0 }}\n").unwrap();
    let jobs: &[(&[&str], i32)] = &[
        (&["state.apply", "mixed"], 1),
        (&["state.apply", "mixed", "test=True"], 0),
        (&["state.apply", "unrendered"], 1),
        (&["state.apply", "nosuch"], 1),
        (&["state.single", "test.nop", "a"], 0),
        (&["test.arg", "grün", "{a: [1, 2.5, None]}", "k=true"], 0),
        (&["test.ping"], 0),
        (&["grains.item", "os", "locale_info"], 0),
        (&["cmd.run", "printf 'a\\n\\nb\\033[31m\\n'"], 0),
    ];
    for (words, code) in jobs {
        compare(lab, words, *code, &["--color", "always"], &["--force-color"]);
    }
    for look in ["terse", "mixed", "changes", "changes_id"] {
        let look = format!("--state-output={look}");
        let words = ["state.apply", "mixed"];
        compare(lab, &words, 1, &[&look], &["--no-color", &look]);
    }
    let quiet = ["--state-verbose=False"];
    compare(
        lab,
        &["state.apply", "mixed"],
        1,
        &quiet,
        &["--no-color", quiet[0]],
    );
}

/// Runs a job, and has the master print the same job from its cache.
fn compare(lab: &Lab, words: &[&str], code: i32, ours: &[&str], salts: &[&str]) {
    let run = saltfo(lab, &[&["run", "minion01"], ours, words].concat());
    assert_eq!(run.code, code, "{words:?}: {run:?}");
    let jid = run.stderr.split(' ').nth(2).unwrap();
    let printed = Run::of(lab.salt_run("salt1", &[&["jobs.lookup_jid", jid], salts].concat()));
    assert_eq!(
        run.stdout, printed.stdout,
        "{words:?} {ours:?}: {run:?}\n{printed:?}"
    );
    assert!(run.stdout.contains("minion01"), "{run:?}");
}

/// The job cache does not colour by the retcode; `salt` does.
pub(crate) fn a_job_that_failed_is_as_red_as_salt_prints_it(lab: &Lab) {
    for words in [
        &["cmd.run", "echo a; exit 3"][..],
        &["test.nosuch"],
        &["test.sleep"],
    ] {
        let run = saltfo(lab, &[&["run", "minion01", "--color", "always"], words].concat());
        let salt = Run::of(lab.salt_cli("salt1", &[&["minion01", "--force-color"], words].concat()));
        assert_eq!((run.code, &run.stdout), (1, &salt.stdout), "{run:?}\n{salt:?}");
    }
}

pub(crate) fn two_minions_are_one_document(lab: &Lab) {
    let both = ["run", "-L", "minion02,minion01", "test.arg", "x", "--out"];
    let of = |form| saltfo(lab, &[&both[..], &[form]].concat());
    let json = of("json");
    assert_eq!(json.code, 0, "{json:?}");
    assert_eq!(json.json()["minion02"]["args"][0], "x", "{json:?}");
    assert_eq!(json.json().as_object().unwrap().len(), 2, "{json:?}");
    let yaml = of("yaml");
    // Salt's YAML is sorted.
    let (first, second) = (yaml.stdout.find("minion01:\n"), yaml.stdout.find("minion02:\n"));
    assert!(first == Some(0) && second > first, "{yaml:?}");
    let text = of("text");
    for minion in ["minion01", "minion02"] {
        assert!(
            text.stdout
                .contains(&format!("{minion}:\n    ----------\n    args:\n")),
            "{text:?}"
        );
    }
}

pub(crate) fn a_report_has_a_case_for_each_state(lab: &Lab) {
    let file = lab.folder().join("report.xml");
    let report = |options: &[&str], code: i32| {
        let run = saltfo(
            lab,
            &[&["run", "--junit", file.to_str().unwrap()], options].concat(),
        );
        assert_eq!(run.code, code, "{run:?}");
        let read = Run::of({
            let mut command = Command::new("python3");
            command.args(["-c", READER]).arg(&file);
            command
        });
        assert_eq!(read.code, 0, "{read:?}");
        read.stdout
    };
    let both = report(&["-L", "minion01,minion02", "state.apply", "mixed"], 1);
    for minion in ["minion01", "minion02"] {
        for case in [
            "größe (test.configurable_test_state)|passed",
            "broken (cmd.run echo out; echo err >&2; exit 3)|failure",
            "never (test.nop)|failure",
            "idle (test.nop)|skipped",
        ] {
            let line = format!("{minion}|{minion}: mixed|{case}\n");
            assert!(both.contains(&line), "{line}{both}");
        }
    }
    let one = |options: &[&str], code| report(&[&["minion01"], options].concat(), code);
    assert_eq!(one(&["test.ping"], 0), "minion01|test|test.ping|passed\n");
    assert_eq!(one(&["cmd.run", "exit 3"], 1), "minion01|cmd|cmd.run|failure\n");
    assert_eq!(
        one(&["network.interfaces"], 6),
        "minion01|network|network.interfaces|error\n"
    );
    let late = one(&["test.sleep", "20", "--timeout", "4"], 7);
    assert_eq!(late, "minion01|test|test.sleep|error\n");
    // Nothing is sent, and the report of before stays.
    let run = saltfo(
        lab,
        &["run", "minion01", "test.ping", "--junit", "/nowhere/report.xml"],
    );
    assert_eq!((run.code, run.stderr.contains("jid")), (2, false), "{run:?}");
}

pub(crate) fn in_gitlab_each_minion_is_a_section(lab: &Lab) {
    let words = ["run", "-L", "minion01,minion02", "state.apply", "mixed"];
    let mut command = lab.saltfo(&words).unwrap();
    command.env("GITLAB_CI", "true");
    let run = Run::of(command);
    assert_eq!(run.code, 1, "{run:?}");
    for minion in ["minion01", "minion02"] {
        for marker in ["section_start:", "section_end:"] {
            let is_marker =
                |line: &str| line.starts_with(marker) && line.contains(&format!(":{minion}\r\u{1b}[0K"));
            assert!(run.stdout.lines().any(is_marker), "{marker} {minion}: {run:?}");
        }
    }
}

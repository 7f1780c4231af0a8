//! What functions return, and what that means.

use integration::Lab;

use super::common::{Run, saltfo};

fn run(lab: &Lab, words: &[&str]) -> Run {
    let mut all = vec!["run", "minion01", "--out", "json", "--timeout", "60"];
    all.extend(words);
    saltfo(lab, &all)
}

const STATES: [(&str, &str); 4] = [
    ("fails", "broken:\n  cmd.run:\n    - name: 'false'\n"),
    (
        "requires",
        "broken:\n  cmd.run:\n    - name: 'false'\nnever:\n  cmd.run:\n    - name: 'true'\n    - require: [{cmd: broken}]\n",
    ),
    (
        "compile",
        "a:\n  cmd.run:\n    - nme: x\n    - require: [{cmd: nowhere}]\n",
    ),
    ("render", "{{ 1 / 0 }}\n"),
];

pub(crate) fn every_kind_of_result_has_its_exit_code(lab: &Lab) {
    for (name, text) in STATES {
        std::fs::write(lab.file_root().join(format!("{name}.sls")), text).unwrap();
    }
    let changes = format!(
        "pillar={{seconds: 0, file: {}}}",
        lab.folder().join("changes").display()
    );
    let good: &[&[&str]] = &[
        &["test.ping"],
        &["state.apply", "once", &changes],
        &["state.apply", "once", &changes, "test=True"],
        &["cmd.run", "exit 0"],
        &["test.arg", "--", "-1", "--not-an-option"],
    ];
    for words in good {
        let run = run(lab, words);
        assert_eq!(run.code, 0, "{words:?}: {run:?}");
    }
    let bad: &[(&[&str], &str)] = &[
        (&["state.apply", "fails"], "failed: broken (cmd.run): "),
        (
            &["state.apply", "requires"],
            "failed: 2 states failed, first broken (cmd.run): ",
        ),
        (&["state.apply", "compile"], "nowhere"),
        (&["state.apply", "render"], "Rendering SLS"),
        (&["state.apply", "nosuch"], "No matching sls found for 'nosuch'"),
        (&["cmd.run", "exit 3"], "failed: retcode 3"),
        (
            &["test.exception", "broken"],
            "The minion function caused an exception: ",
        ),
        (&["test.nosuch"], "'test.nosuch' is not available."),
        (&["test.sleep"], "Passed invalid arguments to test.sleep: "),
    ];
    for (words, why) in bad {
        let run = run(lab, words);
        assert_eq!(run.code, 1, "{words:?}: {run:?}");
        assert!(run.stderr.contains(why), "{words:?}: {run:?}");
        // What the minion said is shown.
        assert!(!run.json()["minion01"].is_null(), "{words:?}: {run:?}");
    }
    let unknown = run(lab, &["test.nosuch"]);
    assert!(unknown.stdout.contains("is not available"), "{unknown:?}");
}

pub(crate) fn text_and_bytes_arrive_whole(lab: &Lab) {
    let returned = run(lab, &["test.echo", "grün 🧂 \u{202e}rtl"]);
    assert_eq!(
        (returned.code, returned.json()["minion01"].as_str()),
        (0, Some("grün 🧂 \u{202e}rtl")),
        "{returned:?}"
    );
    // A byte that is no UTF-8: what Salt's minion makes of it arrives, and nothing fails.
    let returned = run(lab, &["cmd.run", r"printf 'a\377b\001c'"]);
    assert_eq!(returned.code, 0, "{returned:?}");
    let text = returned.json()["minion01"].as_str().unwrap().to_owned();
    assert!(text.starts_with('a') && text.ends_with('c'), "{text:?}");
}

pub(crate) fn ten_megabytes_arrive(lab: &Lab) {
    let returned = run(lab, &["cmd.run", "head -c 10000000 /dev/zero | tr '\\0' x"]);
    assert_eq!(returned.code, 0, "{}", returned.stderr);
    let text = returned.json()["minion01"].as_str().unwrap().to_owned();
    assert_eq!(text.len(), 10_000_000);
    assert!(text.bytes().all(|byte| byte == b'x'));
}

pub(crate) fn a_return_that_the_minion_has_cut_is_called_that(lab: &Lab) {
    let returned = saltfo(
        lab,
        &[
            "run",
            "minion02",
            "cmd.run",
            "head -c 2000000 /dev/zero | tr '\\0' x",
        ],
    );
    assert!(returned.stdout.contains("VALUE_TRIMMED"), "{}", returned.stderr);
    assert!(returned.stderr.contains("max_event_size"), "{}", returned.stderr);
}

//! A person at a terminal: a line of progress, and a question when Ctrl-C is hit.

use integration::Lab;

use super::common::Run;

const TERMINAL: &str = include_str!("terminal.py");
const CTRL_C: &str = "\u{3}";
const ERASE_LINE: &str = "\u{1b}[2K";
const QUESTION: &str = "kill it on the minion? [y/N] ";

/// Runs `saltfo run minion01 ARGUMENTS`; types each answer once its prompt is shown.
fn on_terminal(lab: &Lab, arguments: &[&str], dialog: &[(&str, &str)]) -> Run {
    let dialog: Vec<_> = dialog
        .iter()
        .flat_map(|(prompt, answer)| [*prompt, *answer])
        .collect();
    let saltfo = lab.saltfo(&[]).unwrap();
    let mut python = lab.command("runner", "python3");
    python.args(["-c", TERMINAL, &dialog.join("\u{1f}")]);
    // The program on the runner, after what enters it.
    python.arg(integration::find_saltfo().unwrap());
    for (name, value) in saltfo.get_envs() {
        if let Some(value) = value {
            python.env(name, value);
        }
    }
    python.args(["run", "minion01"]).args(arguments);
    python.env("TERM", "xterm").env_remove("NO_COLOR");
    Run::of(python)
}

pub(crate) fn a_person_sees_what_the_minion_does_and_may_kill_it(lab: &Lab) {
    let ran = on_terminal(
        lab,
        &["test.sleep", "600"],
        &[("minion01: running", CTRL_C), (QUESTION, "y\r")],
    );
    assert_eq!(ran.code, 7, "{ran:?}");
    let (before, after) = ran.stdout.split_once(QUESTION).unwrap();
    assert!(
        before.contains("goes on") && before.contains("locating"),
        "{ran:?}"
    );
    assert!(after.contains("Signal 9 sent to job"), "{ran:?}");
}

pub(crate) fn a_person_who_says_no_leaves_the_job(lab: &Lab) {
    let ran = on_terminal(lab, &["test.sleep", "3"], &[("jid ", CTRL_C), (QUESTION, "\r")]);
    assert_eq!(ran.code, 7, "{ran:?}");
    let jid = ran.stdout.split_once("jid ").unwrap().1;
    let jid = jid.split_once(' ').unwrap().0;
    let again = super::common::saltfo(lab, &["run", "--jid", jid, "minion01"]);
    assert_eq!(again.code, 0, "{again:?}");
}

pub(crate) fn the_line_of_progress_is_gone_when_the_result_is_there(lab: &Lab) {
    let ran = on_terminal(lab, &["test.ping"], &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // In Salt's colours.
    assert!(ran.stdout.contains("\u{1b}[0;1;33mTrue"), "{ran:?}");
    let (_, after) = ran.stdout.rsplit_once("locating").unwrap();
    assert!(after.contains(ERASE_LINE), "{ran:?}");
}

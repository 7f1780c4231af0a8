//! The passphrase is asked for on a terminal: once to open, twice if it is new, and is never shown.

use crate::common::{Ran, Sandbox};
use crate::{MORE, XYZ, both, sealed_texts, xyz};

/// Runs the program on a terminal of its own: waits for each prompt, then types its answer. Prints what the terminal
/// showed, and exits as the program does.
const TERMINAL: &str = r#"
import os, pty, select, sys, termios, time
dialog, argv = sys.argv[1].split("\x1f"), sys.argv[2:]
child, fd = pty.fork()
if child == 0:
    os.environ.pop("PKI_TOOLS_PASSPHRASE", None)
    os.execv(argv[0], argv)
shown, from_here = b"", 0
answers = list(zip(dialog[0::2], dialog[1::2]))
while True:
    ready, _, _ = select.select([fd], [], [], 60)
    if not ready:
        sys.exit("the program neither asks nor ends: " + repr(shown))
    try:
        more = os.read(fd, 4096)
    except OSError:
        break
    if not more:
        break
    shown += more
    while answers and answers[0][0].encode() in shown[from_here:]:
        from_here = len(shown)
        # The prompt is there before the echo is off; nobody types that fast.
        while termios.tcgetattr(fd)[3] & termios.ECHO:
            time.sleep(0.001)
        os.write(fd, answers.pop(0)[1].encode() + b"\r")
if answers:
    sys.exit("was not asked for: " + repr(answers) + " but showed " + repr(shown))
sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

fn on_terminal(sandbox: &Sandbox, args: &[&str], dialog: &[(&str, &str)]) -> Ran {
    let dialog: Vec<_> = dialog
        .iter()
        .flat_map(|(prompt, answer)| [*prompt, *answer])
        .collect();
    let mut python = sandbox.command_of("python3");
    python.args([
        "-c",
        TERMINAL,
        &dialog.join("\u{1f}"),
        env!("CARGO_BIN_EXE_pki-tools"),
    ]);
    python.args(args);
    let ran = Ran::of(python.output().unwrap());
    assert_eq!(ran.err, "", "{}", ran.out);
    ran
}

const NEW: &str = "New passphrase to seal the keys with: ";
const AGAIN: &str = "The same again: ";
const OPEN: &str = "Passphrase of the sealed keys: ";

#[test]
fn a_new_passphrase_is_asked_for_twice_and_a_known_one_once() {
    let sandbox = xyz();
    let ran = on_terminal(
        &sandbox,
        &["seal", "xyz.yaml"],
        &[(NEW, "swordfish ü"), (AGAIN, "swordfish ü")],
    );
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(!ran.out.contains("swordfish"), "{}", ran.out);
    assert!(
        ran.out.contains("sealed 9 private keys in 2 files"),
        "{}",
        ran.out
    );
    assert_eq!(sealed_texts(&sandbox.read("xyz.yaml")).len(), 8);

    // Something new beside what is sealed: a mistyped passphrase will not open that.
    sandbox.write("more.yaml", MORE);
    let ran = on_terminal(&sandbox, &["seal", "xyz.yaml"], &[(OPEN, "swordfish")]);
    assert!(
        ran.code == 2 && ran.out.contains("wrong passphrase"),
        "{}",
        ran.out
    );
    assert_eq!(sandbox.read("more.yaml"), MORE);
    let ran = on_terminal(&sandbox, &["seal", "xyz.yaml"], &[(OPEN, "swordfish ü")]);
    assert!(ran.code == 0 && !ran.out.contains(AGAIN), "{}", ran.out);

    let ran = on_terminal(&sandbox, &["unseal", "xyz.yaml"], &[(OPEN, "swordfish ü")]);
    assert!(ran.code == 0 && !ran.out.contains(AGAIN), "{}", ran.out);
    assert_eq!(both(&sandbox), (XYZ.to_owned(), MORE.to_owned()));
}

#[test]
fn a_new_passphrase_that_is_mistyped_or_empty_seals_nothing() {
    for (first, second, said) in [
        ("swordfish", "swordfihs", "the two passphrases differ"),
        ("", "", "the passphrase is empty"),
    ] {
        let sandbox = xyz();
        let ran = on_terminal(&sandbox, &["seal", "xyz.yaml"], &[(NEW, first), (AGAIN, second)]);
        assert!(ran.code == 2 && ran.out.contains(said), "{}", ran.out);
        assert_eq!(both(&sandbox), (XYZ.to_owned(), MORE.to_owned()));
    }
}

#[test]
fn nothing_is_asked_for_what_needs_no_passphrase() {
    let sandbox = xyz();
    for args in [
        ["seal", "--check", "xyz.yaml"],
        ["seal", "--dry-run", "xyz.yaml"],
        ["unseal", "--dry-run", "xyz.yaml"],
    ] {
        let ran = on_terminal(&sandbox, &args, &[]);
        assert!(!ran.out.contains("assphrase"), "{}", ran.out);
    }
}

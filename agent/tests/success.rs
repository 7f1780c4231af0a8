//! The verdict on returns of real minions, against the retcodes that they came with; `success/make.py` made them.

// A helper of tests is no test to the lints: a panic is how it reports.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use agent::success::{Outcome, judge};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::message::{Limits, Value};

struct Return {
    call: String,
    function: String,
    ret: Value,
    retcode: Value,
}

impl Return {
    fn judge(&self) -> Outcome {
        judge(&self.function, &self.ret, None)
    }

    /// With a retcode of 0 that we don't take for success: nothing was run.
    fn is_stricter(&self) -> bool {
        self.function == "state.pkg"
    }
}

fn returns() -> Vec<Return> {
    let files = [
        include_str!("success/returns-3006.json"),
        include_str!("success/returns-3008.json"),
    ];
    let mut returns = Vec::new();
    for file in files {
        let entries: Vec<serde_json::Value> = serde_json::from_str(file).unwrap();
        assert!(entries.len() > 100);
        for entry in entries {
            let bytes = STANDARD.decode(entry["return"].as_str().unwrap()).unwrap();
            returns.push(Return {
                call: entry["call"].as_str().unwrap().to_owned(),
                function: entry["function"].as_str().unwrap().to_owned(),
                ret: Value::decode(&bytes, Limits::VERIFIED).unwrap(),
                retcode: Value::Int(entry["retcode"].as_i64().unwrap()),
            });
        }
    }
    returns
}

#[test]
fn a_verdict_without_a_retcode_is_that_of_the_retcode() {
    for ret in returns() {
        let zero = ret.retcode == Value::Int(0);
        match ret.judge() {
            Outcome::Succeeded => assert!(zero, "{} has retcode {:?}", ret.call, ret.retcode),
            Outcome::Failed(why) => assert!(!zero || ret.is_stricter(), "{}: {why}", ret.call),
            Outcome::RetcodeNeeded { .. } => {}
        }
    }
}

#[test]
fn the_retcode_decides_where_it_is_known() {
    for ret in returns() {
        let outcome = judge(&ret.function, &ret.ret, Some(&ret.retcode));
        let succeeded = ret.retcode == Value::Int(0) && !ret.is_stricter();
        assert_eq!(
            outcome == Outcome::Succeeded,
            succeeded,
            "{}: {outcome:?}",
            ret.call
        );
        assert!(!matches!(outcome, Outcome::RetcodeNeeded { .. }), "{}", ret.call);
    }
}

#[test]
fn runs_of_states_and_lookups_need_no_retcode() {
    let undecided = |ret: &&Return| matches!(ret.judge(), Outcome::RetcodeNeeded { .. });
    let returns = returns();
    for ret in returns.iter().filter(undecided) {
        let other = ["cmd.", "service.", "cp.", "file.", "user.", "test.retcode"];
        // Texts and maps that only their retcode explains.
        let rare = [
            "state.check_request",
            "state.disable",
            "state.enable",
            "state.low",
            "state.show_",
            "state.sls_exists",
            "test.echo \"ERROR:",
        ];
        let known = other
            .iter()
            .chain(&rare)
            .any(|beginning| ret.call.starts_with(beginning));
        assert!(known, "{}", ret.call);
    }
}

#[test]
fn a_failure_says_what_failed() {
    let returns = returns();
    for (call, part) in [
        (
            r#"state.apply "bad""#,
            "b (test.fail_without_changes): on purpose",
        ),
        (
            r#"state.apply "requisite""#,
            "2 states failed, first a (test.fail_with_changes): Failure!",
        ),
        (
            r#"state.apply "nowhere""#,
            "No matching sls found for 'nowhere' in env 'base'",
        ),
        (
            r#"state.apply "unrenderable""#,
            "Rendering SLS 'base:unrenderable' failed",
        ),
        (r#"state.apply "empty""#, "no state was run"),
        (
            r#"state.apply "good" pillar="text""#,
            "ERROR executing 'state.apply': Pillar data must be",
        ),
        (r#"state.single "nop" "x""#, "Invalid function passed"),
        (r#"state.applyx "good""#, "'state.applyx' is not available."),
        ("test.pingx", "'test.pingx' is not available."),
        (r#"test.kwarg success=0 comment="no luck""#, "no luck"),
        (
            r#"state.apply "raises""#,
            "a (module.run): An exception occurred in this state: ",
        ),
        (
            r#"file.read "/nowhere""#,
            "exception: FileNotFoundError: [Errno 2] No such file",
        ),
        (
            r#"test.exception "oops\nand more""#,
            "The minion function caused an exception: Exception: oops",
        ),
        (r#"cmd.run "echo fine; exit 5""#, "retcode 5"),
        (
            r#"cmd.run "echo" cwd="/nowhere""#,
            "ERROR: Specified cwd '/nowhere'",
        ),
    ] {
        let found: Vec<_> = returns.iter().filter(|ret| ret.call == call).collect();
        assert_eq!(found.len(), 2, "{call}");
        for ret in found {
            let Outcome::Failed(why) = judge(&ret.function, &ret.ret, Some(&ret.retcode)) else {
                panic!("{call} succeeded");
            };
            assert!(why.contains(part), "{call}: {why}");
        }
    }
}

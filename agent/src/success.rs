//! Did the job succeed? From its return, which `pub_ret` gives, and its retcode, which it does not give.
//!
//! A minion computes the retcode (`_thread_return` in salt/minion.py, 3006 and 3008 alike): 1 for an
//! exception or a missing function; else what the function left in `__context__["retcode"]`, which the `cmd`
//! functions and whoever calls them do; and if that is 0, then 1 for a map whose `result` or `success` is
//! false. So the return of a function that runs no commands tells its retcode, and so does that of one that
//! runs states: it sets the retcode from its return (`_set_retcode` in salt/modules/state.py, by
//! `check_result` in salt/utils/state.py).
//!
//! We are stricter than Salt with states: a state that failed is a failure, also where an `onfail` state
//! handled it, in the changes of an orchestration that lets some minions fail, or in a run from a cache.

mod exceptions;
mod states;

use proto::message::Value;

use exceptions::Looks;
pub(crate) use exceptions::reason;
pub(crate) use states::{StateResult, results};

/// What is known about the end of a job on a minion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it should.
    Succeeded,
    /// It did not; why, in one line.
    Failed(String),
    /// The return does not tell: ask for the retcode, and judge again.
    RetcodeNeeded {
        /// What makes it look like a failure, should nobody tell the retcode.
        suspicion: Option<String>,
    },
}

/// Judges a return of `function`, with the retcode if it is known: `retcode` in the answer of `jobs.list_job`.
#[must_use]
pub fn judge(function: &str, ret: &Value, retcode: Option<&Value>) -> Outcome {
    if states::runs_states(function)
        && let Err(reason) = states::check(function, ret)
    {
        return Outcome::Failed(reason);
    }
    let looks = exceptions::looks(function, ret);
    if let Some(retcode) = retcode {
        return of_retcode(retcode, looks);
    }
    match looks {
        Looks::Failed(reason) => Outcome::Failed(reason),
        Looks::Suspicious(reason) => Outcome::RetcodeNeeded {
            suspicion: Some(reason),
        },
        Looks::Normal if tells_its_retcode(function) || has_retcode_zero(function, ret) => Outcome::Succeeded,
        Looks::Normal => Outcome::RetcodeNeeded { suspicion: None },
    }
}

fn of_retcode(retcode: &Value, looks: Looks) -> Outcome {
    // In Python `False == 0`; a command that ran out of time has `None`.
    if matches!(retcode, Value::Int(0) | Value::Bool(false)) {
        return Outcome::Succeeded;
    }
    Outcome::Failed(match (looks, retcode) {
        (Looks::Failed(reason) | Looks::Suspicious(reason), _) => reason,
        (Looks::Normal, Value::Int(code)) => format!("retcode {code}"),
        (Looks::Normal, _) => "it has no retcode".to_owned(),
    })
}

/// Functions that run no command and set no retcode, so that theirs follows from their return.
///
/// Read in salt/modules of 3006.25 and 3008.1; a minion that has modules of its own under these names is beyond help.
fn tells_its_retcode(function: &str) -> bool {
    // `state.low` gives a bare result, which `check_result` never takes for success: the retcode of a state
    // that went well is 0 in 3006.25 and 2 in 3008.1.
    (states::runs_states(function) && function != "state.low")
        || matches!(
            function,
            "grains.get"
                | "grains.has_value"
                | "grains.item"
                | "grains.items"
                | "grains.ls"
                | "pillar.get"
                | "pillar.item"
                | "pillar.items"
                | "pillar.keys"
                | "pillar.ls"
                | "saltutil.find_cached_job"
                | "saltutil.find_job"
                | "saltutil.is_running"
                | "saltutil.kill_job"
                | "saltutil.refresh_grains"
                | "saltutil.refresh_modules"
                | "saltutil.refresh_pillar"
                | "saltutil.running"
                | "saltutil.signal_job"
                | "saltutil.term_job"
                | "state.list_disabled"
                | "state.running"
                | "sys.doc"
                | "test.arg"
                | "test.arg_repr"
                | "test.arg_type"
                | "test.echo"
                | "test.false"
                | "test.kwarg"
                | "test.ping"
                | "test.sleep"
                | "test.true"
                | "test.version"
        )
}

/// The `cmd` functions that return their retcode. Only 0 is sure: with `ignore_retcode` another one is no failure.
fn has_retcode_zero(function: &str, ret: &Value) -> bool {
    match function {
        "cmd.retcode" | "cmd.script_retcode" => *ret == Value::Int(0),
        "cmd.run_all" | "cmd.script" => ret.get("retcode") == Some(&Value::Int(0)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(result: Value) -> Value {
        Value::map([
            ("result", result),
            ("comment", Value::text("so it is")),
            ("changes", Value::Map(Vec::new())),
        ])
    }

    fn failed(function: &str, ret: &Value) -> String {
        match judge(function, ret, Some(&Value::Int(0))) {
            Outcome::Failed(reason) => reason,
            other => panic!("{function}: {other:?}"),
        }
    }

    #[test]
    fn changes_and_pending_changes_are_success() {
        let ret = Value::map([
            ("test_|-a_|-a_|-nop", state(Value::Bool(true))),
            ("test_|-b_|-b_|-nop", state(Value::Nil)),
        ]);
        assert_eq!(judge("state.apply", &ret, None), Outcome::Succeeded);
        assert_eq!(
            judge("state.apply", &ret, Some(&Value::Int(0))),
            Outcome::Succeeded
        );
        let retcode = Outcome::Failed("retcode 2".to_owned());
        assert_eq!(judge("state.apply", &ret, Some(&Value::Int(2))), retcode);
    }

    #[test]
    fn a_false_result_in_the_changes_of_an_orchestration_is_a_failure() {
        let remote = Value::map([("file_|-conf_|-/x_|-managed", state(Value::Bool(false)))]);
        let changes = Value::map([
            ("out", Value::text("highstate")),
            ("ret", Value::map([("minion02", remote)])),
        ]);
        let outer = Value::map([
            ("result", Value::Bool(true)),
            ("comment", Value::text("States ran successfully.")),
            ("changes", changes),
        ]);
        let run = Value::map([("salt_|-deploy_|-deploy_|-state", outer)]);
        assert_eq!(failed("state.sls", &run), "conf (file.managed): so it is");
        let orchestration = Value::map([
            ("data", Value::map([("salt1_master", run)])),
            ("outputter", Value::text("highstate")),
            ("retcode", Value::Int(0)),
        ]);
        assert_eq!(
            failed("state.orchestrate", &orchestration),
            "conf (file.managed): so it is"
        );
        assert_eq!(results(&orchestration).len(), 1);
    }

    #[test]
    fn a_highstate_that_is_disabled_is_a_failure() {
        // `highstate` in salt/modules/state.py of 3006.25 and 3008.1, whose minion makes retcode 0 of it.
        let name = "Salt highstate run is disabled. To re-enable, run state.enable highstate";
        let disabled = |result| {
            Value::map([
                ("name", Value::text(name)),
                ("result", result),
                ("comment", Value::text("Disabled")),
            ])
        };
        for function in ["state.highstate", "state.apply"] {
            for result in [Value::text("False"), Value::Bool(true)] {
                assert_eq!(failed(function, &disabled(result)), format!("{name}: Disabled"));
            }
        }
        let low = |result| judge("state.low", &state(result), Some(&Value::Int(0)));
        assert_eq!(low(Value::Bool(true)), Outcome::Succeeded);
        assert!(matches!(low(Value::text("False")), Outcome::Failed(_)));
    }

    #[test]
    fn the_retcode_of_an_orchestration_counts() {
        let run = Value::map([("test_|-a_|-a_|-nop", state(Value::Bool(true)))]);
        let of = |retcode: i64| {
            Value::map([
                ("data", Value::map([("salt1_master", run.clone())])),
                ("outputter", Value::text("highstate")),
                ("retcode", Value::Int(retcode)),
            ])
        };
        assert_eq!(judge("state.orchestrate", &of(0), None), Outcome::Succeeded);
        assert_eq!(failed("state.orchestrate", &of(1)), "the orchestration failed");
    }

    #[test]
    fn a_result_in_the_changes_that_is_no_state_result_is_data() {
        let changes = Value::map([("ret", Value::map([("result", Value::Bool(false))]))]);
        let outer = Value::map([("result", Value::Bool(true)), ("changes", changes)]);
        let run = Value::map([("module_|-a_|-a_|-run", outer)]);
        assert_eq!(judge("state.apply", &run, None), Outcome::Succeeded);
    }

    #[test]
    fn a_retcode_that_is_none_is_no_success() {
        let outcome = judge("cmd.run", &Value::text(""), Some(&Value::Nil));
        assert_eq!(outcome, Outcome::Failed("it has no retcode".to_owned()));
    }

    #[test]
    fn what_a_command_prints_proves_nothing() {
        for text in [
            "ERROR: x",
            "The minion function caused an exception: Traceback",
            "'cmd.run' is not available.",
        ] {
            let outcome = judge("cmd.run", &Value::text(text), None);
            let suspicion = Some(text.to_owned());
            assert_eq!(outcome, Outcome::RetcodeNeeded { suspicion });
            assert_eq!(
                judge("cmd.run", &Value::text(text), Some(&Value::Int(0))),
                Outcome::Succeeded
            );
        }
    }

    #[test]
    fn a_reason_is_one_line_without_control_characters() {
        let errors = Value::Array(vec![
            Value::text("\n first \u{1b}[31m\nsecond"),
            Value::text("third"),
        ]);
        assert_eq!(failed("state.apply", &errors), "first \u{fffd}[31m; third");
        let run = Value::map([(
            "file_|-\u{1b}[2Jid_|-x_|-man\u{9b}aged",
            state(Value::Bool(false)),
        )]);
        assert_eq!(
            failed("state.apply", &run),
            "\u{fffd}[2Jid (file.man\u{fffd}aged): so it is"
        );
        let long = failed("state.apply", &Value::text("x".repeat(10_000)));
        assert_eq!(long.chars().count(), 301);
        let bytes = Value::Raw(vec![0xff, b'a']);
        assert_eq!(failed("state.apply", &bytes), "\u{fffd}a");
    }
}

//! A JUnit report: a suite for each minion, a case for each state, as GitLab and Jenkins read it.
//!
//! GitLab keeps one case of each class and name within a job, so these are unique. It reads a `type` attribute
//! as one of Rails' own (`file`, `integer`, …), so the types here are none of them.

mod case;
mod xml;

use std::io;
use std::time::Duration;

use proto::message::Value;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, Event};

use crate::success::Outcome;
use case::Case;

/// The job on one minion.
#[derive(Debug, Clone, Copy)]
pub struct Suite<'a> {
    /// Its id.
    pub minion: &'a str,
    /// What it was told to run.
    pub function: &'a str,
    /// How it ended.
    pub end: End<'a>,
    /// From the dispatch to the return.
    pub time: Duration,
}

/// How a job ended on a minion.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// It returned this.
    Returned(&'a Value, &'a Outcome),
    /// Nobody knows; why.
    Unknown(&'a str),
    /// Nothing was dispatched; why.
    NotDispatched(&'a str),
}

/// Writes the report. `text` makes readable text of changes and of returns that are no states.
///
/// # Errors
/// Those of `out`.
pub fn write(out: impl io::Write, suites: &[Suite<'_>], text: &dyn Fn(&Value) -> String) -> io::Result<()> {
    let all: Vec<Vec<Case<'_>>> = suites.iter().map(|suite| case::of_suite(suite, text)).collect();
    let mut writer = Writer::new_with_indent(out, b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let counts = Counts::of(all.iter().flatten());
    let longest = suites.iter().map(|suite| suite.time).max().unwrap_or_default();
    let root = writer.create_element("testsuites");
    root.with_attributes(counts.attributes("salt", longest).iter().map(xml::attribute))
        .write_inner_content(|writer| {
            for (suite, cases) in suites.iter().zip(&all) {
                write_suite(writer, suite, cases, suites.len() > 1)?;
            }
            Ok(())
        })?;
    writer.write_indent()
}

fn write_suite<W: io::Write>(
    writer: &mut Writer<W>,
    suite: &Suite<'_>,
    cases: &[Case<'_>],
    several: bool,
) -> io::Result<()> {
    let attributes = Counts::of(cases).attributes(suite.minion, suite.time);
    let element = writer.create_element("testsuite");
    element
        .with_attributes(attributes.iter().map(xml::attribute))
        .write_inner_content(|writer| {
            let prefix = several.then_some(suite.minion);
            cases.iter().try_for_each(|case| case.write(writer, prefix))
        })?;
    Ok(())
}

/// What a `testsuite` says of its cases.
#[derive(Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn of<'a>(cases: impl IntoIterator<Item = &'a Case<'a>>) -> Self {
        let mut counts = Self::default();
        for case in cases {
            counts.tests += 1;
            match case.verdict {
                case::Verdict::Passed => {}
                case::Verdict::Skipped => counts.skipped += 1,
                case::Verdict::Failed(_) => counts.failures += 1,
                case::Verdict::Error(_) => counts.errors += 1,
            }
        }
        counts
    }

    fn attributes(&self, name: &str, time: Duration) -> [(&'static str, String); 6] {
        [
            ("name", name.to_owned()),
            ("tests", self.tests.to_string()),
            ("failures", self.failures.to_string()),
            ("errors", self.errors.to_string()),
            ("skipped", self.skipped.to_string()),
            ("time", xml::seconds(time)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::success::judge;

    fn state(result: Value, comment: &str, more: &[(&str, Value)]) -> Value {
        let fields = [
            ("result", result),
            ("comment", Value::text(comment)),
            ("changes", Value::Map(Vec::new())),
            ("__sls__", Value::text("app.deploy")),
            ("duration", Value::Float(12.5)),
        ];
        let fields = fields
            .into_iter()
            .filter(|(name, _)| more.iter().all(|(other, _)| other != name));
        Value::map(fields.chain(more.iter().cloned()))
    }

    fn report(suites: &[Suite<'_>]) -> String {
        let mut out = Vec::new();
        write(&mut out, suites, &|value| format!("{value:?}")).unwrap();
        let report = String::from_utf8(out).unwrap();
        let mut reader = quick_xml::Reader::from_str(&report);
        while reader.read_event().unwrap() != Event::Eof {}
        report
    }

    fn report_of(function: &str, ret: &Value) -> String {
        let outcome = judge(function, ret, Some(&Value::Int(0)));
        report(&[Suite {
            minion: "minion01",
            function,
            end: End::Returned(ret, &outcome),
            time: Duration::from_millis(1500),
        }])
    }

    #[test]
    fn each_state_is_a_case_in_the_order_of_the_run() {
        let number = |number| ("__run_num__", Value::Int(number));
        let changes = Value::map([("diff", Value::text("+ a"))]);
        let ret = Value::map([
            (
                "test_|-b_|-b_|-nop",
                state(Value::Bool(false), "first\nsecond <&>", &[number(1)]),
            ),
            (
                "file_|-a_|-/x_|-managed",
                state(Value::Bool(true), "done", &[number(0), ("changes", changes)]),
            ),
            (
                "test_|-c_|-c_|-nop",
                state(Value::Nil, "would change", &[number(2)]),
            ),
            (
                "test_|-d_|-d_|-nop",
                state(Value::Bool(true), "", &[number(3), ("__sls__", Value::Nil)]),
            ),
        ]);
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="salt" tests="4" failures="1" errors="0" skipped="1" time="1.500">
  <testsuite name="minion01" tests="4" failures="1" errors="0" skipped="1" time="1.500">
    <testcase classname="app.deploy" name="a (file.managed /x)" time="0.013">
      <system-out>done

Changes:
Map([(Raw([100, 105, 102, 102]), Raw([43, 32, 97]))])</system-out>
    </testcase>
    <testcase classname="app.deploy" name="b (test.nop)" time="0.013">
      <failure message="first" type="failed-state">first
second &lt;&amp;&gt;</failure>
    </testcase>
    <testcase classname="app.deploy" name="c (test.nop)" time="0.013">
      <skipped message="would change">would change</skipped>
    </testcase>
    <testcase classname="test" name="d (test.nop)" time="0.013"/>
  </testsuite>
</testsuites>
"#;
        assert_eq!(report_of("state.apply", &ret), expected);
    }

    #[test]
    fn what_was_not_run_is_skipped_and_a_failed_requisite_failed() {
        let not_run = ("__state_ran__", Value::Bool(false));
        for (result, more, verdict) in [
            (true, not_run.clone(), "<skipped "),
            (true, ("skip_watch", Value::Bool(true)), "<skipped "),
            (false, not_run, "<failure "),
        ] {
            let ret = Value::map([("test_|-a_|-a_|-nop", state(Value::Bool(result), "why", &[more]))]);
            let report = report_of("state.apply", &ret);
            assert!(report.contains(verdict), "{report}");
        }
    }

    #[test]
    fn what_is_no_state_is_one_case() {
        let report = report_of("cmd.run", &Value::text("out"));
        assert!(
            report.contains(r#"<testcase classname="cmd" name="cmd.run" time="1.500">"#),
            "{report}"
        );
        assert!(report.contains("<system-out>"), "{report}");
        let compile = Value::Array(vec![Value::text("No matching sls found")]);
        let report = report_of("state.apply", &compile);
        assert!(
            report.contains(r#"<failure message="No matching sls found" type="failed-job">"#),
            "{report}"
        );
    }

    #[test]
    fn a_failure_that_no_state_shows_is_a_case_of_its_own() {
        let ret = Value::map([("test_|-a_|-a_|-nop", state(Value::Bool(true), "", &[]))]);
        let outcome = Outcome::Failed("retcode 2".to_owned());
        let suite = Suite {
            minion: "minion01",
            function: "state.apply",
            end: End::Returned(&ret, &outcome),
            time: Duration::ZERO,
        };
        let report = report(&[suite]);
        assert!(report.contains(r#"tests="2" failures="1""#), "{report}");
        assert!(
            report.contains(r#"<failure message="retcode 2" type="failed-job">retcode 2<"#),
            "{report}"
        );
    }

    #[test]
    fn equal_cases_of_several_minions_have_classes_of_their_own() {
        let ret = Value::map([("test_|-a_|-a_|-nop", state(Value::Bool(true), "", &[]))]);
        let suite = |minion| Suite {
            minion,
            function: "state.apply",
            end: End::Returned(&ret, &Outcome::Succeeded),
            time: Duration::ZERO,
        };
        let unknown = Suite {
            end: End::Unknown("no return in 60 s: jid 20261121153700123456"),
            ..suite("minion03")
        };
        let report = report(&[suite("minion01"), suite("minion02"), unknown]);
        for part in [
            r#"classname="minion01: app.deploy""#,
            r#"classname="minion02: app.deploy""#,
            r#"<error message="no return in 60 s: jid 20261121153700123456" type="unknown-outcome">"#,
            r#"<testsuites name="salt" tests="3" failures="0" errors="1""#,
        ] {
            assert!(report.contains(part), "{part}: {report}");
        }
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        let comment = "\u{1b}[31m\0 ]]> \u{fffe}\r\n";
        let ret = Value::Map(vec![(
            Value::Raw(b"file_|-\xff\x01\"'\n_|-n_|-managed".to_vec()),
            state(Value::Bool(false), comment, &[]),
        )]);
        let report = report_of("state.apply", &ret);
        assert!(report.contains("␛[31m␀ ]]&gt; \u{fffd}&#13;\n<"), "{report}");
        assert!(
            report.contains("name=\"\u{fffd}␁&quot;&apos;&#10; (file.managed n)\""),
            "{report}"
        );
    }
}

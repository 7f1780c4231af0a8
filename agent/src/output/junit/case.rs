//! The cases of a suite: what was run on a minion, and how it went.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use proto::message::Value;
use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::xml;
use super::{End, Suite};
use crate::success::{Outcome, StateResult, reason, results};

/// One `testcase`.
pub(super) struct Case<'a> {
    class: Cow<'a, str>,
    name: String,
    time: Duration,
    pub(super) verdict: Verdict,
    /// One line.
    message: String,
    /// Everything there is to say.
    body: String,
}

/// How it went.
#[derive(Clone, Copy)]
pub(super) enum Verdict {
    Passed,
    /// Not run, or only tried (`test=True`).
    Skipped,
    /// With a word for its kind.
    Failed(&'static str),
    /// It was not dispatched, or nobody knows how it ended; with a word for which.
    Error(&'static str),
}

/// The cases of a suite: one for each state, and one for the job if there are no states or these don't show why it failed.
pub(super) fn of_suite<'a>(suite: &Suite<'a>, text: &dyn Fn(&Value) -> String) -> Vec<Case<'a>> {
    let (ret, outcome) = match suite.end {
        End::Returned(ret, outcome) => (ret, outcome),
        End::Unknown(why) => {
            let verdict = Verdict::Error("unknown-outcome");
            return vec![Case::of_job(suite, verdict, reason(why), why.to_owned())];
        }
        End::NotDispatched(why) => {
            let verdict = Verdict::Error("not-dispatched");
            return vec![Case::of_job(suite, verdict, reason(why), why.to_owned())];
        }
    };
    let states = if suite.function.starts_with("state.") {
        results(ret)
    } else {
        Vec::new()
    };
    let mut cases: Vec<Case<'a>> = states.iter().map(|state| Case::of_state(state, text)).collect();
    let shown = cases
        .iter()
        .any(|case| matches!(case.verdict, Verdict::Failed(_)));
    let failure = match outcome {
        Outcome::Succeeded => None,
        Outcome::Failed(why) => Some(why),
        Outcome::RetcodeNeeded { suspicion } => suspicion.as_ref(),
    };
    match failure {
        Some(_) if shown => {}
        Some(why) => {
            let body = if cases.is_empty() { text(ret) } else { why.clone() };
            cases.push(Case::of_job(
                suite,
                Verdict::Failed("failed-job"),
                why.clone(),
                body,
            ));
        }
        None if cases.is_empty() => {
            cases.push(Case::of_job(suite, Verdict::Passed, String::new(), text(ret)));
        }
        None => {}
    }
    cases
}

impl<'a> Case<'a> {
    fn of_job(suite: &Suite<'a>, verdict: Verdict, message: String, body: String) -> Self {
        Self {
            class: suite.function.split('.').next().unwrap_or_default().into(),
            name: suite.function.to_owned(),
            time: suite.time,
            verdict,
            message,
            body,
        }
    }

    fn of_state(state: &StateResult<'a>, text: &dyn Fn(&Value) -> String) -> Self {
        let tag = state.parts();
        let sls = state.fields.get("__sls__").and_then(Value::as_bytes);
        let module = tag.as_ref().and_then(|tag| tag.function.split('.').next());
        let class = sls.map(String::from_utf8_lossy);
        let class = class.unwrap_or_else(|| module.unwrap_or("state").to_owned().into());
        let name = match &tag {
            Some(tag) if tag.name == tag.id => format!("{} ({})", tag.id, tag.function),
            Some(tag) => format!("{} ({} {})", tag.id, tag.function, tag.name),
            None => String::from_utf8_lossy(state.tag).into_owned(),
        };
        let comment = state.comment();
        let message = reason(&comment);
        let body = with_changes(comment, state.fields.get("changes"), text);
        Self {
            class,
            name,
            time: duration(state.fields.get("duration")),
            verdict: of_result(state),
            message,
            body,
        }
    }

    /// Writes it; `prefix` keeps equal cases of several minions apart.
    pub(super) fn write<W: io::Write>(&self, writer: &mut Writer<W>, prefix: Option<&str>) -> io::Result<()> {
        let class = match prefix {
            Some(minion) => format!("{minion}: {}", self.class),
            None => self.class.clone().into_owned(),
        };
        let attributes = [
            ("classname", class),
            ("name", self.name.clone()),
            ("time", xml::seconds(self.time)),
        ];
        let case = writer.create_element("testcase");
        let case = case.with_attributes(attributes.iter().map(xml::attribute));
        let (tag, kind) = match self.verdict {
            Verdict::Passed if self.body.trim().is_empty() => {
                case.write_empty()?;
                return Ok(());
            }
            Verdict::Passed => ("system-out", None),
            Verdict::Skipped => ("skipped", None),
            Verdict::Failed(kind) => ("failure", Some(kind)),
            Verdict::Error(kind) => ("error", Some(kind)),
        };
        let mut attributes = Vec::new();
        if !matches!(self.verdict, Verdict::Passed) {
            attributes.push(("message", self.message.clone()));
        }
        attributes.extend(kind.map(|kind| ("type", kind.to_owned())));
        case.write_inner_content(|writer| {
            let element = writer.create_element(tag);
            let element = element.with_attributes(attributes.iter().map(xml::attribute));
            // GitLab shows the content only, and nothing of an element without one.
            let body = if self.body.trim().is_empty() {
                "no comment"
            } else {
                &self.body
            };
            element.write_text_content(BytesText::new(&xml::clean(body)))?;
            Ok(())
        })?;
        Ok(())
    }
}

fn of_result(state: &StateResult<'_>) -> Verdict {
    if state.failed() {
        return Verdict::Failed("failed-state");
    }
    // Salt marks what its requisites left out (`__state_ran__`, for onchanges and onfail) and what its
    // conditions did (`skip_watch`, for onlyif, unless and creates), in salt/state.py.
    let left_out = state.fields.get("__state_ran__") == Some(&Value::Bool(false))
        || state.fields.get("skip_watch") == Some(&Value::Bool(true));
    match state.fields.get("result") {
        Some(Value::Nil) => Verdict::Skipped,
        _ if left_out => Verdict::Skipped,
        _ => Verdict::Passed,
    }
}

fn with_changes(comment: String, changes: Option<&Value>, text: &dyn Fn(&Value) -> String) -> String {
    let is_empty = |value: &&Value| match value {
        Value::Map(entries) => entries.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Raw(bytes) => bytes.is_empty(),
        _ => **value == Value::Nil,
    };
    match changes.filter(|changes| !is_empty(changes)) {
        Some(changes) if comment.is_empty() => format!("Changes:\n{}", text(changes)),
        Some(changes) => format!("{comment}\n\nChanges:\n{}", text(changes)),
        None => comment,
    }
}

/// Milliseconds; a text like `1.5 ms` before 2019.
fn duration(value: Option<&Value>) -> Duration {
    let milliseconds = match value {
        Some(Value::Float(number)) => *number,
        Some(Value::Int(number)) => f64::from(i32::try_from(*number).unwrap_or_default()),
        Some(text) => {
            let number = text.as_text().and_then(|text| text.split(' ').next());
            number.and_then(|number| number.parse().ok()).unwrap_or_default()
        }
        None => 0.0,
    };
    Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default()
}

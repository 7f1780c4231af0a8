//! What is to be run, and where.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use proto::message::{MinionId, Value};

use crate::locate::Question;

/// One function of Salt, `module.function`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function(String);

/// A text that is no function of Salt, or none that can be dispatched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    /// Masters fail inside when a minion publishes several functions at once.
    #[error("{0:?} is a list of functions: dispatch one at a time")]
    Several(String),
    /// `publish.…`: masters never let a minion publish a function that publishes.
    #[error("{0} cannot be dispatched: masters refuse functions that publish further ones")]
    Publishes(String),
    /// Something else.
    #[error("{0:?} is not a function of Salt, which is written module.function")]
    Malformed(String),
}

impl FromStr for Function {
    type Err = FunctionError;

    fn from_str(text: &str) -> Result<Self, FunctionError> {
        if text.contains(',') {
            return Err(FunctionError::Several(text.to_owned()));
        }
        if text.starts_with("publish.") {
            return Err(FunctionError::Publishes(text.to_owned()));
        }
        let is_name = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-'))
        };
        let mut parts = text.split('.');
        if text.len() <= 255 && parts.clone().count() >= 2 && parts.all(is_name) {
            Ok(Self(text.to_owned()))
        } else {
            Err(FunctionError::Malformed(text.to_owned()))
        }
    }
}

impl Function {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A function with its arguments, as `minion_pub` takes them.
#[derive(Debug, Clone)]
pub struct Job {
    /// The function.
    pub function: Function,
    /// Its arguments. The master reads texts as YAML and takes `key=value` for a keyword argument.
    pub arguments: Vec<Value>,
}

impl Job {
    /// Whether it is what a lookup asks, so that the answer that proves where a minion is is its return as well.
    pub(super) fn is_the_question(&self) -> bool {
        Question::ping().is(self.function.as_str(), &self.arguments)
    }
}

/// A job for some minions.
#[derive(Debug, Clone)]
pub struct Order {
    /// What to run.
    pub job: Job,
    /// The minions.
    pub minions: Vec<MinionId>,
    /// Whether the minions render their pillar anew first.
    pub refresh_pillar: bool,
    /// How long to look for the minions.
    pub lookup: Duration,
    /// How long all of it may take.
    pub timeout: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_function_is_one_function() {
        for text in ["test.ping", "state.apply", "boto3_route53.list-zones", "a.b.c"] {
            assert_eq!(text.parse::<Function>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "ping",
            ".ping",
            "test.",
            "test..ping",
            "test.ping,test.version",
            "test ping",
            "test.p*",
            "publish.publish",
            "test.ping\n",
        ] {
            assert!(text.parse::<Function>().is_err(), "{text:?}");
        }
    }
}

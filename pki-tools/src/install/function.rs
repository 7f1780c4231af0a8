//! The functions that a dispatch identity may call, as the regular expressions that Salt's `peer:` takes.

use std::fmt;
use std::str::FromStr;

/// What dispatching needs, and nothing that is more powerful than `state.*`, which is root's power anyway.
///
/// Of `saltutil` only what looks after a job and what a state run needs first. The rest of it (`saltutil.cmd`,
/// `saltutil.runner`, `saltutil.wheel`, …) reaches from a minion to other minions and to its master.
const DEFAULTS: [&str; 15] = [
    "test.ping",
    "test.version",
    "state.*",
    "saltutil.find_job",
    "saltutil.find_cached_job",
    "saltutil.is_running",
    "saltutil.running",
    "saltutil.kill_job",
    "saltutil.term_job",
    "saltutil.signal_job",
    "saltutil.refresh_pillar",
    "saltutil.refresh_modules",
    "saltutil.sync_all",
    "grains.get",
    "grains.items",
];

/// The name of an execution function, `module.function`; a `*` in it stands for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function(String);

/// A text that names no function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no function: write `module.function`, of letters, digits, `_` and the wildcard `*`, as in `state.*`"
)]
pub struct FunctionError(String);

impl Function {
    /// What is allowed if nothing else is said.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        DEFAULTS.iter().map(|name| Self((*name).to_owned())).collect()
    }

    /// The pattern of exactly these functions. Salt matches at the start (`re.match`, `match_check` in
    /// salt/utils/minions.py), so it is closed at the end: `test\.ping` would allow `test.pingx`, too.
    pub(super) fn pattern(&self) -> String {
        let mut pattern = String::new();
        for character in self.0.chars() {
            match character {
                '.' => pattern.push_str(r"\."),
                '*' => pattern.push_str(".*"),
                other => pattern.push(other),
            }
        }
        pattern.push('$');
        pattern
    }
}

impl FromStr for Function {
    type Err = FunctionError;

    fn from_str(text: &str) -> Result<Self, FunctionError> {
        let part = |part: &str| {
            let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '*');
            !part.is_empty() && part.chars().all(plain)
        };
        match text.split_once('.') {
            Some((module, function)) if part(module) && part(function) => Ok(Self(text.to_owned())),
            _ => Err(FunctionError(text.to_owned())),
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_patterns_that_are_escaped_and_closed() {
        for (name, pattern) in [
            ("test.ping", r"test\.ping$"),
            ("state.*", r"state\..*$"),
            ("*.ping", r".*\.ping$"),
            ("my_mod2.do*", r"my_mod2\.do.*$"),
        ] {
            assert_eq!(name.parse::<Function>().unwrap().pattern(), pattern);
        }
    }

    #[test]
    fn what_is_no_function_or_brings_a_pattern_of_its_own_is_refused() {
        for text in [
            "",
            "*",
            ".",
            "test.",
            ".ping",
            "test",
            "test.ping ",
            "test.ping\n",
            "a.b.c",
            "state.(sls|apply)",
            "test.ping$",
            "tést.ping",
            "a.b'",
        ] {
            assert!(text.parse::<Function>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_default_is_a_function_and_none_runs_commands() {
        for function in Function::defaults() {
            assert_eq!(function.to_string().parse(), Ok(function.clone()));
            assert!(!function.to_string().starts_with("cmd."), "{function}");
        }
    }
}

//! What the tests on real masters share: running `saltfo` on the runner and reading its document.

pub(crate) mod clock;
pub(crate) mod disguise;

use std::process::{Command, Output};

use integration::Lab;
use serde_json::Value as Json;

/// One run of `saltfo`.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Runs a prepared command to its end.
    pub(crate) fn of(mut command: Command) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        Self {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// The document of `--out json`.
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// State, `verified` and reason of a master in the document.
    pub(crate) fn master(&self, name: &str) -> (String, bool, String) {
        let document = self.json();
        let masters = document["masters"].as_array().unwrap();
        let name = format!("{name}.xyz.example");
        let master = masters.iter().find(|master| master["name"] == *name).unwrap();
        let text = |field: &str| master[field].as_str().unwrap_or_default().to_owned();
        (
            text("state"),
            master["verified"].as_bool().unwrap(),
            text("error"),
        )
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n{}\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs `saltfo` with the lab's configuration.
pub(crate) fn saltfo(lab: &Lab, arguments: &[&str]) -> Run {
    Run::of(lab.saltfo(arguments).unwrap())
}

/// Looks a minion up with `--out json`.
pub(crate) fn locate(lab: &Lab, minion: &str, timeout: &str) -> Run {
    saltfo(
        lab,
        &["active-master", minion, "--out", "json", "--timeout", timeout],
    )
}

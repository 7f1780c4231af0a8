//! What is to be measured: which saltfo, with which release of Salt, how often.

use std::path::Path;

use integration::{Lab, LabBuilder, Progress, SaltVersion};

use crate::machine::load;
use crate::report::{Release, Row};

/// One release of Salt's part of a bench.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) version: SaltVersion,
    /// As often as the user said.
    pub(crate) runs: u32,
    /// The binary.
    pub(crate) saltfo: &'a Path,
    pub(crate) progress: &'a Progress,
}

impl Plan<'_> {
    /// A lab of that release, which tells how it comes up.
    pub(crate) fn lab(&self) -> LabBuilder {
        Lab::builder()
            .version(self.version)
            .progress(self.progress.clone())
    }

    /// Measures one thing after the other. A failure that is returned ends this; one that was [noted](Plan::note) does not keep the
    /// rest from being measured.
    ///
    /// # Errors
    /// The machine's load can't be read.
    pub(crate) fn measure(
        &self,
        all: impl FnOnce(&mut Release) -> anyhow::Result<()>,
    ) -> anyhow::Result<Release> {
        let mut release = Release::new(self.version.release(), load()?);
        self.progress.say(&format!(
            "salt {}, load of the machine {:.2}",
            self.version, release.load_before
        ));
        let result = all(&mut release);
        self.note(&mut release, "the lab", result.map(|()| Vec::new()));
        release.load_after = load()?;
        Ok(release)
    }

    /// Keeps what was measured, or why it was not.
    pub(crate) fn note(&self, release: &mut Release, what: &str, rows: anyhow::Result<Vec<Row>>) {
        match rows {
            Ok(rows) => release.rows.extend(rows),
            Err(error) => {
                let failure = format!("{what}: {error:#}");
                self.progress.say(&format!("could not be measured: {failure}"));
                release.failures.push(failure);
            }
        }
    }
}

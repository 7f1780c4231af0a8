//! What is done to a master while something is measured, and undone.

use integration::Daemon;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Killed,
    /// SIGSTOP to all its processes.
    Hung,
    CutOff,
    /// SIGSTOP to its workers alone.
    WorkersHung,
}

impl Fault {
    /// # Errors
    /// The master does not run, or the network is not the lab's any more.
    pub(crate) fn begin(self, master: Daemon<'_>) -> anyhow::Result<()> {
        match self {
            Self::Killed => master.kill(),
            Self::Hung => master.hang(),
            Self::CutOff => master.cut(),
            Self::WorkersHung => master.hang_workers(),
        }
    }

    /// # Errors
    /// The master does not come back.
    pub(crate) fn end(self, master: Daemon<'_>) -> anyhow::Result<()> {
        match self {
            Self::Killed => master.start(),
            Self::Hung | Self::WorkersHung => master.resume(),
            Self::CutOff => master.mend(),
        }
    }
}

//! Whether reading goes on after a fault.

use crate::error::Error;

/// What becomes of a fault in a client's files while they are read.
pub(crate) enum Tolerance<'a> {
    /// The first one ends the reading.
    None,
    /// It is noted, and what it concerns is left out.
    Noting(&'a mut Vec<Error>),
}

impl Tolerance<'_> {
    /// Tells of a fault.
    ///
    /// # Errors
    /// The fault itself, if it isn't tolerated.
    pub(crate) fn fault(&mut self, error: Error) -> Result<(), Error> {
        match self {
            Self::None => Err(error),
            Self::Noting(faults) => {
                faults.push(error);
                Ok(())
            }
        }
    }

    /// What was read; nothing if that failed and is tolerated.
    pub(crate) fn ok<T>(&mut self, read: Result<T, Error>) -> Result<Option<T>, Error> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) => self.fault(error).map(|()| None),
        }
    }

    /// How many faults were noted so far.
    pub(crate) fn noted(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Noting(faults) => faults.len(),
        }
    }
}

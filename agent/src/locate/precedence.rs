//! Which master goes first when a job follows: the one through which the minions answered last.

use proto::message::MinionId;

use super::Event;
use super::head_start::HeadStart;
use super::last_seen::LastSeen;

/// What the masters' tasks of one lookup share to let the right one go first.
#[derive(Debug)]
pub(super) struct Precedence {
    last_seen: LastSeen,
    /// The master, by index, through which all minions had answered last when the lookup began.
    first: Option<usize>,
    /// One for each master.
    starts: Vec<HeadStart>,
}

impl Precedence {
    /// Among so many masters.
    pub(super) fn new(last_seen: LastSeen, minions: &[MinionId], masters: usize) -> Self {
        let first = last_seen.of_all(minions);
        Self {
            last_seen,
            first,
            starts: std::iter::repeat_with(HeadStart::new).take(masters).collect(),
        }
    }

    /// Where the minions answered last.
    pub(super) fn last_seen(&self) -> &LastSeen {
        &self.last_seen
    }

    /// What this master reports.
    pub(super) fn note(&self, index: usize, event: &Event) {
        if let Some(start) = self.starts.get(index) {
            start.note(event);
        }
    }

    /// The start that this master has to wait for.
    pub(super) fn ahead_of(&self, index: usize) -> Option<&HeadStart> {
        let first = self.first.filter(|first| *first != index)?;
        self.starts.get(first)
    }

    /// The start of another master, if nobody had one so far: what others of this host have found out meanwhile is as good as
    /// what was known before.
    pub(super) fn elsewhere(&self, index: usize, minions: &[MinionId]) -> Option<&HeadStart> {
        if self.first.is_some() {
            return None;
        }
        let there = self.last_seen.of_all(minions).filter(|there| *there != index)?;
        self.starts.get(there)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const MASTERS: [&str; 3] = ["a:4506", "b:4506", "c:4506"];

    fn begin(folder: &Path, minions: &[MinionId]) -> Precedence {
        let masters = MASTERS.map(str::to_owned).to_vec();
        Precedence::new(
            LastSeen::new(Some(folder.to_owned()), masters),
            minions,
            MASTERS.len(),
        )
    }

    /// The master, by index, that this start belongs to.
    fn whose(precedence: &Precedence, start: Option<&HeadStart>) -> Option<usize> {
        let start = start?;
        precedence.starts.iter().position(|own| std::ptr::eq(own, start))
    }

    #[test]
    fn where_the_minion_was_is_ahead_of_all_others_to_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let minions = [MinionId::parse("minion01").unwrap()];
        begin(folder.path(), &minions).last_seen.note(&minions[0], 1);
        let precedence = begin(folder.path(), &minions);
        let ahead = [0, 1, 2].map(|index| whose(&precedence, precedence.ahead_of(index)));
        assert_eq!(ahead, [Some(1), None, Some(1)]);
        precedence.last_seen.note(&minions[0], 2);
        assert!((0..3).all(|index| precedence.elsewhere(index, &minions).is_none()));
    }

    #[test]
    fn where_nothing_was_known_what_is_found_meanwhile_counts() {
        let folder = tempfile::tempdir().unwrap();
        let minions = [MinionId::parse("minion01").unwrap()];
        let precedence = begin(folder.path(), &minions);
        assert!((0..3).all(|index| precedence.elsewhere(index, &minions).is_none()));
        precedence.last_seen.note(&minions[0], 2);
        assert!((0..3).all(|index| precedence.ahead_of(index).is_none()));
        let elsewhere = [0, 1, 2].map(|index| whose(&precedence, precedence.elsewhere(index, &minions)));
        assert_eq!(elsewhere, [Some(2), Some(2), None]);
    }
}

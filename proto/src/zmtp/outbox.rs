//! Bytes that wait to be written.

use std::collections::VecDeque;

use super::Violation;

/// Room that is kept once everything is written, in bytes.
const KEPT: usize = 64 * 1024;
/// To copy a body that is shorter than this costs less than a piece of its own.
const LONG: usize = 16 * 1024;

/// One queue for all that we say. Answers that the peer provoked are counted on their own.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// What goes first.
    bytes: Vec<u8>,
    /// How many of `bytes` are written already.
    written: usize,
    /// What follows, piece by piece. Long bodies are pieces of their own: they are moved here, not copied.
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of `pieces`.
    later: usize,
    /// Bytes of answers queued since everything was last written.
    answers: usize,
}

impl Outbox {
    /// What is to be written next, and what follows it; the first is empty if nothing is left.
    pub(super) fn waiting(&self) -> [&[u8]; 2] {
        let first = self.bytes.get(self.written..).unwrap_or_default();
        let second = self.pieces.front().map_or(&[][..], Vec::as_slice);
        [first, second]
    }

    /// Bytes that are to be written.
    pub(super) fn size(&self) -> usize {
        let first = self.bytes.len().saturating_sub(self.written);
        first.saturating_add(self.later)
    }

    /// Forgets what was written.
    pub(super) fn consume(&mut self, count: usize) {
        let mut left = count;
        loop {
            let first = self.bytes.len().saturating_sub(self.written);
            if left < first {
                self.written = self.written.saturating_add(left);
                return;
            }
            left = left.saturating_sub(first);
            let Some(next) = self.pieces.pop_front() else {
                break;
            };
            self.later = self.later.saturating_sub(next.len());
            (self.bytes, self.written) = (next, 0);
        }
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        (self.written, self.answers) = (0, 0);
    }

    /// Appends frames of our own.
    pub(super) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.pieces.back().is_some_and(|last| last.len() >= LONG) {
            self.pieces.push_back(Vec::new());
        }
        let before = self.size();
        if let Some(last) = self.pieces.back_mut() {
            let length = last.len();
            write(last);
            self.later = self.later.saturating_add(last.len().saturating_sub(length));
        } else {
            // What is written makes room once it is the larger part: each byte is moved once on average.
            if self.written > before {
                self.bytes.drain(..self.written);
                self.written = 0;
            }
            write(&mut self.bytes);
        }
    }

    /// Appends the body of a frame whose header was appended just before.
    pub(super) fn append_body(&mut self, body: Vec<u8>) {
        if body.len() < LONG {
            self.append(|bytes| bytes.extend_from_slice(&body));
        } else {
            self.later = self.later.saturating_add(body.len());
            self.pieces.push_back(body);
        }
    }

    /// Appends an answer, unless too many wait for a peer that does not read.
    pub(super) fn answer(&mut self, body: &[u8], limit: usize) -> Result<(), Violation> {
        let before = self.size();
        self.append(|bytes| super::frame::write_command(bytes, body));
        let added = self.size().saturating_sub(before);
        self.answers = self.answers.saturating_add(added);
        if self.answers > limit {
            return Err(Violation::AnswersUnread {
                waiting: self.answers,
                limit,
            });
        }
        Ok(())
    }

    /// Memory that is held, in bytes.
    pub(super) fn memory(&self) -> usize {
        let pieces = self.pieces.iter().map(Vec::capacity);
        pieces.fold(self.bytes.capacity(), usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, LONG, Outbox, Violation};

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let mut outbox = Outbox::default();
        let mut left = Vec::new();
        for number in 0..=255_u8 {
            outbox.append(|bytes| bytes.extend_from_slice(&[number, number]));
            left.extend_from_slice(&outbox.waiting()[0][..1]);
            outbox.consume(1);
        }
        left.extend_from_slice(outbox.waiting()[0]);
        let expected: Vec<u8> = (0..=255).flat_map(|number| [number, number]).collect();
        assert_eq!(left, expected);
    }

    #[test]
    fn bodies_leave_where_they_were_appended_however_much_is_written_at_once() {
        for at_once in [1, 7, 1_000, LONG - 1, LONG + 5, usize::MAX] {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for (number, length) in (0_u8..).zip([3, LONG, 0, LONG - 1, 2 * LONG, LONG, 5]) {
                let body = vec![number; length];
                outbox.append(|bytes| bytes.push(b':'));
                expected.push(b':');
                expected.extend_from_slice(&body);
                outbox.append_body(body);
            }
            assert_eq!(outbox.size(), expected.len());
            let mut left = Vec::new();
            while outbox.size() > 0 {
                let [first, second] = outbox.waiting();
                assert!(!first.is_empty());
                let both = [first, second].concat();
                let count = both.len().min(at_once);
                left.extend_from_slice(&both[..count]);
                outbox.consume(count);
            }
            assert!(left == expected, "{at_once}");
            assert!(outbox.memory() <= KEPT);
        }
    }

    #[test]
    fn answers_are_bounded_until_they_are_read() {
        let mut outbox = Outbox::default();
        let mut queued = 0;
        let violation = loop {
            match outbox.answer(b"\x04PONG", 100) {
                Ok(()) => queued += 7,
                Err(violation) => break violation,
            }
        };
        assert_eq!(
            (queued, violation),
            (
                98,
                Violation::AnswersUnread {
                    waiting: 105,
                    limit: 100
                }
            )
        );
        outbox.consume(usize::MAX);
        assert_eq!(outbox.answer(b"\x04PONG", 100), Ok(()));
    }
}

//! Bytes that wait to be written.

use super::Violation;

/// Room that is kept once everything is written, in bytes.
const KEPT: usize = 64 * 1024;

/// One queue for all that we say. Answers that the peer provoked are counted on their own.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of `bytes` are written already.
    written: usize,
    /// Bytes of answers queued since everything was last written.
    answers: usize,
}

impl Outbox {
    /// What is to be written next.
    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Forgets what was written.
    pub(super) fn consume(&mut self, count: usize) {
        self.written = self.written.saturating_add(count).min(self.bytes.len());
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
            self.written = 0;
            self.answers = 0;
        }
    }

    /// Where frames of our own are appended.
    pub(super) fn queue(&mut self) -> &mut Vec<u8> {
        // What is written makes room once it is the larger part: each byte is moved once on average.
        if self.written > self.waiting().len() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        &mut self.bytes
    }

    /// Appends an answer, unless too many wait for a peer that does not read.
    pub(super) fn answer(&mut self, body: &[u8], limit: usize) -> Result<(), Violation> {
        let before = self.queue().len();
        super::frame::write_command(&mut self.bytes, body);
        self.answers = self
            .answers
            .saturating_add(self.bytes.len().saturating_sub(before));
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
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::{Outbox, Violation};

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let mut outbox = Outbox::default();
        let mut left = Vec::new();
        for number in 0..=255_u8 {
            outbox.queue().extend_from_slice(&[number, number]);
            left.extend_from_slice(&outbox.waiting()[..1]);
            outbox.consume(1);
        }
        left.extend_from_slice(outbox.waiting());
        let expected: Vec<u8> = (0..=255).flat_map(|number| [number, number]).collect();
        assert_eq!(left, expected);
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

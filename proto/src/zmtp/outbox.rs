//! Bytes that wait to be written.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Message, Violation};

/// Room that is kept once everything is written, in bytes.
const KEPT: usize = 64 * 1024;
/// To copy a body that is shorter than this costs less than a piece of its own.
const LONG: usize = 16 * 1024;

/// One queue for all that we say. Answers that the peer provoked are counted on their own.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// What goes first.
    first: Piece,
    /// How many bytes of `first` are written already.
    written: usize,
    /// What follows, piece by piece. Long bodies are pieces of their own: they are moved here, not copied.
    pieces: VecDeque<Piece>,
    /// Bytes of `pieces`.
    later: usize,
    /// Bytes of answers queued since everything was last written.
    answers: usize,
}

#[derive(Debug)]
enum Piece {
    Own(Vec<u8>),
    /// A frame of a message that others send, too.
    Shared {
        message: Arc<Message>,
        frame: usize,
    },
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared { message, frame } => message.frames().get(*frame).map_or(&[], Vec::as_slice),
        }
    }
}

impl Default for Piece {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Outbox {
    /// What is to be written next, and what follows it; the first is empty if nothing is left.
    pub(super) fn waiting(&self) -> [&[u8]; 2] {
        let first = self.first.bytes().get(self.written..).unwrap_or_default();
        let second = self.pieces.front().map_or(&[][..], Piece::bytes);
        [first, second]
    }

    /// Bytes that are to be written.
    pub(super) fn size(&self) -> usize {
        let first = self.first.bytes().len().saturating_sub(self.written);
        first.saturating_add(self.later)
    }

    /// Forgets what was written.
    pub(super) fn consume(&mut self, count: usize) {
        let mut left = count;
        loop {
            let first = self.first.bytes().len().saturating_sub(self.written);
            if left < first {
                self.written = self.written.saturating_add(left);
                return;
            }
            left = left.saturating_sub(first);
            let Some(next) = self.pieces.pop_front() else {
                break;
            };
            self.later = self.later.saturating_sub(next.bytes().len());
            (self.first, self.written) = (next, 0);
        }
        match &mut self.first {
            Piece::Own(bytes) if bytes.capacity() <= KEPT => bytes.clear(),
            _ => self.first = Piece::default(),
        }
        (self.written, self.answers) = (0, 0);
    }

    /// Appends frames of our own.
    pub(super) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.size();
        let last = self.pieces.back().unwrap_or(&self.first);
        let is_full = match last {
            Piece::Own(bytes) => !self.pieces.is_empty() && bytes.len() >= LONG,
            Piece::Shared { .. } => true,
        };
        if is_full {
            self.pieces.push_back(Piece::default());
        }
        match (self.pieces.back_mut(), &mut self.first) {
            (Some(Piece::Own(last)), _) => {
                let length = last.len();
                write(last);
                self.later = self.later.saturating_add(last.len().saturating_sub(length));
            }
            (None, Piece::Own(bytes)) => {
                // What is written makes room once it is the larger part: each byte is moved once on average.
                if self.written > before {
                    bytes.drain(..self.written);
                    self.written = 0;
                }
                write(bytes);
            }
            // The last piece is our own now.
            (Some(Piece::Shared { .. }), _) | (None, Piece::Shared { .. }) => {}
        }
    }

    /// Appends the body of a frame whose header was appended just before.
    pub(super) fn append_body(&mut self, body: Vec<u8>) {
        if body.len() < LONG {
            self.append(|bytes| bytes.extend_from_slice(&body));
        } else {
            self.append_piece(Piece::Own(body));
        }
    }

    /// The same with the body of a message that others send, too.
    pub(super) fn append_shared(&mut self, message: &Arc<Message>, frame: usize) {
        let message = Arc::clone(message);
        let piece = Piece::Shared { message, frame };
        if piece.bytes().len() < LONG {
            self.append(|bytes| bytes.extend_from_slice(piece.bytes()));
        } else {
            self.append_piece(piece);
        }
    }

    fn append_piece(&mut self, piece: Piece) {
        self.later = self.later.saturating_add(piece.bytes().len());
        self.pieces.push_back(piece);
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

    /// Memory that is held, in bytes, but for what is shared.
    pub(super) fn memory(&self) -> usize {
        let pieces = std::iter::once(&self.first).chain(&self.pieces);
        let own = pieces.map(|piece| match piece {
            Piece::Own(bytes) => bytes.capacity(),
            Piece::Shared { .. } => 0,
        });
        own.fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{KEPT, LONG, Message, Outbox, Violation};

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
            let (mut expected, mut left) = (Vec::new(), Vec::new());
            for (number, length) in (0_u8..).zip([3, LONG, 0, LONG - 1, 2 * LONG, LONG, LONG, 5, LONG, 7]) {
                let body = vec![number; length];
                outbox.append(|bytes| bytes.push(b':'));
                expected.push(b':');
                expected.extend_from_slice(&body);
                if number % 2 == 0 {
                    outbox.append_body(body);
                } else {
                    outbox.append_shared(&Arc::new(Message::single(body)), 0);
                }
                // Part of a piece may have left when the next one comes.
                if at_once == 7 {
                    let head = outbox.waiting()[0][..1].to_vec();
                    outbox.consume(1);
                    left.extend_from_slice(&head);
                }
            }
            assert_eq!(outbox.size(), expected.len() - left.len());
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

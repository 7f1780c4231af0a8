//! Frames: flags, length, body (RFC 37, "Framing").

use bytes::BufMut as _;
use bytes::buf::Limit;

use super::Violation;

/// Bytes of a body that are worth a place of their own to arrive at.
const PIECE: usize = 32 * 1024;

const MORE: u8 = 0x01;
const LONG: u8 = 0x02;
const COMMAND: u8 = 0x04;

/// What a frame's header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) command: bool,
    pub(super) more: bool,
    /// Bytes of the body as announced: anything up to 2^64-1 if the peer lies.
    pub(super) size: u64,
}

/// A complete frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) command: bool,
    pub(super) more: bool,
    pub(super) body: Vec<u8>,
}

/// Appends a frame of a message to the output.
pub(super) fn write_message_frame(output: &mut Vec<u8>, more: bool, body: &[u8]) {
    write(output, if more { MORE } else { 0 }, body);
}

/// Appends a command to the output.
pub(super) fn write_command(output: &mut Vec<u8>, body: &[u8]) {
    write(output, COMMAND, body);
}

/// Appends the header of a message's frame, whose body of this length is to follow.
pub(super) fn write_message_header(output: &mut Vec<u8>, more: bool, length: usize) {
    write_header(output, if more { MORE } else { 0 }, length);
}

fn write(output: &mut Vec<u8>, flags: u8, body: &[u8]) {
    write_header(output, flags, body.len());
    output.extend_from_slice(body);
}

/// As libzmq does: the short form whenever the body fits into it.
fn write_header(output: &mut Vec<u8>, flags: u8, length: usize) {
    if let Ok(short) = u8::try_from(length) {
        output.extend_from_slice(&[flags, short]);
    } else {
        output.push(flags | LONG);
        // A usize has 64 bits at most on everything that Rust runs on.
        output.extend_from_slice(&u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
    }
}

/// Puts frames together from pieces of any size.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Flags,
    Size {
        flags: u8,
        size: u64,
        left: u8,
    },
    Body {
        header: Header,
        /// What has arrived of it.
        body: Vec<u8>,
        length: usize,
    },
}

impl FrameReader {
    /// Takes at most one frame off the input; `None` when there is no complete one.
    ///
    /// `admit` sees the header before anything of the body is stored, and gives the length as one that may be held.
    pub(super) fn read(
        &mut self,
        input: &mut &[u8],
        admit: impl Fn(&Header) -> Result<usize, Violation>,
    ) -> Result<Option<Frame>, Violation> {
        loop {
            match &mut self.state {
                State::Flags => {
                    let Some(flags) = take_byte(input) else {
                        return Ok(None);
                    };
                    if flags & !(MORE | LONG | COMMAND) != 0 {
                        return Err(Violation::ReservedFlags(flags));
                    }
                    if flags & COMMAND != 0 && flags & MORE != 0 {
                        return Err(Violation::CommandWithMore);
                    }
                    let left = if flags & LONG == 0 { 1 } else { 8 };
                    self.state = State::Size { flags, size: 0, left };
                }
                State::Size { flags, size, left } => {
                    let Some(byte) = take_byte(input) else {
                        return Ok(None);
                    };
                    *size = (*size << 8) | u64::from(byte);
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        let header = Header {
                            command: *flags & COMMAND != 0,
                            more: *flags & MORE != 0,
                            size: *size,
                        };
                        let length = admit(&header)?;
                        self.state = State::Body {
                            header,
                            body: Vec::new(),
                            length,
                        };
                    }
                }
                State::Body { header, body, length } => {
                    let missing = length.saturating_sub(body.len());
                    let (head, rest) = input.split_at_checked(missing).unwrap_or((*input, &[]));
                    make_room(body, head.len(), missing);
                    body.extend_from_slice(head);
                    *input = rest;
                    if body.len() < *length {
                        return Ok(None);
                    }
                    let frame = Frame {
                        command: header.command,
                        more: header.more,
                        body: std::mem::take(body),
                    };
                    self.state = State::Flags;
                    return Ok(Some(frame));
                }
            }
        }
    }

    /// Where the next bytes of the peer may be put straight away: in the body that is under way, if at least [`PIECE`] bytes of it are
    /// missing.
    pub(super) fn room(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        let State::Body { body, length, .. } = &mut self.state else {
            return None;
        };
        let missing = length.saturating_sub(body.len());
        if missing < PIECE {
            return None;
        }
        make_room(body, PIECE, missing);
        let free = body.capacity().saturating_sub(body.len());
        Some(body.limit(free.min(missing)))
    }

    /// Memory that is held, in bytes.
    pub(super) fn memory(&self) -> usize {
        if let State::Body { body, .. } = &self.state {
            body.capacity()
        } else {
            0
        }
    }
}

fn take_byte(input: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = input.split_first()?;
    *input = rest;
    Some(*byte)
}

/// Makes room for a piece; it is at most doubled, and never more than the bytes that are still missing.
fn make_room(body: &mut Vec<u8>, piece: usize, missing: usize) {
    if body.capacity().saturating_sub(body.len()) < piece {
        body.reserve_exact(body.len().max(piece).min(missing));
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;

    use super::{FrameReader, Header, PIECE, write_command, write_message_frame};
    use crate::zmtp::Violation;

    fn read(bytes: &[u8]) -> Result<Option<super::Frame>, Violation> {
        let mut input = bytes;
        FrameReader::default().read(&mut input, |header| Ok(usize::try_from(header.size).unwrap()))
    }

    #[test]
    fn lengths_up_to_255_take_the_short_form() {
        for (length, header) in [(0, 2), (255, 2), (256, 9), (70_000, 9)] {
            let mut output = Vec::new();
            write_message_frame(&mut output, true, &vec![7; length]);
            assert_eq!(output.len(), header + length);
            let frame = read(&output).unwrap().unwrap();
            assert_eq!(
                (frame.body, frame.more, frame.command),
                (vec![7; length], true, false)
            );
        }
    }

    #[test]
    fn a_short_body_in_the_long_form_is_taken() {
        let frame = read(b"\x06\0\0\0\0\0\0\0\x02ab").unwrap().unwrap();
        assert!(frame.command);
        assert_eq!(frame.body, b"ab");
    }

    #[test]
    fn flags_that_no_version_defines_are_refused() {
        for flags in [0x08_u8, 0x10, 0x80, 0xff] {
            assert_eq!(read(&[flags]).unwrap_err(), Violation::ReservedFlags(flags));
        }
        assert_eq!(read(b"\x05").unwrap_err(), Violation::CommandWithMore);
        assert_eq!(read(b"\x07").unwrap_err(), Violation::CommandWithMore);
    }

    #[test]
    fn an_announced_length_takes_no_memory() {
        let mut reader = FrameReader::default();
        let mut input = b"\x02\0\0\0\x01\0\0\0\0abc".as_slice();
        let frame = reader.read(&mut input, |header| Ok(usize::try_from(header.size).unwrap()));
        assert!(frame.unwrap().is_none());
        assert!(
            reader.memory() <= 16,
            "{} bytes held for 3 received",
            reader.memory()
        );
    }

    #[test]
    fn room_for_a_long_body_grows_with_what_has_arrived() {
        let (mut reader, length) = (FrameReader::default(), 10 * PIECE);
        let mut output = Vec::new();
        write_message_frame(&mut output, false, &vec![7; length]);
        let (mut head, mut tail) = output.split_at(9 + 5);
        let admit = |_: &Header| Ok(length);
        assert!(reader.room().is_none());
        assert!(reader.read(&mut head, admit).unwrap().is_none());
        while let Some(mut room) = reader.room() {
            let (piece, rest) = tail.split_at(room.remaining_mut());
            room.put_slice(piece);
            tail = rest;
            let arrived = length - tail.len();
            assert!(reader.memory() <= 2 * arrived.max(PIECE), "{arrived}");
        }
        let frame = reader.read(&mut tail, admit).unwrap().unwrap();
        assert_eq!((frame.body, tail.len()), (vec![7; length], 0));
    }

    #[test]
    fn a_command_is_one_frame() {
        let mut output = Vec::new();
        write_command(&mut output, b"\x04PONG");
        assert_eq!(output, b"\x04\x05\x04PONG");
    }
}

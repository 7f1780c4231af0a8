//! Frames: flags, length, body (RFC 37, "Framing").

use super::Violation;

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

/// As libzmq does: the short form whenever the body fits into it.
fn write(output: &mut Vec<u8>, flags: u8, body: &[u8]) {
    if let Ok(short) = u8::try_from(body.len()) {
        output.extend_from_slice(&[flags, short]);
    } else {
        output.push(flags | LONG);
        // A usize has 64 bits at most on everything that Rust runs on.
        output.extend_from_slice(&u64::try_from(body.len()).unwrap_or(u64::MAX).to_be_bytes());
    }
    output.extend_from_slice(body);
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
        body: Vec<u8>,
        left: usize,
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
                        let left = admit(&header)?;
                        self.state = State::Body {
                            header,
                            body: Vec::new(),
                            left,
                        };
                    }
                }
                State::Body { header, body, left } => {
                    let (head, rest) = input.split_at_checked(*left).unwrap_or((*input, &[]));
                    append(body, head, *left);
                    *left = left.saturating_sub(head.len());
                    *input = rest;
                    if *left > 0 {
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

/// Appends a piece; the room is at most doubled, and never more than the `left` bytes that are still to come.
fn append(body: &mut Vec<u8>, piece: &[u8], left: usize) {
    if body.capacity().saturating_sub(body.len()) < piece.len() {
        body.reserve_exact(body.len().max(piece.len()).min(left));
    }
    body.extend_from_slice(piece);
}

#[cfg(test)]
mod tests {
    use super::{FrameReader, write_command, write_message_frame};
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
    fn a_command_is_one_frame() {
        let mut output = Vec::new();
        write_command(&mut output, b"\x04PONG");
        assert_eq!(output, b"\x04\x05\x04PONG");
    }
}

//! A message: one or more frames that are sent and delivered together.

use super::Misuse;

/// One or more frames. The content is nobody's business here.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Never empty.
    frames: Vec<Vec<u8>>,
}

impl Message {
    /// One frame.
    #[must_use]
    pub fn single(payload: Vec<u8>) -> Self {
        Self {
            frames: vec![payload],
        }
    }

    /// The empty delimiter and a payload: how a REQ asks and how a REP answers (RFC 28/REQREP).
    #[must_use]
    pub fn delimited(payload: Vec<u8>) -> Self {
        Self {
            frames: vec![Vec::new(), payload],
        }
    }

    /// The frames as they are.
    ///
    /// # Errors
    /// [`Misuse::NoFrames`] if there is none.
    pub fn from_frames(frames: Vec<Vec<u8>>) -> Result<Self, Misuse> {
        if frames.is_empty() {
            Err(Misuse::NoFrames)
        } else {
            Ok(Self { frames })
        }
    }

    /// The frames, at least one.
    #[must_use]
    pub fn frames(&self) -> &[Vec<u8>] {
        &self.frames
    }

    /// The frames, at least one.
    #[must_use]
    pub fn into_frames(self) -> Vec<Vec<u8>> {
        self.frames
    }

    /// The payload behind the empty delimiter.
    ///
    /// # Errors
    /// The message itself if it is not exactly an empty frame and one more.
    pub fn into_payload(mut self) -> Result<Vec<u8>, Self> {
        match self.frames.as_mut_slice() {
            [delimiter, payload] if delimiter.is_empty() => Ok(std::mem::take(payload)),
            _ => Err(self),
        }
    }

    /// Bytes of all frames together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.frames
            .iter()
            .fold(0, |sum, frame| sum.saturating_add(frame.len()))
    }
}

impl std::fmt::Debug for Message {
    /// Sizes alone: a payload may be a job with passwords in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes: Vec<usize> = self.frames.iter().map(Vec::len).collect();
        write!(f, "Message(frames of {sizes:?} bytes)")
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, Misuse};

    #[test]
    fn a_payload_comes_out_only_behind_one_empty_delimiter() {
        assert_eq!(
            Message::delimited(b"x".to_vec()).into_payload(),
            Ok(b"x".to_vec())
        );
        for frames in [
            vec![b"x".to_vec()],
            vec![b"a".to_vec(), b"x".to_vec()],
            vec![vec![], vec![], vec![]],
        ] {
            let message = Message::from_frames(frames).unwrap();
            assert_eq!(message.clone().into_payload(), Err(message));
        }
    }

    #[test]
    fn a_message_has_a_frame() {
        assert_eq!(Message::from_frames(vec![]), Err(Misuse::NoFrames));
    }

    #[test]
    fn debug_output_holds_no_payload() {
        assert_eq!(
            format!("{:?}", Message::delimited(b"secret".to_vec())),
            "Message(frames of [0, 6] bytes)"
        );
    }
}

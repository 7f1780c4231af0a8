//! What is inside the frames: msgpack envelopes and loads, typed, with limits on size and depth.
//!
//! A master's worker that meets a field of the wrong type may never answer again (Salt's workers are
//! lost to such requests), so every request is built here, from types that cannot leave a field out.

mod command;
mod envelope;
mod id;
mod mark;
mod nonce;
mod value;

pub use command::{Command, Published, PublishedIn, Returned};
pub use envelope::{aes_request, clear_request};
pub use id::{Jid, JidError, MinionId, MinionIdError};
pub use mark::Mark;
pub use nonce::Nonce;
pub use value::{DecodeError, Limits, Value};

//! YAML files as people wrote them: a tree that knows its places, and edits that touch nothing else.
//!
//! The tree is for looking; the text stays the truth. An edit inserts or replaces at byte offsets that
//! the parser reported, never a reprint, so what it does not name cannot change. `yaml-edit`, whose
//! tree reprints a file byte for byte, was tried for this: its edits are not as careful (0.3.6 puts a
//! key for a flow mapping of several lines into column 0, drops the blanks in `{ }`, and takes tabs
//! and duplicate keys without a word).

mod change;
mod document;
mod flow;
mod locate;
mod replace;
mod tree;
mod verify;
mod view;

pub(crate) use change::{Addition, Change, Edit, Edited, NewValue, Value, apply};
pub(crate) use document::Document;
pub(crate) use flow::double_quoted;
pub(crate) use replace::{is_ours, source};
pub(crate) use tree::{Entry, Kind, Mark, Node};
pub(crate) use verify::{Differs, compare, verify};
pub(crate) use view::{Found, View};

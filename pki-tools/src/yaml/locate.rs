//! Where new lines may go: offsets in the text, found from the places of the nodes around them.

use super::{Entry, Kind, Node};

/// The line end in use just before `offset`; at the end of a file without one, that of its first line.
pub(super) fn newline_at(text: &str, offset: usize) -> &'static str {
    let before = text.get(..offset).unwrap_or(text);
    let line = if before.ends_with('\n') {
        before
    } else {
        text.split_inclusive('\n').next().unwrap_or_default()
    };
    if line.ends_with("\r\n") { "\r\n" } else { "\n" }
}

/// The beginning of the line that follows the one with `offset`, or the end of the file.
pub(super) fn next_line(text: &str, offset: usize) -> usize {
    let rest = text.get(offset..).unwrap_or_default();
    rest.find('\n').map_or(text.len(), |at| offset + at + 1)
}

/// The end of the line with `offset`, before its line end.
pub(super) fn line_end(text: &str, offset: usize) -> usize {
    let rest = text.get(offset..).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default();
    offset + line.strip_suffix('\r').unwrap_or(line).len()
}

/// The beginning of the line with `offset`.
pub(super) fn line_start(text: &str, offset: usize) -> usize {
    text.get(..offset)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |at| at + 1)
}

/// Where a node of block style has its last byte, so that [`next_line`] leads behind it.
///
/// `floor` is where its key ends: a value that isn't written has no place of its own.
pub(super) fn end_of(text: &str, node: &Node, floor: usize) -> usize {
    match &node.kind {
        Kind::Scalar { value, .. } if node.is_block_scalar() => {
            let blank = value.ends_with("\n\n")
                || value.as_str() == "\n"
                || value.trim_end_matches('\n').ends_with([' ', '\t']);
            if blank {
                // The blank lines belong to the text (`|+`, or they are deeper than it): its end is after them.
                return line_start(text, node.end.offset).saturating_sub(1).max(floor);
            }
            let body = text.get(node.start.offset..node.end.offset).unwrap_or_default();
            let body = body.trim_end_matches([' ', '\t', '\r', '\n']);
            if body.is_empty() {
                floor
            } else {
                node.start.offset + body.len()
            }
        }
        Kind::Mapping {
            flow: false, entries, ..
        } => entries
            .last()
            .map_or(floor, |Entry { key, value }| end_of(text, value, key.end.offset)),
        Kind::Sequence { flow: false, items } => items
            .last()
            .map_or(floor, |item| end_of(text, item, item.start.offset)),
        _ => node.end.offset.max(floor),
    }
}

/// Whether the file ends within this node, in a block scalar without a line end: a line end would become
/// part of the text for some parsers (PyYAML), and for others (YAML 1.2) it already is.
pub(super) fn ends_unterminated(text: &str, node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar { .. } if node.is_block_scalar() => {
            node.end.offset >= text.len() && !text.ends_with('\n')
        }
        Kind::Mapping { flow: false, entries } => entries
            .last()
            .is_some_and(|entry| ends_unterminated(text, &entry.value)),
        Kind::Sequence { flow: false, items } => {
            items.last().is_some_and(|item| ends_unterminated(text, item))
        }
        _ => false,
    }
}

/// Steps over comments and blanks that a block scalar with this indentation would swallow if it stood
/// right before them.
pub(super) fn past_comments(text: &str, offset: usize, indent: usize) -> usize {
    swallowed(text, offset, indent)
        .map(|(_, end)| end)
        .last()
        .unwrap_or(offset)
}

/// The indentation from which on a block scalar right before `offset` swallows nothing, at least `indent`.
pub(super) fn clear_indent(text: &str, offset: usize, indent: usize) -> usize {
    swallowed(text, offset, indent)
        .map(|(width, _)| width + 1)
        .fold(indent, usize::max)
}

/// The comments and blanks that a block scalar with this indentation would swallow: how deep each stands,
/// and where its line ends.
fn swallowed(text: &str, offset: usize, indent: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = offset;
    let lines = text
        .get(offset..)
        .unwrap_or_default()
        .split_inclusive('\n')
        .map(move |line| {
            at += line.len();
            let content = line.trim_end_matches(['\r', '\n']);
            let inner = content.trim_start_matches([' ', '\t']);
            (inner.chars().next(), content.len() - inner.len(), at)
        });
    lines
        // From the first comment that is less indented the scalar is over, whatever follows.
        .take_while(move |(first, width, _)| first.is_none_or(|c| c == '#' && *width >= indent))
        .filter(move |(first, width, _)| first.is_some() || *width > indent)
        .map(|(_, width, end)| (width, end))
}

/// The offset after the colon of an entry, if it has one right after its key.
pub(super) fn after_colon(text: &str, entry: &Entry) -> Option<usize> {
    let rest = text.get(entry.key.end.offset..)?;
    let skipped = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    rest.get(skipped..)?
        .starts_with(':')
        .then_some(entry.key.end.offset + skipped + 1)
}

/// The offset after the comma between `from` and `to` of a flow mapping, comments aside.
pub(super) fn after_comma(text: &str, from: usize, to: usize) -> Option<usize> {
    let mut comment = false;
    let mut previous = ' ';
    for (at, c) in text.get(from..to)?.char_indices() {
        match c {
            '\n' => comment = false,
            _ if comment => {}
            // `#` begins a comment only after white space.
            '#' if previous.is_whitespace() => comment = true,
            ',' => return Some(from + at + 1),
            _ => {}
        }
        previous = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> usize {
        let root = Node::parse(text).ok().unwrap().unwrap();
        next_line(text, end_of(text, &root, 0))
    }

    #[test]
    fn a_mapping_ends_after_its_last_line_with_content() {
        assert_eq!(end("a: 1 # why\n\n# tail\n"), 11);
        assert_eq!(end("a:\n  - b:\n  -\n\n"), 14);
        assert_eq!(end("a: x\n  y\n# tail"), 9);
        assert_eq!(end("a: {b: 1,\nc: 2} # why\n"), 22);
        assert_eq!(end("a:   # nothing\n"), 15);
        assert_eq!(end("a: |\n  t\n\n\n# tail\n"), 9);
        assert_eq!(end("a: |   # empty\n\n\nb: 1"), 21);
    }

    #[test]
    fn the_blank_lines_of_a_text_belong_to_it() {
        assert_eq!(end("a: |+\n  t\n\n\n# tail\n"), 12);
        assert_eq!(end("b:\n  a: |+\n\n\n"), 13);
        assert_eq!(end("a: |\n  t\n    \n\n# tail\n"), 15);
    }

    #[test]
    fn comments_that_a_text_would_swallow_are_stepped_over() {
        let text = "    # deep\n\n    # deep\n  # out\n    # deep\nb: 1\n";
        assert_eq!(past_comments(text, 0, 4), 23);
        assert_eq!(past_comments(text, 0, 5), 0);
        assert_eq!(past_comments("      \n\nb: 1\n", 0, 4), 7);
        assert_eq!(clear_indent("    # deep\n# out\n      # deep\n", 0, 2), 5);
        assert_eq!(clear_indent("  # out\n", 0, 4), 4);
    }

    #[test]
    fn a_comma_in_a_comment_is_none() {
        assert_eq!(after_comma("{a: 1 # b, c\n}", 5, 13), None);
        assert_eq!(after_comma("{a: 1 # b, c\n,}", 5, 14), Some(14));
    }
}

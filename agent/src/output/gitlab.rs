//! Sections that GitLab folds in the log of a job.
//!
//! Their markers are described at <https://docs.gitlab.com/ci/jobs/job_logs/>; the runner itself writes the same.

use std::fmt::Write as _;

/// One section: its name pairs the marker of its beginning with that of its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    name: String,
}

/// Back to the start of the line, and erase it: the marker is seen by GitLab only.
const ERASE: &str = "\r\u{1b}[0K";
/// Longer names are cut.
const LONGEST_NAME: usize = 80;

impl Section {
    /// A section under this name, which should be the only one of a job; what GitLab does not take in it becomes `_`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let taken = |character: char| {
            if character.is_ascii_alphanumeric() || matches!(character, '.' | '-') {
                character
            } else {
                '_'
            }
        };
        let name: String = name.chars().take(LONGEST_NAME).map(taken).collect();
        Self {
            name: if name.is_empty() { "_".to_owned() } else { name },
        }
    }

    /// The beginning, with the line that stays visible; `unix` is the time in seconds since 1970.
    #[must_use]
    pub fn begin(&self, unix: u64, header: &str, collapsed: bool) -> String {
        let mut marker = format!("section_start:{unix}:{}", self.name);
        if collapsed {
            marker.push_str("[collapsed=true]");
        }
        // A second line would be inside, and a control character could undo the marker.
        let header = header.split(|character: char| character.is_control() && character != '\u{1b}');
        let header = header
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        // Writing to a String cannot fail.
        let _ = writeln!(marker, "{ERASE}{header}");
        marker
    }

    /// The end; the output before it has to end with its line.
    #[must_use]
    pub fn end(&self, unix: u64) -> String {
        format!("section_end:{unix}:{}{ERASE}\n", self.name)
    }

    /// All of it around `body`.
    #[must_use]
    pub fn around(&self, body: &str, header: &str, (begun, ended): (u64, u64), collapsed: bool) -> String {
        let begin = self.begin(begun, header, collapsed);
        let line_end = if body.is_empty() || body.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        format!("{begin}{body}{line_end}{}", self.end(ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_markers_are_those_of_gitlab() {
        let section = Section::new("minion01");
        assert_eq!(
            section.around(
                "out\n",
                "state.apply on minion01",
                (1_560_896_352, 1_560_896_353),
                true
            ),
            "section_start:1560896352:minion01[collapsed=true]\r\x1b[0Kstate.apply on minion01\nout\n\
             section_end:1560896353:minion01\r\x1b[0K\n"
        );
        assert_eq!(
            section.begin(1, "h", false),
            "section_start:1:minion01\r\x1b[0Kh\n"
        );
    }

    #[test]
    fn the_end_begins_a_line() {
        let printed = Section::new("a").around("out", "h", (1, 2), false);
        assert!(printed.contains("\nout\nsection_end:2:a"), "{printed:?}");
        let nothing = Section::new("a").around("", "h", (1, 2), false);
        assert!(nothing.contains("h\nsection_end:2:a"), "{nothing:?}");
    }

    #[test]
    fn a_name_holds_nothing_that_ends_the_marker() {
        for (name, taken) in [
            ("web1.xyz.example", "web1.xyz.example"),
            ("a b:c]\r\n\x1bä", "a_b_c_____"),
            ("", "_"),
        ] {
            assert!(
                Section::new(name)
                    .end(1)
                    .starts_with(&format!("section_end:1:{taken}\r")),
                "{name}"
            );
        }
        assert_eq!(Section::new(&"x".repeat(500)).name.len(), LONGEST_NAME);
    }

    #[test]
    fn a_header_stays_on_its_line_and_keeps_its_colours() {
        let begin = Section::new("a").begin(1, "\x1b[1mone\r\ntwo\x07\x1b[0m", false);
        assert_eq!(begin, "section_start:1:a\r\x1b[0K\x1b[1mone two \x1b[0m\n");
    }
}

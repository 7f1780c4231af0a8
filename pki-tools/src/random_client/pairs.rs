//! Pairs that a file has already, their halves in every style that YAML offers.

use super::Writer;

impl Writer<'_> {
    /// The lines of a private half, each with a word that nothing else in the file has.
    fn secret(&mut self) -> Vec<String> {
        let number = self.pairs.unwrap_or_default();
        self.pairs = Some(number + 1);
        let mut lines = vec![format!("-----BEGIN SECRET{number} PRIVATE KEY-----")];
        for part in 0..self.choice(4) {
            lines.push(format!("SECRET{number}/{part}+=\"'{{}}, #: \\\\n"));
        }
        lines.push(format!("-----END SECRET{number} PRIVATE KEY-----"));
        lines
    }

    /// A key with both halves, in a block or in braces.
    pub(super) fn full_pair(&mut self, indent: usize, key: &str, private: &str) {
        let key = self.quoted(key);
        if self.choice(5) == 0 {
            let pair = self.flow_pair(private);
            self.line(indent, &format!("{key}: {pair}"));
            self.filler(indent);
            return;
        }
        let anchor = self.one_of(&["", "", "", " &pair", " !!map"]);
        let anchor = match anchor {
            " &pair" => format!(" &pair{}", self.pairs.unwrap_or_default()),
            other => other.to_owned(),
        };
        self.line(indent, &format!("{key}:{anchor}"));
        let deep = indent + self.one_of(&[1, 2, 2, 4]);
        self.filler(deep);
        self.others(deep, "n");
        let private_first = self.choice(3) > 0;
        if !private_first {
            self.public(deep);
        }
        let private = self.quoted(private);
        self.half(deep, &private);
        self.others(deep, "o");
        if private_first {
            self.public(deep);
        }
        self.filler(deep);
    }

    /// An asset with whose private half the file ends, with or without a line end.
    pub(super) fn last_host(&mut self, indent: usize) {
        self.line(indent, "- fqdn: a4");
        self.line(indent + 2, "minion:");
        let deep = indent + 2 + self.one_of(&[1, 2, 2, 4]);
        self.line(deep, "pub: public");
        self.half(deep, "pem");
        let end = match self.choice(4) {
            0 => self.out.len(),
            1 => self.out.trim_end().len(),
            2 => self.out.trim_end_matches(['\r', '\n']).len(),
            _ => {
                let one = self.out.strip_suffix(self.newline);
                one.map_or(self.out.len(), str::len)
            }
        };
        self.out.truncate(end);
    }

    fn public(&mut self, indent: usize) {
        match self.choice(3) {
            0 => self.line(indent, "pub: public"),
            1 => self.line(indent, "\"pub\": 'public key'"),
            _ => {
                self.line(indent, "pub: |");
                self.out
                    .push_str(&format!("{}public{}", " ".repeat(indent + 2), self.newline));
            }
        }
    }

    /// Both halves in braces, maybe on several lines.
    pub(super) fn flow_pair(&mut self, private: &str) -> String {
        let lines = self.secret();
        let gap = self
            .one_of(&["", " ", "\n                    "])
            .replace('\n', self.newline);
        let fold = format!("{0}{0}{1}", self.newline, " ".repeat(22));
        let escaped: Vec<_> = lines
            .iter()
            .map(|line| line.replace('\\', "\\\\").replace('"', "\\\""))
            .collect();
        let value = match self.choice(6) {
            0 => format!("\"{}\\n\"", escaped.join("\\n")),
            1 => format!("\"{}\"", escaped.join("\\n")),
            2 => format!(
                "\"{}\\n\"",
                escaped.join(&format!("\\n\\{}{}", self.newline, " ".repeat(22)))
            ),
            3 => format!("'{}'", lines.join(&fold).replace('\'', "''")),
            4 => format!("\"{}{fold}\"", escaped.join(&fold)),
            _ => lines[0].clone(),
        };
        let private = self.quoted(private);
        match self.choice(3) {
            0 => format!("{{{gap}{private}: {value}, pub: public{gap}}}"),
            1 => format!("{{pub: \"public\\n\",{gap} {private}: {value}{gap}}}"),
            _ => format!("{{{gap}pub: public, {private}: {value} ,{gap}}}"),
        }
    }

    /// A private half in block style.
    fn half(&mut self, indent: usize, key: &str) {
        let lines = self.secret();
        let number = self.pairs.unwrap_or_default();
        let property = self.one_of(&["", "", "", "", "&anchor ", "!!str ", "! "]);
        let property = match property {
            "&anchor " => format!("&anchor{number} "),
            other => other.to_owned(),
        };
        let comment = self.one_of(&["", "", "", "  # why", " #", "   "]);
        let deep = indent + self.one_of(&[1, 2, 2, 2, 3, 4, 8]);
        let newline = self.newline;
        let pad = " ".repeat(deep);
        let gap = self.one_of(&[" ", " ", "  ", "\n"]);
        let gap = match gap {
            "\n" => format!("{newline}{}", " ".repeat(indent + 1)),
            other => other.to_owned(),
        };
        let head = format!("{}{key}:{gap}{property}", " ".repeat(indent));
        match self.choice(10) {
            // As we write them, if the indentation happens to be right.
            0 | 1 => {
                self.out.push_str(&format!("{head}|{comment}{newline}"));
                self.body(&lines, &pad, false);
            }
            // Literal, with more to say about line ends and indentation.
            2 | 3 => {
                let indicator = (deep - indent).to_string();
                let first = self.one_of(&["", "-", "+"]);
                let indicated = self.choice(2) == 0;
                let more = match (indicated, self.choice(2)) {
                    (false, _) => first.to_owned(),
                    (true, 0) => format!("{indicator}{first}"),
                    (true, _) => format!("{first}{indicator}"),
                };
                self.out.push_str(&format!("{head}|{more}{comment}{newline}"));
                for _ in 0..self.one_of(&[0, 0, 1]) {
                    self.out.push_str(newline);
                }
                let pad = if indicated {
                    format!("{pad}{}", self.one_of(&["", " "]))
                } else {
                    pad
                };
                self.body(&lines, &pad, true);
                for _ in 0..self.choice(3) {
                    let blanks = self.one_of(&[0, 0, 1, deep, deep + 2]);
                    self.out.push_str(&format!("{}{newline}", " ".repeat(blanks)));
                }
                return;
            }
            4 => {
                let chomp = self.one_of(&["", "-", "+"]);
                self.out.push_str(&format!("{head}>{chomp}{comment}{newline}"));
                for line in &lines {
                    self.out.push_str(&format!("{pad}{line}{newline}"));
                    if self.choice(4) > 0 {
                        self.out.push_str(newline);
                    }
                }
                return;
            }
            5 => {
                let text = lines
                    .join(&format!("{newline}{newline}{pad}"))
                    .replace('\'', "''");
                self.out.push_str(&format!("{head}'{text}'{comment}{newline}"));
            }
            6 => {
                let lines: Vec<_> = lines
                    .iter()
                    .map(|line| line.replace('\\', "\\\\").replace('"', "\\\""))
                    .collect();
                let text = lines.join(&format!("\\n\\{newline}{pad}"));
                self.out
                    .push_str(&format!("{head}\"{text}\\n\"{comment}{newline}"));
            }
            7 => {
                let lines: Vec<_> = lines
                    .iter()
                    .map(|line| line.replace('\\', "\\\\").replace('"', "\\\""))
                    .collect();
                self.out
                    .push_str(&format!("{head}\"{}\\n\"{comment}{newline}", lines.join("\\n")));
            }
            8 => self
                .out
                .push_str(&format!("{head}{}{comment}{newline}", lines[0])),
            _ => {
                let text = format!("{}{newline}{newline}{pad}{}", lines[0], lines[lines.len() - 1]);
                self.out.push_str(&format!("{head}{text}{comment}{newline}"));
            }
        }
        if self.choice(2) == 0 {
            self.filler(indent);
        }
    }

    /// The lines of a literal text.
    fn body(&mut self, lines: &[String], pad: &str, odd: bool) {
        for (number, line) in lines.iter().enumerate() {
            let more = if number > 0 && odd {
                self.one_of(&["", "", "  "])
            } else {
                ""
            };
            let tail = if odd {
                self.one_of(&["", "", "", " ", "\t"])
            } else {
                ""
            };
            self.out
                .push_str(&format!("{pad}{more}{line}{tail}{}", self.newline));
        }
    }
}

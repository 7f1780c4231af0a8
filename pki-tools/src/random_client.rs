//! Client files as chance writes them, for tests of edits.

mod pairs;

/// Writes a client file; every choice that YAML leaves is made by the next of the given numbers.
struct Writer<'a> {
    choices: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    out: String,
    newline: &'static str,
    /// How many pairs the file has so far; nothing if it is to have none.
    pairs: Option<usize>,
}

impl Writer<'_> {
    fn choice(&mut self, n: usize) -> usize {
        usize::from(*self.choices.next().unwrap()) % n
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.choice(of.len())]
    }

    fn line(&mut self, indent: usize, text: &str) {
        self.out.push_str(&" ".repeat(indent));
        self.out.push_str(text);
        let tail = self.one_of(&["", "", "", "  # why", " #", "   "]);
        self.out.push_str(tail);
        self.out.push_str(self.newline);
    }

    /// Nothing, or something that isn't data.
    fn filler(&mut self, indent: usize) {
        for _ in 0..self.one_of(&[0, 0, 0, 1, 2]) {
            let indent = self.one_of(&[0, indent, indent + 1, indent + 7, 40]);
            let text = self.one_of(&["# a comment: {with, [signs", "", "#"]);
            self.out.push_str(&" ".repeat(indent));
            self.out.push_str(text);
            self.out.push_str(self.newline);
        }
    }

    fn quoted(&mut self, text: &str) -> String {
        match self.choice(3) {
            0 => text.to_owned(),
            1 => format!("'{text}'"),
            _ => format!("\"{text}\""),
        }
    }

    /// Some keys that are not ours, at the place where the writer is.
    fn others(&mut self, indent: usize, prefix: &str) {
        for number in 0..self.choice(4) {
            let key = format!("{prefix}{number}");
            let key = self.quoted(&key);
            let deep = indent + self.one_of(&[1, 2, 4]);
            match self.choice(8) {
                0 => self.line(indent, &format!("{key}: ünï # 1")),
                1 => self.line(indent, &format!("{key}:")),
                2 => self.line(indent, &format!("{key}: {{a: [1, '}}'], b: }}")),
                3 => {
                    let header = self.one_of(&["|", "|-", "|+", ">", ">-", ">+"]);
                    self.out
                        .push_str(&format!("{}{key}: {header}{}", " ".repeat(indent), self.newline));
                    for text in ["text: |", "  # no comment", "", "  more"] {
                        let pad = if text.is_empty() { 0 } else { deep };
                        self.out
                            .push_str(&format!("{}{text}{}", " ".repeat(pad), self.newline));
                    }
                    for _ in 0..self.choice(3) {
                        self.out.push_str(self.newline);
                    }
                }
                4 => {
                    self.line(indent, &format!("{key}:"));
                    self.line(indent, "- x");
                    self.line(indent, "-");
                }
                5 => {
                    self.line(indent, &format!("{key}:"));
                    self.line(deep, "k: v");
                    self.filler(deep);
                    self.line(deep, "l:");
                }
                6 => {
                    self.out
                        .push_str(&format!("{}{key}: plain{}", " ".repeat(indent), self.newline));
                    self.line(deep, "text");
                }
                _ => {
                    self.out
                        .push_str(&format!("{}{key}: \"quoted{}", " ".repeat(indent), self.newline));
                    self.line(deep, "text\"");
                }
            }
            self.filler(indent);
        }
    }

    fn nothing(&mut self) -> &'static str {
        self.one_of(&["", " ~", " null", " {}", " {  }", ""])
    }

    /// A key that should have a pair: absent, empty or half empty.
    fn pair(&mut self, indent: usize, key: &str, private: &str) {
        // `pki` stands here for an empty mapping of pairs.
        if self.pairs.is_some() && key != "pki" && self.choice(3) > 0 {
            return self.full_pair(indent, key, private);
        }
        let key = self.quoted(key);
        match self.choice(4) {
            0 | 1 => return,
            2 => {
                let nothing = self.nothing();
                self.line(indent, &format!("{key}:{nothing}"));
            }
            _ => {
                self.line(indent, &format!("{key}:"));
                let deep = indent + self.one_of(&[1, 2, 4]);
                self.others(deep, "n");
                let nothing = self.nothing();
                self.line(deep, &format!("{private}:{nothing}"));
                self.filler(deep);
                self.others(deep, "o");
            }
        }
        self.filler(indent);
    }

    fn flow_host(&mut self, fqdn: &str) -> String {
        let empty = self.one_of(&[
            "",
            ", minion: ",
            ", minion: {}",
            ", minion",
            ", minion: ~",
            ", \"minion\":null",
        ]);
        let tail = self.one_of(&["", " ", ", ", ","]);
        let gap = self.one_of(&["", " ", "\n         ", " # c, d: }\n          "]);
        let gap = gap.replace('\n', self.newline);
        let head = self.one_of(&["fqdn: ", "'fqdn': ", "\"fqdn\":"]);
        if self.pairs.is_some() && self.choice(2) == 0 {
            let pair = self.flow_pair("pem");
            return format!("{{{gap}{head}{fqdn}, minion: {pair}{tail}{gap}}}");
        }
        format!("{{{gap}{head}{fqdn}{empty}{tail}{gap}}}")
    }

    fn hosts(&mut self, indent: usize, names: &[&str], master: bool) {
        for name in names {
            let dash = self.one_of(&["- ", "-   "]);
            if !master && self.choice(4) == 0 {
                let host = self.flow_host(name);
                self.line(indent, &format!("{dash}{host}"));
                self.filler(indent);
                continue;
            }
            let name = self.quoted(name);
            self.line(indent, &format!("{dash}fqdn: {name}"));
            let deep = indent + dash.len();
            self.filler(deep);
            self.others(deep, "x");
            if master {
                self.pair(deep, "root_ed25519", "priv");
                match self.choice(3) {
                    0 => {
                        self.line(deep, "pki:");
                        self.filler(deep);
                        let deeper = deep + self.one_of(&[1, 2, 4]);
                        self.others(deeper, "p");
                        if self.pairs.is_some() {
                            self.pair(deeper, "minion", "pem");
                        } else {
                            self.line(deeper, "minion:");
                        }
                        self.pair(deeper, "master", "pem");
                    }
                    1 => {
                        let nothing = self.nothing();
                        self.line(deep, &format!("pki:{nothing}"));
                    }
                    _ => {}
                }
            } else {
                self.pair(deep, "minion", "pem");
            }
            self.others(deep, "y");
        }
    }

    fn client(&mut self) {
        let head = self.one_of(&["", "", "---\n", "# head\n\n", "\u{feff}", "%YAML 1.1\n---\n"]);
        self.out.push_str(&head.replace('\n', self.newline));
        self.line(0, "name: Xyz");
        self.filler(0);
        let step = self.one_of(&[1, 2, 4]);
        self.line(0, "configuration_management:");
        self.filler(step);
        self.line(step, "salt:");
        self.others(2 * step, "s");
        if self.pairs.is_some() && self.choice(2) == 0 {
            self.line(2 * step, "pki:");
            self.pair(3 * step, "master_sign", "pem");
            self.pair(3 * step, "pipeline", "pem");
            self.line(3 * step, "own: 1");
        } else {
            self.pair(2 * step, "pki", "master_sign");
        }
        self.line(2 * step, "masters:");
        let list = 2 * step + self.one_of(&[0, 2]);
        self.hosts(list, &["m1", "m2"], true);
        self.filler(step);
        self.others(0, "t");
        let key = self.one_of(&["assets:", "servers:"]);
        self.line(0, key);
        let list = self.one_of(&[0, 2, 3]);
        self.hosts(list, &["a1", "a2", "a3"], false);
        if self.pairs.is_some() && self.choice(2) == 0 {
            return self.last_host(list);
        }
        let tail = self.one_of(&["", "", "# tail\n", "...\n", "\n\n"]);
        self.out.push_str(&tail.replace('\n', self.newline));
        if self.choice(3) == 0 {
            let length = self.out.trim_end_matches(['\r', '\n']).len();
            self.out.truncate(length);
        }
    }
}

/// A client's file without keys; the choices that YAML leaves are made by these numbers, at least one.
pub(crate) fn client(choices: &[u8]) -> String {
    write(choices, None)
}

/// The same with keys here and there, in every style; each private half has the word SECRET in each line.
pub(crate) fn client_with_keys(choices: &[u8]) -> String {
    write(choices, Some(0))
}

fn write(choices: &[u8], pairs: Option<usize>) -> String {
    let newline = if choices[0].is_multiple_of(4) {
        "\r\n"
    } else {
        "\n"
    };
    let mut writer = Writer {
        choices: choices.iter().cycle(),
        out: String::new(),
        newline,
        pairs,
    };
    writer.client();
    writer.out
}

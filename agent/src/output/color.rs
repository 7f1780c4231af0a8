//! The colours of Salt's outputters, as escape sequences.

/// What `salt.utils.color.get_colors` returns, as far as states and nested data use it; all empty without colour.
///
/// Every sequence resets first (`salt.utils.textformat.TextFormat`), hence the leading `0;`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Colors {
    pub(super) green: &'static str,
    pub(super) cyan: &'static str,
    pub(super) red: &'static str,
    pub(super) light_red: &'static str,
    pub(super) light_yellow: &'static str,
    pub(super) end: &'static str,
}

impl Colors {
    pub(super) fn new(color: bool) -> Self {
        if color { Self::ON } else { Self::OFF }
    }

    /// All sequences that there are.
    pub(super) fn all() -> [&'static str; 6] {
        let Self {
            green,
            cyan,
            red,
            light_red,
            light_yellow,
            end,
        } = Self::ON;
        [green, cyan, red, light_red, light_yellow, end]
    }

    const ON: Self = Self {
        green: "\x1b[0;32m",
        cyan: "\x1b[0;36m",
        red: "\x1b[0;31m",
        light_red: "\x1b[0;1;31m",
        light_yellow: "\x1b[0;1;33m",
        end: "\x1b[0;0m",
    };

    const OFF: Self = Self {
        green: "",
        cyan: "",
        red: "",
        light_red: "",
        light_yellow: "",
        end: "",
    };
}

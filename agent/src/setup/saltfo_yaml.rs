//! What `saltfo.yaml` must say for the relay, and how it comes to say it: lines at its end, or by the operator's hand.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use super::{Change, SetupError};
use crate::config::saltfo_yaml::settings_of;
use crate::config::{Host, MASTER_PORT, MasterConfig, Outline, PUBLISH_PORT};
use crate::sidecar::settings::Mode;

/// What becomes of the file.
pub(super) enum Planned {
    /// It says all that is needed.
    Nothing,
    /// It is new, or has lines more.
    Change(Change),
    /// Lines that have to go into what is there.
    ByHand(String),
}

pub(super) fn plan(
    path: &Path,
    outline: &Outline,
    masters: &[MasterConfig],
    mode: Mode,
) -> Result<Planned, SetupError> {
    let mut lines = String::new();
    if !outline.has_masters {
        lines += &masters_section(masters);
    }
    if mode != Mode::Relay {
        lines += "sidecar:\n  mode: relay\n";
    }
    if lines.is_empty() {
        return Ok(Planned::Nothing);
    }
    // A section cannot be there twice.
    if outline.has_sidecar && mode != Mode::Relay {
        return Ok(Planned::ByHand(lines));
    }
    if !path.exists() {
        let text = format!(
            "# Written by `saltfo setup relay`; identity, trust and algorithms are those of this host's minion.\n{lines}"
        );
        return Ok(Change::write(path, text, &backup_of(path))?.map_or(Planned::Nothing, Planned::Change));
    }
    let change = Change::append(path, &lines, &backup_of(path))?;
    check(path, &change, outline, masters)?;
    Ok(Planned::Change(change))
}

/// A text with lines at its end may be no longer what it was: a document that has ended, a mapping in braces.
fn check(path: &Path, change: &Change, before: &Outline, masters: &[MasterConfig]) -> Result<(), SetupError> {
    let unfit = |why: String| SetupError::Unfit {
        file: path.to_owned(),
        why,
    };
    let text = change.content.as_deref().unwrap_or_default();
    let outline = Outline::of(path, text).map_err(|error| unfit(error.to_string()))?;
    let settings = settings_of(path, text).map_err(|error| unfit(error.to_string()))?;
    let expected = Outline {
        has_masters: true,
        has_sidecar: true,
        masters: masters.len(),
        all_pinned: outline.all_pinned,
        ..before.clone()
    };
    if outline != expected || settings.mode != Mode::Relay {
        return Err(unfit("the sections would not be found".to_owned()));
    }
    Ok(())
}

fn masters_section(masters: &[MasterConfig]) -> String {
    let mut text = "masters:\n".to_owned();
    for master in masters {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  - name: {}", scalar(&master.name));
        if master.address != master.name {
            let _ = writeln!(text, "    address: {}", scalar(&master.address));
        }
        if master.publish_port != PUBLISH_PORT {
            let _ = writeln!(text, "    publish_port: {}", master.publish_port);
        }
        if master.master_port != MASTER_PORT {
            let _ = writeln!(text, "    master_port: {}", master.master_port);
        }
    }
    text
}

/// In quotes where YAML could take it for something else than a text; there are no quotes in it.
fn scalar(host: &Host) -> String {
    let text = host.as_str();
    let is_word = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    let is_name =
        text.starts_with(|first: char| first.is_ascii_alphabetic()) && !text.contains(':') && !is_word;
    if is_name || text.parse::<Ipv4Addr>().is_ok() {
        text.to_owned()
    } else {
        format!("'{text}'")
    }
}

fn backup_of(path: &Path) -> std::path::PathBuf {
    let mut backup = path.as_os_str().to_owned();
    backup.push(".bak");
    backup.into()
}

//! The keys of a lab: made by `pki-tools` for the client Xyz, and installed by it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use pki_tools::client::Client;
use pki_tools::generate;
use pki_tools::install::{self, Options, Role};
use pki_tools::seal::Keyring;

/// The client's file, without keys.
const XYZ: &str = include_str!("../xyz.yaml");

/// Writes the client's file into the lab's folder and makes all its keys.
pub(crate) fn generate(folder: &Path, minions: &[String]) -> anyhow::Result<Client> {
    let file = client_file(folder);
    write(&file, &with_assets(minions), 0o600)?;
    generate::run(
        std::slice::from_ref(&file),
        &generate::Options::default(),
        &Keyring::none(),
        &|_, _| {},
    )
    .context("cannot make the lab's keys")?;
    load(folder)
}

/// Reads what [`generate()`] left.
pub(crate) fn load(folder: &Path) -> anyhow::Result<Client> {
    Client::load(&client_file(folder)).context("cannot read the lab's keys")
}

/// The client's file in a lab's folder.
pub(crate) fn client_file(folder: &Path) -> PathBuf {
    folder.join("xyz.yaml")
}

/// Installs a host as `pki-tools install` does: its keys, and the settings that go with them.
pub(crate) fn install(
    folder: &Path,
    host: &str,
    role: Role,
    root: &Path,
    allowed: Option<&[&str]>,
) -> anyhow::Result<()> {
    let mut options = Options::new(host);
    options.role = Some(role);
    options.root = root.to_owned();
    options.peer_allow = allowed
        .map(|names| names.iter().map(|name| name.parse()).collect::<Result<_, _>>())
        .transpose()?;
    install::run(
        &client_file(folder),
        &options,
        &Keyring::none(),
        SystemTime::now(),
    )
    .map(drop)
    .with_context(|| format!("cannot install {host}"))
}

/// Writes a file with exactly this mode. A private key is never readable by others, not even for a moment.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let put = || {
        if path.exists() {
            fs::remove_file(path)?;
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?
            .write_all(text.as_bytes())
    };
    put().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes a folder for its owner alone, with its parents.
pub(crate) fn make_folder(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make {}", path.display()))
}

/// The client's file with an asset for each minion: it names two, and a lab may have more.
fn with_assets(minions: &[String]) -> String {
    let mut text = XYZ.to_owned();
    for id in minions {
        if !text.contains(&format!("- fqdn: {id}\n")) {
            text.push_str(&format!("  - fqdn: {id}\n    active: True\n    kind: server\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minion_that_the_client_lacks_gets_an_asset_and_others_get_no_second_one() {
        let text = with_assets(&["minion02".to_owned(), "minion07".to_owned()]);
        assert_eq!(text.matches("fqdn: minion02\n").count(), 1);
        assert_eq!(text.matches("fqdn: minion07\n").count(), 1);
    }
}

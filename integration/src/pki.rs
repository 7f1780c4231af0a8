//! The keys of a lab: made by `pki-tools` for the client Xyz, put where Salt looks for them.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pki_tools::client::{Client, RsaPair};
use pki_tools::generate;
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

/// Puts a master's keys, and those of everyone it accepts, into its `pki_dir`.
pub(crate) fn install_master(client: &Client, fqdn: &str, pki_dir: &Path) -> anyhow::Result<()> {
    let master = client.masters.iter().find(|master| master.fqdn == fqdn);
    let master = master.with_context(|| format!("the client has no master {fqdn}"))?;
    make_folder(pki_dir)?;
    write_pair(pki_dir, "master", pair(master.master.as_ref(), fqdn)?)?;
    write_pair(
        pki_dir,
        "master_sign",
        pair(client.master_sign.as_ref(), "master_sign")?,
    )?;
    let accepted = pki_dir.join("minions");
    make_folder(&accepted)?;
    let own = client.masters.iter().map(|master| (&master.fqdn, &master.minion));
    let minions = client.minions.iter().filter(|minion| minion.active);
    for (id, keys) in own.chain(minions.map(|minion| (&minion.fqdn, &minion.minion))) {
        if let Some(keys) = keys {
            write(&accepted.join(id), &keys.pub_, 0o644)?;
        }
    }
    if let Some(dispatch) = &client.pipeline {
        write(&accepted.join(&dispatch.id), &dispatch.pair.pub_, 0o644)?;
    }
    Ok(())
}

/// Puts a minion's keys into its `pki_dir`.
pub(crate) fn install_minion(client: &Client, id: &str, pki_dir: &Path) -> anyhow::Result<()> {
    let minion = client.minions.iter().find(|minion| minion.fqdn == id);
    let minion = minion.with_context(|| format!("the client has no minion {id}"))?;
    make_folder(pki_dir)?;
    write_pair(pki_dir, "minion", pair(minion.minion.as_ref(), id)?)?;
    let master_sign = pair(client.master_sign.as_ref(), "master_sign")?;
    write(&pki_dir.join("master_sign.pub"), &master_sign.pub_, 0o644)
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

fn pair<'a>(pair: Option<&'a RsaPair>, owner: &str) -> anyhow::Result<&'a RsaPair> {
    pair.with_context(|| format!("no key was made for {owner}"))
}

fn write_pair(folder: &Path, name: &str, pair: &RsaPair) -> anyhow::Result<()> {
    let pem = pair.pem.open(&Keyring::none())?;
    write(&folder.join(format!("{name}.pem")), &pem, 0o400)?;
    write(&folder.join(format!("{name}.pub")), &pair.pub_, 0o644)
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

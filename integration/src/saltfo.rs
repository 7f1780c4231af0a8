//! The configuration of `saltfo` on the runner.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pki_tools::client::Client;

use crate::config::HostFolder;
use crate::host::{Host, RUNNER, Role};
use crate::pki;

/// The configuration that the runner's `saltfo` uses.
pub(crate) fn config_path(lab: &Path) -> PathBuf {
    HostFolder::of(lab, RUNNER).root().join("saltfo/saltfo.yaml")
}

/// Writes it, with the keys that it names.
pub(crate) fn write_config(
    lab: &Path,
    client: &Client,
    hosts: &[Host],
    extra: &str,
) -> anyhow::Result<PathBuf> {
    let path = config_path(lab);
    let folder = path.parent().context("no folder for saltfo.yaml")?;
    let keys = folder.join("pki");
    pki::make_folder(&keys)?;
    let dispatch = client
        .pipeline
        .as_ref()
        .context("the client has no dispatch identity")?;
    let sign = client
        .master_sign
        .as_ref()
        .context("the client has no master_sign pair")?;
    let pem = dispatch.pair.pem.open(&pki_tools::seal::Keyring::none())?;
    pki::write(&keys.join("pipeline.pem"), &pem, 0o400)?;
    pki::write(&keys.join("master_sign.pub"), &sign.pub_, 0o644)?;
    let mut text = format!(
        "id: {}\npki:\n  minion_pem: pki/pipeline.pem\n  master_sign_pub: pki/master_sign.pub\nmasters:\n",
        dispatch.id
    );
    for host in hosts.iter().filter(|host| host.role == Role::Master) {
        text.push_str(&format!(
            "  - name: {}\n    address: {}\n",
            host.fqdn, host.address
        ));
    }
    text.push_str(extra);
    pki::write(&path, &text, 0o600)?;
    Ok(path)
}

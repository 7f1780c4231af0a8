//! The `saltfo` binary under test, and its configuration on the runner.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use pki_tools::client::Client;

use crate::config::HostFolder;
use crate::host::{Host, RUNNER, Role};
use crate::pki;

/// The `saltfo` binary: `$SALTFO_BIN`, else the one that lies next to the running program, as cargo puts it.
///
/// # Errors
/// There is none, with what to do.
pub fn find_saltfo() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("SALTFO_BIN").filter(|path| !path.is_empty()) {
        let path = std::path::absolute(path)?;
        if !path.is_file() {
            bail!("SALTFO_BIN names {}, which is no file", path.display());
        }
        return Ok(path);
    }
    let here = std::env::current_exe().context("cannot find the running program")?;
    // Tests lie one folder deeper, in `deps`.
    let found = here
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("saltfo"))
        .find(|path| path.is_file());
    found.context("there is no saltfo binary: build it with `cargo build -p agent`, or set SALTFO_BIN")
}

/// Builds saltfo, so that what is measured is what the source says. Without the source or cargo, or if
/// `$SALTFO_BIN` names one, takes the one that is there.
///
/// # Errors
/// There is none, or cargo fails.
pub fn build_saltfo() -> anyhow::Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if std::env::var_os("SALTFO_BIN").is_some() || !workspace.join("Cargo.toml").exists() {
        return find_saltfo();
    }
    let here = std::env::current_exe()?;
    let profile = here.parent().and_then(Path::file_name).unwrap_or_default();
    // The folder of the profile `dev` has another name than the profile.
    let profile = if profile == "debug" {
        "dev".as_ref()
    } else {
        profile
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "-p", "agent", "--bin", "saltfo", "--profile"])
        .arg(profile)
        .current_dir(workspace)
        .stdout(Stdio::null())
        .status();
    if let Ok(status) = status {
        ensure!(status.success(), "cargo could not build saltfo");
    }
    find_saltfo()
}

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

//! The binaries under test: found beside the running program, or built as it was.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

/// A binary of this project.
struct Binary {
    name: &'static str,
    /// The package that it is built from.
    package: &'static str,
    /// The environment variable that names another one.
    variable: &'static str,
}

const SALTFO: Binary = Binary {
    name: "saltfo",
    package: "agent",
    variable: "SALTFO_BIN",
};

const PKI_TOOLS: Binary = Binary {
    name: "pki-tools",
    package: "pki-tools",
    variable: "PKI_TOOLS_BIN",
};

/// The `saltfo` binary: `$SALTFO_BIN`, else the one that lies next to the running program, as cargo puts it.
///
/// # Errors
/// There is none, with what to do.
pub fn find_saltfo() -> anyhow::Result<PathBuf> {
    SALTFO.find()
}

/// The `pki-tools` binary: `$PKI_TOOLS_BIN`, else the one that lies next to the running program.
///
/// # Errors
/// There is none, with what to do.
pub fn find_pki_tools() -> anyhow::Result<PathBuf> {
    PKI_TOOLS.find()
}

/// Builds saltfo, so that what is measured is what the source says. Without the source or cargo, or if
/// `$SALTFO_BIN` names one, takes the one that is there.
///
/// # Errors
/// There is none, or cargo fails.
pub fn build_saltfo() -> anyhow::Result<PathBuf> {
    SALTFO.build()
}

/// Builds pki-tools; see [`build_saltfo`].
///
/// # Errors
/// There is none, or cargo fails.
pub fn build_pki_tools() -> anyhow::Result<PathBuf> {
    PKI_TOOLS.build()
}

impl Binary {
    fn find(&self) -> anyhow::Result<PathBuf> {
        let Self {
            name,
            package,
            variable,
        } = self;
        if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
            let path = std::path::absolute(path)?;
            if !path.is_file() {
                bail!("{variable} names {}, which is no file", path.display());
            }
            return Ok(path);
        }
        let here = std::env::current_exe().context("cannot find the running program")?;
        // Tests lie one folder deeper, in `deps`.
        let found = here
            .ancestors()
            .skip(1)
            .take(2)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file());
        found.with_context(|| {
            format!("there is no {name} binary: build it with `cargo build -p {package}`, or set {variable}")
        })
    }

    fn build(&self) -> anyhow::Result<PathBuf> {
        let Self {
            name,
            package,
            variable,
        } = self;
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        if std::env::var_os(variable).is_some() || !workspace.join("Cargo.toml").exists() {
            return self.find();
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
            .args(["build", "-p", package, "--bin", name, "--profile"])
            .arg(profile)
            .current_dir(workspace)
            .stdout(Stdio::null())
            .status();
        if let Ok(status) = status {
            ensure!(status.success(), "cargo could not build {name}");
        }
        self.find()
    }
}

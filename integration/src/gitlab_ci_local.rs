//! `gitlab-ci-local`, which runs the jobs of a `.gitlab-ci.yml` without a GitLab: installed from npm into the cache, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::Progress;
use crate::cache::{self, run};

/// The pins. This release is the last that runs on Debian 12's Node.js 18.
const PACKAGE: &str = include_str!("../gitlab-ci-local/package.json");
const LOCK: &str = include_str!("../gitlab-ci-local/package-lock.json");

const PREFIX: &str = ".installing-gitlab-ci-local-";

/// `gitlab-ci-local` as it is installed.
#[derive(Debug, Clone)]
pub struct GitlabCiLocal {
    folder: PathBuf,
}

impl GitlabCiLocal {
    /// Finds it in the cache, or installs it there: that takes some seconds and the npm registry. See
    /// [`crate::Salt::ensure`] for the cache.
    ///
    /// # Errors
    /// No Node.js of 18 or newer, no npm, git or rsync, no registry, or a cache that can't be written.
    pub fn ensure(progress: &Progress) -> anyhow::Result<Self> {
        let cache = cache::folder()?;
        let name = format!("gitlab-ci-local-{}", cache::key_of(LOCK));
        let found = Self {
            folder: cache.join(name),
        };
        check_tools()?;
        if found.is_complete() {
            return Ok(found);
        }
        fs::create_dir_all(&cache).with_context(|| format!("cannot make the cache {}", cache.display()))?;
        let _lock = cache::lock(&cache.join("gitlab-ci-local.lock"), "gitlab-ci-local", progress)?;
        if !found.is_complete() {
            found.install(&cache, progress)?;
        }
        Ok(found)
    }

    /// The program, a script for `node`.
    #[must_use]
    pub fn script(&self) -> PathBuf {
        self.folder.join("node_modules/gitlab-ci-local/src/index.js")
    }

    /// The rename puts the folder there only when it is complete.
    fn is_complete(&self) -> bool {
        self.script().exists()
    }

    fn install(&self, cache: &Path, progress: &Progress) -> anyhow::Result<()> {
        cache::remove_stale(cache, PREFIX)?;
        progress.say(&format!(
            "installing gitlab-ci-local into {} (once)",
            self.folder.display()
        ));
        let aside = tempfile::Builder::new().prefix(PREFIX).tempdir_in(cache)?;
        let target = aside.path().join("target");
        fs::create_dir(&target)?;
        fs::write(target.join("package.json"), PACKAGE)?;
        fs::write(target.join("package-lock.json"), LOCK)?;
        run(
            Command::new("npm")
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(&target),
            "install gitlab-ci-local from the npm registry",
        )?;
        ensure!(
            target.join("node_modules/gitlab-ci-local/src/index.js").exists(),
            "the gitlab-ci-local that npm installed has no src/index.js: does its pin still fit?"
        );
        fs::rename(&target, &self.folder)
            .with_context(|| format!("cannot move the finished install to {}", self.folder.display()))
    }
}

/// What it needs and does not bring along.
fn check_tools() -> anyhow::Result<()> {
    for program in ["npm", "git", "rsync"] {
        run(
            Command::new(program).arg("--version"),
            &format!("run {program} (Debian: apt install {program})"),
        )?;
    }
    let version = run(
        Command::new("node").arg("--version"),
        "run node (Debian: apt install nodejs)",
    )?;
    let major = version
        .strip_prefix('v')
        .and_then(|version| version.split('.').next())
        .and_then(|major| major.parse::<u32>().ok());
    ensure!(
        major >= Some(18),
        "Node.js is {version}: gitlab-ci-local needs 18 or newer"
    );
    Ok(())
}

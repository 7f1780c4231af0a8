//! Installs a release of Salt from PyPI into a cache, once, and finds it there afterwards.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::Progress;
use crate::cache::{self, run};
use crate::version::SaltVersion;

/// A release of Salt that is installed: a Python virtual environment in the cache.
#[derive(Debug, Clone)]
pub struct Salt {
    version: SaltVersion,
    venv: PathBuf,
}

impl Salt {
    /// Finds the release in the cache, or installs it there: that takes about half a minute and PyPI.
    ///
    /// The cache is `$SALTFO_LAB_CACHE`, else `$XDG_CACHE_HOME/saltfo-lab`, else `~/.cache/saltfo-lab`. An
    /// install is built aside and renamed when it is complete, so one that crashed never counts; a lock keeps
    /// two installers apart.
    ///
    /// # Errors
    /// No Python of 3.10 or newer with `venv`, no PyPI, or a cache that can't be written.
    pub fn ensure(version: SaltVersion, progress: &Progress) -> anyhow::Result<Self> {
        let cache = cache::folder()?;
        let venv = cache.join(format!(
            "salt-{version}-{}",
            cache::key_of(version.requirements())
        ));
        let salt = Self { version, venv };
        if salt.is_complete() {
            return Ok(salt);
        }
        fs::create_dir_all(&cache).with_context(|| format!("cannot make the cache {}", cache.display()))?;
        let _lock = cache::lock(
            &cache.join(format!("salt-{}.lock", version.series())),
            &format!("salt {version}"),
            progress,
        )?;
        if !salt.is_complete() {
            salt.install(&cache, progress)?;
        }
        Ok(salt)
    }

    /// The release.
    #[must_use]
    pub fn version(&self) -> SaltVersion {
        self.version
    }

    /// The Python that has this Salt.
    #[must_use]
    pub fn python(&self) -> PathBuf {
        self.venv.join("bin/python3")
    }

    /// One of its programs, say `salt-master`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.venv.join("bin").join(name)
    }

    /// The rename puts the folder there only when it is complete. Its Python is a link to the one that made
    /// it, which may have been removed since; `exists` follows that link.
    fn is_complete(&self) -> bool {
        self.python().exists() && self.program("salt-master").exists()
    }

    fn install(&self, cache: &Path, progress: &Progress) -> anyhow::Result<()> {
        let version = self.version;
        let prefix = format!(".installing-{}-", version.series());
        cache::remove_stale(cache, &prefix)?;
        let python = base_python()?;
        progress.say(&format!(
            "installing salt {version} into {} (once)",
            self.venv.display()
        ));
        let aside = tempfile::Builder::new().prefix(&prefix).tempdir_in(cache)?;
        let target = aside.path().join("venv");
        run(
            Command::new(&python).args(["-m", "venv"]).arg(&target),
            "make a Python virtual environment",
        )
        .context("is the Python package venv (Debian: python3-venv) installed?")?;
        let requirements = aside.path().join("requirements.txt");
        fs::write(&requirements, version.requirements())?;
        let python = target.join("bin/python3");
        pip_install(&python, &requirements, version, progress)?;
        run(
            Command::new(&python).args(["-c", "import salt.master, salt.minion"]),
            "import the installed salt",
        )?;
        move_shebangs(&target.join("bin"), &target, &self.venv)?;
        if self.venv.exists() {
            fs::remove_dir_all(&self.venv)?;
        }
        fs::rename(&target, &self.venv)
            .with_context(|| format!("cannot move the finished install to {}", self.venv.display()))
    }
}

/// A Python that is new enough for the three releases.
fn base_python() -> anyhow::Result<PathBuf> {
    let python = std::env::var_os("SALTFO_LAB_PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    let output = Command::new(&python)
        .args(["-c", "import sys, venv, ensurepip; print(*sys.version_info[:2])"])
        .output()
        .with_context(|| {
            let python = python.display();
            format!("cannot run {python}: the lab needs Python 3.10 or newer; SALTFO_LAB_PYTHON can name it")
        })?;
    let python_name = python.display();
    ensure!(
        output.status.success(),
        "{python_name} has no working venv (Debian: apt install python3-venv): {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text
        .split_whitespace()
        .filter_map(|word| word.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    ensure!(
        found >= (3, 10),
        "{python_name} is Python {}.{}: the lab needs 3.10 or newer; SALTFO_LAB_PYTHON can name another",
        found.0,
        found.1
    );
    Ok(python)
}

fn pip_install(
    python: &Path,
    requirements: &Path,
    version: SaltVersion,
    progress: &Progress,
) -> anyhow::Result<()> {
    let total = version.requirements().lines().count();
    // The file is complete, so dependencies are not looked up: 3007.13 declares none, and a new release of
    // one must not change what is tested.
    let mut pip = Command::new(python)
        .args([
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--disable-pip-version-check",
            "--no-input",
        ])
        .args(["--progress-bar", "off", "-r"])
        .arg(requirements)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run pip")?;
    let stderr = pip.stderr.take();
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stderr) = stderr {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    });
    let mut found = 0;
    if let Some(stdout) = pip.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if line.starts_with("Collecting ") {
                found += 1;
                if found % 20 == 0 {
                    progress.say(&format!("salt {version}: {found} of {total} packages fetched"));
                }
            } else if line.starts_with("Installing collected packages") {
                progress.say(&format!("salt {version}: unpacking {total} packages"));
            }
        }
    }
    let status = pip.wait()?;
    let errors = errors.join().unwrap_or_default();
    if !status.success() {
        bail!(
            "pip could not install salt {version} ({status}):\n{}",
            errors.trim()
        );
    }
    Ok(())
}

/// Scripts name their Python by its full path, which the rename changes.
fn move_shebangs(bin: &Path, from: &Path, to: &Path) -> anyhow::Result<()> {
    let (old, new) = (format!("#!{}/", from.display()), format!("#!{}/", to.display()));
    for entry in fs::read_dir(bin)? {
        let path = entry?.path();
        if !path.is_file() || path.is_symlink() {
            continue;
        }
        if let Ok(text) = fs::read_to_string(&path)
            && let Some(rest) = text.strip_prefix(&old)
        {
            fs::write(&path, format!("{new}{rest}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_run_the_python_of_their_final_place() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("salt");
        fs::write(&script, "#!/old/venv/bin/python3\nprint(1)\n").unwrap();
        move_shebangs(folder.path(), Path::new("/old/venv"), Path::new("/new/venv")).unwrap();
        assert_eq!(
            fs::read_to_string(&script).unwrap(),
            "#!/new/venv/bin/python3\nprint(1)\n"
        );
    }
}

//! Somebody else's master at a master's address: it accepts the same minions, and has other keys.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use integration::{Daemon, Lab};
use proto::crypto::PrivateKey;

/// As long as the genuine one is not back.
pub(crate) struct Impostor<'a> {
    master: Daemon<'a>,
    genuine: PathBuf,
    aside: PathBuf,
}

impl<'a> Impostor<'a> {
    /// Kills a master, and makes the keys of another one. It does not run yet.
    pub(crate) fn instead_of(lab: &'a Lab, master: &str) -> Self {
        let genuine = lab.pki_dir(master).unwrap();
        let aside = genuine.with_extension("genuine");
        let master = lab.master(master).unwrap();
        master.kill().unwrap();
        // It accepts the same minions, and has the genuine one's cache, where 3007 and newer keep the session keys of minions. Its own
        // keys are not those.
        copy(&genuine, &aside);
        for pair in ["master", "master_sign"] {
            let key = PrivateKey::generate(2048, &mut rand::rng()).unwrap();
            put(&genuine.join(format!("{pair}.pem")), &key.to_pkcs1_pem().unwrap());
            put(
                &genuine.join(format!("{pair}.pub")),
                &key.public_key().to_pem().unwrap(),
            );
        }
        Self {
            master,
            genuine,
            aside,
        }
    }

    pub(crate) fn start(&self) {
        self.master.start().unwrap();
    }

    /// Puts the genuine one's keys back, and starts it.
    pub(crate) fn give_way(self) {
        self.master.kill().unwrap();
        fs::remove_dir_all(&self.genuine).unwrap();
        fs::rename(&self.aside, &self.genuine).unwrap();
        self.master.start().unwrap();
    }
}

fn put(file: &Path, text: &str) {
    let _ = fs::remove_file(file);
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o400)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}

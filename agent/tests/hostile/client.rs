//! A client: keys, and a folder with the `saltfo.yaml` that knows its masters.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proto::crypto::{PrivateKey, PublicKey};
use tempfile::TempDir;

/// Who saltfo speaks as.
pub(crate) const ID: &str = "pipeline.xyz";
/// Whom it looks for.
pub(crate) const MINION: &str = "minion01";

/// The keys of everybody, made once.
pub(crate) struct Keys {
    pub(crate) identity: PrivateKey,
    pub(crate) master: PrivateKey,
    pub(crate) master_sign: PrivateKey,
    pub(crate) other_identity: PrivateKey,
    pub(crate) other_master: PrivateKey,
    pub(crate) other_master_sign: PrivateKey,
}

pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let [a, b, c, d, e, f] = std::thread::scope(|scope| {
            [(); 6]
                .map(|()| scope.spawn(|| PrivateKey::generate(2048, &mut rand::rng()).unwrap()))
                .map(|making| making.join().unwrap())
        });
        Keys {
            identity: a,
            master: b,
            master_sign: c,
            other_identity: d,
            other_master: e,
            other_master_sign: f,
        }
    })
}

/// One entry under `masters:`.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// Whether the master's own key is pinned, on top of `master_sign`.
    pub(crate) pinned: bool,
}

/// The folder. It is removed when dropped.
pub(crate) struct Client {
    folder: TempDir,
}

impl Client {
    pub(crate) fn new(masters: &[Entry]) -> Self {
        let client = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(client.path("pki")).unwrap();
        client.write("pki/minion.pem", &keys().identity.to_pkcs1_pem().unwrap(), 0o400);
        client.write_public("pki/master_sign.pub", &keys().master_sign.public_key());
        client.write_public("pki/master.pub", &keys().master.public_key());
        client.configure(&configuration(masters));
        client
    }

    /// Replaces `saltfo.yaml`.
    pub(crate) fn configure(&self, text: &str) {
        self.write("saltfo.yaml", text, 0o600);
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("saltfo.yaml")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        set_mode(&path, mode);
    }

    fn write_public(&self, name: &str, key: &PublicKey) {
        self.write(name, &key.to_pem().unwrap(), 0o644);
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A `saltfo.yaml`.
pub(crate) fn configuration(masters: &[Entry]) -> String {
    let mut text = format!(
        "id: {ID}\npki:\n  minion_pem: pki/minion.pem\n  master_sign_pub: pki/master_sign.pub\nmasters:\n"
    );
    for entry in masters {
        let (ip, port) = (entry.address.ip(), entry.address.port());
        writeln!(
            text,
            "  - name: {}\n    address: {ip}\n    master_port: {port}\n    publish_port: {port}",
            entry.name
        )
        .unwrap();
        if entry.pinned {
            text.push_str("    master_pub: pki/master.pub\n");
        }
    }
    text
}

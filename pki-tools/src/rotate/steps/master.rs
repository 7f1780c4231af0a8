//! A master's own pair: installed while the master is down; minions trust it by the signature of
//! `master_sign`.
//!
//! A running 3006 master would send the new public half, which it reads anew at each sign-in (`get_pub_str`),
//! with signatures of the old private one, which it read at its start (salt/crypt.py `MasterKeys`): so it is
//! stopped first.

use super::{INSTALL, Scene, Steps, names};
use crate::rotate::report::Step;

pub(super) fn steps(scene: &Scene<'_>, fqdn: &str) -> Steps {
    let install = Step::new(format!("Give {fqdn} its new pair")).on(
        fqdn,
        [
            "systemctl stop salt-master".to_owned(),
            scene.install(fqdn, "master", true),
            "systemctl start salt-master".to_owned(),
        ],
    );
    let own = Step::new("Tell the master's own minion, so that it finds the key that it expects")
        .on(fqdn, [scene.install(fqdn, "minion", false)]);
    let pins = Step::new("Make the pipelines' saltfo.yaml anew and put it in place: it pins this key")
        .here(scene.pipeline());
    let others: Vec<_> = scene
        .masters()
        .into_iter()
        .filter(|master| master.fqdn != fqdn)
        .collect();
    let meanwhile = match others.as_slice() {
        [] => "While it is down no master answers: it is the only active one.".to_owned(),
        others => format!(
            "While it is down its minions may go to {}; those that stay sign in again by themselves.",
            names(others)
        ),
    };
    Steps {
        steps: vec![install, own, pins],
        notes: vec![
            meanwhile,
            "Minions need nothing: they see another key than the one in minion_master.pub, check its \
             signature against master_sign.pub (verify_master_pubkey_sign: True), and keep it. Without that \
             option, or with master_finger, they refuse it."
                .to_owned(),
            format!(
                "Until its last step saltfo takes {fqdn} for an impostor wherever its key is pinned \
                 (`master_pub` of saltfo.yaml)."
            ),
            "If the old key was stolen, rotate master_sign next: its signature of the old key, which travels \
             in the open, does not expire, and minions without minion_master.pub or on another master would \
             believe it."
                .to_owned(),
            INSTALL.to_owned(),
        ],
    }
}

//! The signing pair: an overlap in which every minion finds one master whose signature it can check.
//!
//! salt/crypt.py `verify_master`, 3006 and 3008 alike: a minion that has minion_master.pub and is shown the
//! same key checks no signature, unless `always_verify_signature` is set. Another key, or no
//! minion_master.pub: `verify_signing_master` checks the signature against master_sign.pub, read at that
//! moment, and then writes minion_master.pub. If it does not verify, the sign-in ends with "Invalid master
//! key", and `eval_master` of a failover minion tries the next master, round and round with `master_tries:
//! -1`. Masters: 3006 reads master_sign.pem at each sign-in (`sign_message`), 3008 at its start
//! (`MasterKeys._setup_keys`).

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::{INSTALL, Scene, Steps, names, restart};
use crate::client::Master;
use crate::rotate::report::Step;

const SERVICE: &str = "salt-master";

/// After the new pair was made: everything, to the end.
pub(super) fn rotated(scene: &Scene<'_>) -> Steps {
    let masters = scene.masters();
    let Some((first, ahead)) = masters.split_first() else {
        return Steps::default();
    };
    let first_name = &first.fqdn;
    let mut steps = Vec::new();
    if !ahead.is_empty() {
        let begin = format!(
            "Let {} sign with the new pair; {first_name} goes on with the old one",
            names(ahead)
        );
        steps.push(sign(scene, begin, ahead));
        steps.push(pipelines(
            scene,
            "Make the pipelines' saltfo.yaml anew at once and put it in place: it tells which master signs \
             with which pair",
        ));
    }
    steps.push(trust(
        scene,
        "Give every minion the new master_sign.pub; none needs a restart",
    ));
    steps.push(check(scene));
    steps.push(
        Step::new("Only when every minion has it, end the overlap")
            .here(format!("pki-tools rotate {} master_sign --finish", scene.file())),
    );
    steps.extend(finish(scene, first));
    let mut notes = seen(first, ahead);
    notes.push(format!(
        "Until `--finish` there is a way back: `pki-tools rotate {} master_sign --abort` tells its steps.",
        scene.file()
    ));
    Steps { steps, notes }
}

/// After the old pair was removed.
pub(super) fn finished(scene: &Scene<'_>) -> Steps {
    let masters = scene.masters();
    let Some((first, ahead)) = masters.split_first() else {
        return Steps::default();
    };
    let mut notes = seen(first, ahead);
    notes.push(format!(
        "A minion that never got the new master_sign.pub can sign in nowhere after this, but on the master \
         that it is on: install its files on its host (`{}`).",
        scene.install("HOST", "minion", false)
    ));
    Steps {
        steps: finish(scene, first),
        notes,
    }
}

/// After the old pair was put back: the same way in the opposite direction.
pub(super) fn aborted(scene: &Scene<'_>) -> Steps {
    let masters = scene.masters();
    let Some((first, ahead)) = masters.split_first() else {
        return Steps::default();
    };
    let mut steps = vec![
        trust(
            scene,
            "Give every minion the old master_sign.pub again; none needs a restart",
        ),
        check(scene),
    ];
    if !ahead.is_empty() {
        let back = format!("Let {} sign with the old pair again", names(ahead));
        steps.push(sign(scene, back, ahead));
    }
    steps.push(pipelines(
        scene,
        "Make the pipelines' saltfo.yaml anew and put it in place",
    ));
    Steps {
        steps,
        notes: seen(first, ahead),
    }
}

/// The last steps: the first master signs with the new pair, too.
fn finish(scene: &Scene<'_>, first: &Master) -> Vec<Step> {
    vec![
        sign(
            scene,
            format!("Let {} sign with the new pair, too", first.fqdn),
            &[first],
        ),
        pipelines(
            scene,
            "Make the pipelines' saltfo.yaml anew and put it in place: all masters sign with one pair again",
        ),
    ]
}

fn sign(scene: &Scene<'_>, what: String, masters: &[&Master]) -> Step {
    masters.iter().fold(Step::new(what), |step, master| {
        step.on(
            &master.fqdn,
            [scene.install(&master.fqdn, "master", true), restart(SERVICE)],
        )
    })
}

fn trust(scene: &Scene<'_>, what: &str) -> Step {
    let minions = scene.minions().into_iter();
    minions.fold(Step::new(what), |step, id| {
        step.on(id, [scene.install(id, "minion", false)])
    })
}

fn pipelines(scene: &Scene<'_>, what: &str) -> Step {
    Step::new(what).here(scene.pipeline())
}

/// Asks the minions themselves.
fn check(scene: &Scene<'_>) -> Step {
    let hash = scene.public.as_deref().map_or("…".to_owned(), sha256);
    let command = format!("salt '*' file.check_hash /etc/salt/pki/minion/master_sign.pub sha256={hash}");
    let what = "Let the minions tell that they have it: each must say True through one of the masters";
    let masters = scene.masters().into_iter();
    masters.fold(Step::new(what), |step, master| {
        step.on(&master.fqdn, [command.as_str()])
    })
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a text cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What the minions see meanwhile.
fn seen(first: &Master, ahead: &[&Master]) -> Vec<String> {
    let mut notes = vec![
        "A minion keeps the key of the master that it is on (minion_master.pub). As long as that master \
         shows the same key, its signature is not looked at: through all steps minions stay where they are, \
         also when their master is restarted."
            .to_owned(),
    ];
    if ahead.is_empty() {
        notes.push(format!(
            "{} is the only master: until the last step, a minion with the new master_sign.pub and no \
             minion_master.pub cannot sign in.",
            first.fqdn
        ));
    } else {
        let (old, new) = (&first.fqdn, names(ahead));
        notes.push(format!(
            "The signature is checked, against master_sign.pub as it is at that moment, where a master shows \
             another key: when a minion changes masters. Meanwhile a minion with the old master_sign.pub can \
             change to {old} only, one with the new one to {new} only. So let all masters run, and don't \
             leave it like this for days."
        ));
        notes.push(
            "A master whose signature does not verify is refused (\"signature verification failed\" in the \
             minion's log), and the minion tries the next one; with `master_tries: -1` it goes round until \
             one verifies. It keeps running."
                .to_owned(),
        );
        notes.push(format!(
            "With `always_verify_signature: True` the signature is checked at every sign-in: minions leave \
             {new} in the first step, {old} when they have the new master_sign.pub, and find the other one \
             each time."
        ));
    }
    notes.push(
        "Salt 3006 signs with the new pair as soon as its files are there, 3008 after a restart: hence the \
         restarts."
            .to_owned(),
    );
    notes.push(INSTALL.to_owned());
    notes
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_hash_is_that_of_sha256sum() {
        // printf 'abc' | sha256sum
        assert_eq!(
            super::sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}

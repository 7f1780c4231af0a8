//! A minion's own pair: one master is ahead with the new key, the minion follows, the other masters last.
//!
//! Salt knows one key per id. A minion that asks a master with another key is denied, and then its process
//! ends (`sys.exit(EX_NOPERM)`, salt/crypt.py `handle_signin_response`, unless `rejected_retry` is set); the
//! packages' unit file does not start it again. It goes the same way when the accepted key is replaced under
//! a running minion: the next request fails (`tok`), it signs in anew, and is denied. `rejected_retry` is no
//! help: it asks the same master for ever. So the minion may only ever know masters that have the key which
//! it uses. A `master:` text in `minion.d` takes the place of the list, while a list is joined with that of
//! other files (salt/config `include_config`, merged lists).

use super::{INSTALL, Scene, Steps, address, names, restart, stolen};
use crate::client::Master;
use crate::rotate::report::Step;

/// Read after the other files of `minion.d`, so that it wins.
const PIN: &str = "/etc/salt/minion.d/zz-rotate.conf";
const SERVICE: &str = "salt-minion";

pub(super) fn steps(scene: &Scene<'_>, id: &str) -> Steps {
    let masters = scene.masters();
    let Some((first, ahead)) = masters.split_first() else {
        return Steps::default();
    };
    match ahead.first() {
        Some(next) => several(scene, id, first, ahead, next),
        None => one(scene, id, first),
    }
}

fn several(scene: &Scene<'_>, id: &str, first: &Master, ahead: &[&Master], next: &Master) -> Steps {
    let from_a_master = scene.client.masters.iter().any(|master| master.fqdn == id);
    let pin = |master: &Master| format!("echo 'master: \"{}\"' > {PIN}", address(master, from_a_master));
    let answers = |step: Step, master: &Master| step.on(&master.fqdn, [format!("salt {id} test.ping")]);
    let (ahead_names, first_name, next_name) = (names(ahead), &first.fqdn, &next.fqdn);
    let keep = Step::new(format!(
        "Keep the minion on {first_name}: a master that has another key denies it, and a denied minion ends \
         and stays down"
    ))
    .on(id, [pin(first), restart(SERVICE)]);
    let mut accept = Step::new(format!(
        "Let {ahead_names} have the new key; {first_name} goes on with the old one"
    ));
    for master in ahead {
        accept = accept.on(&master.fqdn, [scene.install(&master.fqdn, "master", false)]);
    }
    let change = Step::new(format!(
        "Give the minion its new pair, and move it to {next_name}"
    ))
    .on(
        id,
        [scene.install(id, "minion", true), pin(next), restart(SERVICE)],
    );
    let follow = Step::new(format!("Let {first_name} have the new key, too"))
        .on(first_name, [scene.install(first_name, "master", false)]);
    let release = Step::new("Let the minion choose among the masters again")
        .on(id, [format!("rm {PIN}"), restart(SERVICE)]);
    Steps {
        steps: vec![
            answers(keep, first),
            accept,
            answers(change, next),
            follow,
            release,
        ],
        notes: vec![
            format!(
                "Until the last step {id} cannot change masters: without {first_name} in steps 1 and 2, or \
                 without {next_name} from step 3 on, it waits."
            ),
            "If it may be away for a minute, this is shorter: stop it, install on all masters, then on it \
             with --replace, start it. Never replace the key on the master that it is on while it runs."
                .to_owned(),
            DENIED.to_owned(),
            stolen(id),
            INSTALL.to_owned(),
            format!("saltfo with the minion's own key (--minion-config on {id}) follows with step 3."),
        ],
    }
}

fn one(scene: &Scene<'_>, id: &str, master: &Master) -> Steps {
    let name = &master.fqdn;
    Steps {
        steps: vec![
            Step::new(
                "Stop the minion: with another key than the master has it would be denied, end and stay down",
            )
            .on(id, [format!("systemctl stop {SERVICE}")]),
            Step::new(format!("Let {name} have the new key"))
                .on(name, [scene.install(name, "master", false)]),
            Step::new("Give the minion its new pair").on(
                id,
                [
                    scene.install(id, "minion", true),
                    format!("systemctl start {SERVICE}"),
                ],
            ),
        ],
        notes: vec![
            format!("{name} is the only active master, so {id} is away between the first step and the last."),
            DENIED.to_owned(),
            stolen(id),
            INSTALL.to_owned(),
        ],
    }
}

/// Seen on 3006 and 3008.
const DENIED: &str = "Masters read accepted keys anew at each sign-in: they need no restart. If a master did \
                      deny the minion, the key that it was offered lies in pki/master/minions_denied; it \
                      locks nobody out, and may be removed (not with `salt-key -d`, which removes the \
                      accepted key as well).";

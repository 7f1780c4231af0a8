//! Pairs that minions don't know of: the dispatch identity, and a master's root ssh.

use super::{INSTALL, Scene, Steps, quoted, stolen};
use crate::rotate::report::Step;

/// The dispatch identity: Salt accepts one key per id, so there is a gap, which is kept short.
pub(super) fn pipeline(scene: &Scene<'_>) -> Steps {
    let id = match &scene.client.pipeline {
        Some(dispatch) => dispatch.id.as_str(),
        None => "pipeline",
    };
    let accept = scene.masters().into_iter().fold(
        Step::new("Let all masters have the new key, right after each other"),
        |step, master| step.on(&master.fqdn, [scene.install(&master.fqdn, "master", false)]),
    );
    Steps {
        steps: vec![
            Step::new(
                "Wait until no pipeline is at work, and start none: one that waits for a return could \
                       not fetch it",
            ),
            accept,
            Step::new("Make the pipelines' saltfo.yaml anew and put it in place").here(scene.pipeline()),
            Step::new("See that all masters accept it").here("saltfo --config saltfo.yaml probe"),
        ],
        notes: vec![
            format!(
                "Salt accepts one key per id, so there is a gap: between the second step and the third, \
                 saltfo as {id} with the old key is refused (exit code 6), and nothing is dispatched."
            ),
            "Masters read accepted keys anew at each sign-in: they need no restart. Minions are not \
             concerned."
                .to_owned(),
            stolen(id),
            INSTALL.to_owned(),
        ],
    }
}

/// A master's root ssh: the new public half is let in before the private one is used.
pub(super) fn root_ed25519(scene: &Scene<'_>, fqdn: &str) -> Steps {
    const KEYS: &str = "/root/.ssh/authorized_keys";
    let new = scene.public.as_deref().map_or("…", str::trim);
    // What tells a line of authorized_keys: options may stand before it, any comment behind.
    let old = scene
        .old_public
        .as_deref()
        .and_then(|line| line.split_whitespace().nth(1));
    let hosts = || scene.minions().into_iter().filter(|host| *host != fqdn);
    let add = format!("echo {} >> {KEYS}", quoted(new));
    let enter =
        Step::new("Let the new key in beside the old one, on every host and at the git server (deploy keys)");
    let enter = hosts().fold(enter, |step, host| step.on(host, [add.as_str()]));
    let place = Step::new(format!(
        "Put the new pair in place on {fqdn} (/root/.ssh/id_ed25519, mode 0600), by the states that read \
         this pillar"
    ))
    .here(format!("pki-tools pillar {} --out DIR", scene.file()));
    let mut steps = vec![enter, place];
    if let Some(host) = hosts().next() {
        steps.push(Step::new("See that it works").on(fqdn, [format!("ssh root@{} true", quoted(host))]));
    }
    let leave = Step::new("Take the old key out, at the git server, too");
    steps.push(match old {
        Some(old) => {
            let remove = format!("sed -i '\\|{old}|d' {KEYS}");
            hosts().fold(leave, |step, host| step.on(host, [remove.as_str()]))
        }
        None => leave,
    });
    let mut notes =
        vec!["Salt itself does not use this key: masters and minions are not concerned.".to_owned()];
    if let Some(old) = &scene.old_public {
        notes.push(format!("The old public key: {}", old.trim()));
    }
    Steps { steps, notes }
}

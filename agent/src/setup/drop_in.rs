//! The drop-in that leads a minion to the relay: what a salt-minion needs for it, and why.

use std::path::Path;

use crate::sidecar::settings::RelaySettings;

/// What the text depends on, of the minion's own configuration.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traits {
    /// It can verify the keys of several masters.
    pub(super) has_signer: bool,
    /// It verifies the signature of each publication (`sign_pub_messages`).
    pub(super) verifies_publications: bool,
}

/// Its text.
pub(super) fn text(relay: &RelaySettings, minion: Traits, saltfo_yaml: &Path) -> String {
    let RelaySettings {
        listen,
        publish_port,
        master_port,
    } = relay;
    let mut text = format!(
        "\
# Written by `saltfo setup relay`. `saltfo setup direct --apply` takes it away again, and all is as it was.
#
# This minion's only master is the relay on its host, which stands for the masters in {}.
master: '{listen}'
master_type: str
publish_port: {publish_port}
master_port: {master_port}
",
        saltfo_yaml.display()
    );
    if listen.is_ipv6() {
        text += "ipv6: True\n";
    }
    text += "
# Failover is the relay's work.
master_alive_interval: 0
master_failback: False
random_master: False
master_shuffle: False
";
    if minion.has_signer {
        text += "
# The masters behind it have different keys: master_sign.pub verifies each.
verify_master_pubkey_sign: True
";
    }
    // Without it a minion signs in again at the first publication that it cannot decrypt; with it, it drops publications signed by another
    // key for ever (salt/channel/client.py, `_decode_payload`), and only a request makes it sign in.
    if minion.verifies_publications {
        text += "
# With sign_pub_messages it drops all that another master signs, until a request of its own fails there: so one a minute.
ping_interval: 1
";
    }
    // Salt's own: 1 to 11 s at random, growing to 10 s. 3007 and 3008 set libzmq's interval only where it is random, and leave it at
    // 100 ms where it is not; 3006 sets 100 to 500 ms (salt/transport/zeromq.py).
    text += "
# When the relay was away, look for it again after 0.1 to 0.5 s (milliseconds here): it is on this host, and that costs nobody anything.
recon_default: 100
recon_max: 500
recon_randomize: False

# A minion that is there before the relay, or before any master, tries again after 1 to 2 s and does not give up.
acceptance_wait_time: 1
acceptance_wait_time_max: 2
master_tries: -1
";
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn options(relay: &RelaySettings, has_signer: bool) -> BTreeMap<String, Value> {
        let minion = Traits {
            has_signer,
            verifies_publications: !has_signer,
        };
        serde_saphyr::from_str(&text(relay, minion, Path::new("/x.yaml"))).unwrap()
    }

    #[test]
    fn the_relay_is_the_only_master() {
        let relay = RelaySettings {
            publish_port: 14505,
            ..RelaySettings::default()
        };
        let options = options(&relay, true);
        assert_eq!(options["master"], json!("127.0.0.1"));
        assert_eq!(options["master_type"], json!("str"));
        assert_eq!(options["publish_port"], json!(14505));
        assert_eq!(options["master_port"], json!(4506));
        assert_eq!(options["verify_master_pubkey_sign"], json!(true));
        assert!(!options.contains_key("ipv6"));
    }

    #[test]
    fn an_address_of_version_6_needs_its_family() {
        let relay = RelaySettings {
            listen: "::1".parse().unwrap(),
            ..RelaySettings::default()
        };
        let options = options(&relay, true);
        assert_eq!(
            (&options["master"], &options["ipv6"]),
            (&json!("::1"), &json!(true))
        );
    }

    #[test]
    fn a_minion_that_has_nothing_to_verify_with_is_not_told_to() {
        let options = options(&RelaySettings::default(), false);
        assert!(!options.contains_key("verify_master_pubkey_sign"));
        assert_eq!(options["ping_interval"], json!(1));
    }
}

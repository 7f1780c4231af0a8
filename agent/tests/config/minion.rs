//! The minion's own configuration, alone and beside a `saltfo.yaml` that leaves something to it.

use std::fs;
use std::path::Path;

use agent::config::{Config, Permissions, Source};
use agent::sidecar::settings::Mode;
use proto::crypto::{PrivateKey, SigningAlgorithm};

use super::{Folder, load, refused};

/// A minion's configuration, with its `pki_dir` below `root_dir` as Salt puts it.
fn minion_folder() -> (Folder, String) {
    let folder = Folder::new();
    for name in ["minion.pem", "master_sign.pub"] {
        let mode = if name == "minion.pem" { 0o400 } else { 0o644 };
        let text = fs::read_to_string(folder.path("pki").join(name)).unwrap();
        folder.write(&format!("etc/salt/pki/minion/{name}"), &text, mode);
    }
    let text = format!(
        "id: minion01\nroot_dir: {}\nmaster:\n  - salt1.xyz.example\n  - '10.0.0.12:14506'\n\
         master_type: failover\nverify_master_pubkey_sign: True\nmaster_alive_interval: 60\n",
        folder.0.path().display()
    );
    (folder, text)
}

#[test]
fn a_minions_configuration_is_read_as_salt_reads_it() {
    let (folder, text) = minion_folder();
    let config = folder.minion(&text).unwrap();
    assert_eq!(config.identity.id().as_str(), "minion01");
    let names: Vec<_> = config
        .masters
        .iter()
        .map(|master| (master.name.as_str(), master.master_port))
        .collect();
    assert_eq!(names, [("salt1.xyz.example", 4506), ("10.0.0.12", 14506)]);
}

#[test]
fn minion_d_wins_over_the_main_file_in_the_order_of_names() {
    let (folder, text) = minion_folder();
    folder.write("minion.d/10.conf", "id: from10\nmaster_port: 1\n", 0o644);
    folder.write("minion.d/20.conf", "id: from20\nmaster: salt9\n", 0o644);
    folder.write("minion.d/30.txt", "id: not-read\n", 0o644);
    folder.write("minion.d/_schedule.conf", "id: not-read\n", 0o644);
    folder.write("minion.d/40.conf", "# nothing\n", 0o644);
    let config = folder.minion(&text).unwrap();
    assert_eq!(config.identity.id().as_str(), "from20");
    assert_eq!(config.masters[0].name.as_str(), "salt9");
    assert_eq!(config.masters[0].master_port, 1);
}

#[test]
fn lists_of_minion_d_are_joined_and_replace_that_of_the_main_file() {
    let (folder, text) = minion_folder();
    folder.write("minion.d/10.conf", "master: [salt4, salt5]\n", 0o644);
    folder.write("minion.d/20.conf", "master: [salt6, salt4]\n", 0o644);
    let names = |config: &Config| -> Vec<String> {
        let masters = config.masters.iter();
        masters.map(|master| master.name.as_str().to_owned()).collect()
    };
    assert_eq!(names(&folder.minion(&text).unwrap()), ["salt4", "salt5", "salt6"]);
    folder.write("minion.d/30.conf", "master: salt7\n", 0o644);
    assert_eq!(names(&folder.minion(&text).unwrap()), ["salt7"]);
}

#[test]
fn what_is_included_by_name_wins_over_minion_d() {
    let (folder, text) = minion_folder();
    folder.write("minion.d/10.conf", "id: from10\nmaster_port: 1\n", 0o644);
    folder.write("minion.d/.hidden.conf", "id: not-read\n", 0o644);
    folder.write("more/a.yaml", "master_port: 2\ninclude: [b.yaml]\n", 0o644);
    folder.write("more/b.yaml", "master_port: 3\n", 0o644);
    let config = folder
        .minion(&format!("{text}include: [none/*, more/a.yaml]\n"))
        .unwrap();
    assert_eq!(config.identity.id().as_str(), "from10");
    assert_eq!(config.masters[0].master_port, 3);
    let config = folder
        .minion(&format!("{text}default_include: more/*.yaml\n"))
        .unwrap();
    assert_eq!(config.identity.id().as_str(), "minion01");
}

#[test]
fn a_minion_without_an_id_has_it_in_a_file() {
    let (folder, text) = minion_folder();
    let text = text.replace("id: minion01\n", "");
    let error = refused(folder.minion(&text));
    assert!(error.contains("no id") && error.contains("minion_id"), "{error}");
    folder.write("minion_id", "minion07\n", 0o644);
    assert_eq!(folder.minion(&text).unwrap().identity.id().as_str(), "minion07");
}

#[test]
fn a_minion_that_names_no_master_has_salts_own() {
    let (folder, _) = minion_folder();
    let text = format!("id: minion01\nroot_dir: {}\n", folder.0.path().display());
    let config = folder.minion(&text).unwrap();
    let names: Vec<&str> = config.masters.iter().map(|master| master.name.as_str()).collect();
    assert_eq!(names, ["salt"]);
}

/// What Salt writes at its first sign-in may come after us.
#[test]
fn what_may_come_by_itself_is_told_from_what_never_will() {
    let (folder, text) = minion_folder();
    let may_pass = |text: &str| {
        let source = Source::Minion(folder.write("minion", text, 0o644));
        let error = Config::load(&source, Permissions::Checked).err();
        error.expect("it should have been refused").may_pass()
    };
    assert!(!may_pass(&format!("{text}master_finger: nonsense\n")));
    for file in ["minion.pem", "master_sign.pub"] {
        let path = folder.path("etc/salt/pki/minion").join(file);
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).unwrap();
        assert!(may_pass(&text), "without {file}");
        fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn a_minion_that_trusts_on_first_use_is_not_followed() {
    let (folder, text) = minion_folder();
    fs::remove_file(folder.path("etc/salt/pki/minion/master_sign.pub")).unwrap();
    let error = refused(folder.minion(&text));
    assert!(
        error.contains("nothing to verify a master with") && error.contains("/pki/minion/minion_master.pub"),
        "{error}"
    );
    // With the key that the minion stored there is something to go by.
    fs::copy(
        folder.path("pki/master_sign.pub"),
        folder.path("etc/salt/pki/minion/minion_master.pub"),
    )
    .unwrap();
    assert!(folder.minion(&text).is_ok());
}

#[test]
fn a_bad_line_of_minion_d_is_named() {
    let (folder, text) = minion_folder();
    folder.write("minion.d/10.conf", "a: 1\nid: [\n", 0o644);
    let error = refused(folder.minion(&text));
    assert!(
        error.contains(Path::new("minion.d/10.conf").to_str().unwrap()),
        "{error}"
    );
}

/// A `saltfo.yaml` beside the minion's own configuration.
fn beside(folder: &Folder, saltfo: &str, minion: &str) -> Result<Config, String> {
    let file = folder.write("saltfo.yaml", saltfo, 0o644);
    let minion = folder.write("minion", minion, 0o644);
    load(&Source::Sidecar { file, minion })
}

const MASTERS: &str = "\
masters:
  - {name: one.xyz.example, address: 192.0.2.1}
  - {name: two.xyz.example, publish_port: 5505, master_port: 5506}
sidecar: {mode: relay}
";

#[test]
fn masters_without_an_identity_are_asked_as_the_minion() {
    let (folder, text) = minion_folder();
    let text = format!("{text}signing_algorithm: PKCS1v15-SHA224\n");
    // Whatever the minion has as its master: the relay.
    let relayed = text.replace("- salt1.xyz.example\n  - '10.0.0.12:14506'", "- 127.0.0.1");
    for minion in [&text, &relayed] {
        let config = beside(&folder, MASTERS, minion).unwrap();
        assert_eq!(config.identity.id().as_str(), "minion01");
        assert_eq!(config.algorithms.signing, SigningAlgorithm::Pkcs1v15Sha224);
        assert_eq!(config.sidecar.mode, Mode::Relay);
        let masters: Vec<_> = config
            .masters
            .iter()
            .map(|master| {
                let (name, address) = (master.name.as_str(), master.address.as_str());
                (name, address, master.publish_port, master.master_port)
            })
            .collect();
        let expected = [
            ("one.xyz.example", "192.0.2.1", 4505, 4506),
            ("two.xyz.example", "two.xyz.example", 5505, 5506),
        ];
        assert_eq!(masters, expected);
    }
    // What the file says goes before what the minion says.
    let config = beside(
        &folder,
        &format!("{MASTERS}signing_algorithm: PKCS1v15-SHA1\n"),
        &text,
    )
    .unwrap();
    assert_eq!(config.algorithms.signing, SigningAlgorithm::Pkcs1v15Sha1);
    let config = beside(&folder, "sidecar: {rise: 3}\n", &text).unwrap();
    assert_eq!((config.masters.len(), config.sidecar.rise), (2, 3));
}

#[test]
fn masters_without_an_identity_are_verified_as_the_minion_does() {
    let (folder, text) = minion_folder();
    let pki = "etc/salt/pki/minion";
    let signed = beside(&folder, MASTERS, &text).unwrap().masters[0].trust.clone();
    assert_eq!(signed, folder.minion(&text).unwrap().masters[0].trust);
    let pin = |saltfo: &str| saltfo.replace("192.0.2.1}", "192.0.2.1, master_pub: pki/other.pub}");
    let other = PrivateKey::generate(2048, &mut rand::rng()).unwrap();
    folder.write("pki/other.pub", &other.public_key().to_pem().unwrap(), 0o644);
    let pinned = beside(&folder, &pin(MASTERS), &text).unwrap().masters[0]
        .trust
        .clone();
    assert_ne!(pinned, signed);

    fs::remove_file(folder.path(pki).join("master_sign.pub")).unwrap();
    let error = refused(beside(&folder, MASTERS, &text));
    assert!(
        error.contains("saltfo.yaml: master one.xyz.example: nothing to verify a master with"),
        "{error}"
    );
    let error = refused(beside(&folder, &pin(MASTERS), &text));
    assert!(
        error.contains("master two.xyz.example: nothing to verify"),
        "{error}"
    );
    // The key that the minion stored, for those masters that have none of their own in the file.
    fs::copy(
        folder.path("pki/master_sign.pub"),
        folder.path(pki).join("minion_master.pub"),
    )
    .unwrap();
    let config = beside(&folder, &pin(MASTERS), &text).unwrap();
    assert_ne!(config.masters[0].trust, config.masters[1].trust);
    assert_eq!(
        config.masters[1].trust,
        folder.minion(&text).unwrap().masters[0].trust
    );
}

#[test]
fn half_an_identity_is_an_error_that_says_what_is_missing() {
    let (folder, text) = minion_folder();
    let error = refused(beside(&folder, &format!("id: x\n{MASTERS}"), &text));
    assert!(error.contains("saltfo.yaml:1:5: `id` without `pki`"), "{error}");
    let error = refused(beside(
        &folder,
        &format!("{MASTERS}pki: {{minion_pem: x}}\n"),
        &text,
    ));
    assert!(error.contains("saltfo.yaml:5:6: `pki` without `id`"), "{error}");
    let error = refused(folder.saltfo(MASTERS));
    assert!(error.contains("saltfo.yaml: no `id` and no `pki`"), "{error}");
    let gone = folder.path("none/minion");
    let file = folder.write("saltfo.yaml", MASTERS, 0o644);
    let error = refused(load(&Source::Sidecar { file, minion: gone }));
    assert!(
        error.contains("saltfo.yaml has no `id` and no `pki`, so this host's minion is asked")
            && error.contains("none/minion: cannot read the minion configuration"),
        "{error}"
    );
}

#[test]
fn a_minion_whose_master_is_the_relay_does_not_say_which_masters_there_are() {
    let (folder, text) = minion_folder();
    let relayed = text.replace("\n  - salt1.xyz.example\n  - '10.0.0.12:14506'", " 127.0.0.1");
    let error = refused(beside(&folder, "sidecar: {mode: relay}\n", &relayed));
    assert!(
        error.contains("minion:3:9: the minion's `master` is the relay itself, 127.0.0.1: name the masters")
            && error.contains("under `masters:` in ")
            && error.ends_with("saltfo.yaml"),
        "{error}"
    );
    // A master of this host, for a sidecar without a relay or with one elsewhere.
    assert!(beside(&folder, "sidecar: {mode: observe}\n", &relayed).is_ok());
    let elsewhere = "sidecar: {mode: relay}\nrelay: {listen: 127.0.0.2}\n";
    assert!(beside(&folder, elsewhere, &relayed).is_ok());
    assert!(folder.minion(&relayed).is_ok());
    // The file that leads minions to the relay names nothing else.
    let drop_in = format!("minion.d/{}", agent::config::RELAY_DROP_IN);
    folder.write(&drop_in, "master: 127.0.0.1\n", 0o644);
    for error in [
        refused(folder.minion(&text)),
        refused(beside(&folder, "sidecar: {mode: observe}\n", &text)),
    ] {
        assert!(
            error.contains("zz-saltfo-relay.conf:1:9: the minion's `master` is"),
            "{error}"
        );
    }
    assert!(beside(&folder, MASTERS, &text).is_ok());
}

#[test]
fn a_minion_that_expects_a_relay_is_known_by_its_only_master() {
    let (folder, text) = minion_folder();
    let config = folder.minion(&text).unwrap();
    let minion = |master: &str| {
        let text = format!("master: {master}\n");
        folder.write("other/minion", &text, 0o644)
    };
    std::fs::create_dir(folder.path("other")).unwrap();
    for (master, expected) in [
        ("127.0.0.1", true),
        ("[127.0.0.1]", true),
        ("'::ffff:127.0.0.1'", true),
        ("127.0.0.2", false),
        ("salt1.xyz.example", false),
        ("[127.0.0.1, salt1.xyz.example]", false),
        ("{", false),
    ] {
        assert_eq!(config.is_expected_by(&minion(master)), expected, "{master}");
    }
    assert!(!config.is_expected_by(&folder.path("none/minion")));
}

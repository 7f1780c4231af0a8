//! What opens, what does not, and what is never even tried.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const VALUE: &str = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n";
const SOURCE: &str = "|\n     -----BEGIN RSA PRIVATE KEY-----\n     MIIB\n     -----END RSA PRIVATE KEY-----";

/// Made by an implementation of the form in Python 3 with argon2-cffi 25.1 and cryptography 50, as its description
/// in `form` says: salt 00…0f, nonce 64…6f, passphrase `schön & secret`, key file 00…1f.
const UNDER_PASSPHRASE: &str = "sealed.v1.argon2id.65536.3.4.AAECAwQFBgcICQoLDA0ODw.ZGVmZ2hpamtsbW5v.fFdF9R0SZpCr3Cub3Mb8upRIRhiOocQ3pnviyLKICNrpO2Kvhtq0mDLoxFE-wyC1Y5nmTUvl3BIrhW8CEY6XVDgpbwzJfUXqlgKCONQP_HLMr3A0tz6PurBtPvAs7F21hddqAA";
const UNDER_KEY_FILE: &str = "sealed.v1.keyfile.AAECAwQFBgcICQoLDA0ODw.ZGVmZ2hpamtsbW5v.wt5fV6KuuoKxqWvGwfT9GOnosYcovtjLZxmIp2DMV_aV_V2I69PhJiV76kHsNnkTTc2Ztzb-4-gv7TenzC-_J32gloXDh8MyI5RPfv9e0KlEpvAEvAk0l5pB7D9IrbqOyIL1dvROiVeCKLpsmj86N7gU_pZ-9Xc9ZSgZfu7uCcza5g2SSNDUDDj01l46SUmJos6HExhitXjTXH2UT_GgRQguIqh3-gUI6fW66jgiMt1riNuIFwRX0m_c3jIzdhY";

fn passphrase(text: &str) -> Keyring {
    Keyring::new(Secret::Passphrase(Zeroizing::new(text.to_owned())))
}

fn key_file() -> Keyring {
    Keyring::new(Secret::KeyFile(Zeroizing::new((0..32).collect())))
}

fn host() -> Owner {
    Owner::Host("salt1.xyz.example".to_owned())
}

fn client() -> Owner {
    Owner::Client("Xyz".to_owned())
}

fn text(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn error(opened: Result<Opened, SealError>) -> SealError {
    opened.err().unwrap()
}

#[test]
fn texts_of_another_implementation_open_and_are_what_we_would_write() {
    let (salt, nonce) = (
        std::array::from_fn(|n| n as u8),
        std::array::from_fn(|n| 100 + n as u8),
    );

    let opened = passphrase("schön & secret")
        .open(UNDER_PASSPHRASE, &host(), Role::Master)
        .ok()
        .unwrap();
    assert_eq!(opened.value.as_str(), VALUE);
    assert!(opened.written.is_none());
    let derivation = Derivation::Argon2id {
        memory: MEMORY,
        passes: PASSES,
        lanes: LANES,
        salt,
    };
    let key = derive(&Secret::Passphrase(text("schön & secret")), &derivation).unwrap();
    let sealed = encrypt(&key, derivation, nonce, &opened, &host(), Role::Master);
    assert_eq!(sealed.unwrap(), UNDER_PASSPHRASE);

    let opened = key_file()
        .open(UNDER_KEY_FILE, &client(), Role::MasterSign)
        .ok()
        .unwrap();
    assert_eq!(opened.value.as_str(), VALUE);
    let written = opened.written.clone().unwrap();
    assert_eq!((written.column, written.source.as_str()), (4, SOURCE));
    let derivation = Derivation::KeyFile { salt };
    let key = derive(&Secret::KeyFile(Zeroizing::new((0..32).collect())), &derivation).unwrap();
    let sealed = encrypt(&key, derivation, nonce, &opened, &client(), Role::MasterSign);
    assert_eq!(sealed.unwrap(), UNDER_KEY_FILE);
}

#[test]
fn blanks_around_a_sealed_text_do_not_count() {
    let folded = format!("\n  {UNDER_KEY_FILE}\n");
    assert!(super::super::is_sealed(&folded));
    assert!(key_file().open(&folded, &client(), Role::MasterSign).is_ok());
}

#[test]
fn another_passphrase_or_key_file_is_refused() {
    let wrong = passphrase("schön & secret ");
    assert_eq!(
        error(wrong.open(UNDER_PASSPHRASE, &host(), Role::Master)),
        SealError::Refused
    );
    let wrong = Keyring::new(Secret::KeyFile(Zeroizing::new((0..33).collect())));
    assert_eq!(
        error(wrong.open(UNDER_KEY_FILE, &client(), Role::MasterSign)),
        SealError::Refused
    );
}

#[test]
fn the_other_kind_of_secret_is_told_apart() {
    let said = error(key_file().open(UNDER_PASSPHRASE, &host(), Role::Master)).to_string();
    assert_eq!(
        said,
        "it is sealed with a passphrase; give that instead of a key file"
    );
    let said = error(passphrase("x").open(UNDER_KEY_FILE, &client(), Role::MasterSign)).to_string();
    assert_eq!(
        said,
        "it is sealed with a key file; give that instead of a passphrase"
    );
}

#[test]
fn a_value_opens_for_its_owner_and_its_field_alone() {
    let others = [
        (Owner::Client("xyz".to_owned()), Role::MasterSign),
        (Owner::Client("Xyz ".to_owned()), Role::MasterSign),
        (Owner::Client("Xyz\n".to_owned()), Role::MasterSign),
        (Owner::Host("Xyz".to_owned()), Role::MasterSign),
        (client(), Role::MasterSignOld),
        (client(), Role::Pipeline),
        (client(), Role::Master),
        (host(), Role::Master),
    ];
    for (owner, role) in &others {
        let keyring = key_file();
        assert_eq!(
            error(keyring.open(UNDER_KEY_FILE, owner, *role)),
            SealError::Refused
        );
        assert!(keyring.open(UNDER_KEY_FILE, &client(), Role::MasterSign).is_ok());
        // Now the key file is known to be right.
        assert_eq!(
            error(keyring.open(UNDER_KEY_FILE, owner, *role)),
            SealError::Tampered
        );
    }
}

#[test]
fn no_text_with_one_other_character_opens() {
    let keyring = key_file();
    for (at, old) in UNDER_KEY_FILE.char_indices() {
        for new in ['A', 'B', 'z', '0', '_', '.', '='] {
            let mut changed = UNDER_KEY_FILE.to_owned();
            changed.replace_range(at..=at, &new.to_string());
            assert_eq!(
                keyring.open(&changed, &client(), Role::MasterSign).is_ok(),
                new == old,
                "{changed}"
            );
        }
    }
}

#[test]
fn no_text_that_was_cut_off_or_added_to_opens() {
    let keyring = key_file();
    for end in 0..UNDER_KEY_FILE.len() {
        let cut = UNDER_KEY_FILE.get(..end).unwrap();
        assert!(keyring.open(cut, &client(), Role::MasterSign).is_err(), "{cut}");
    }
    for more in ["A", "AAAA", ".", ".AAAA", "="] {
        let longer = format!("{UNDER_KEY_FILE}{more}");
        assert!(
            keyring.open(&longer, &client(), Role::MasterSign).is_err(),
            "{longer}"
        );
    }
}

#[test]
fn another_version_is_named() {
    for (version, expected) in [
        ("2", SealError::Version("2".to_owned())),
        ("12", SealError::Version("12".to_owned())),
        ("1", SealError::Malformed),
        ("", SealError::Malformed),
        ("\u{1b}[2J", SealError::Malformed),
        ("123456789", SealError::Malformed),
    ] {
        let other = format!("sealed.v{version}.x");
        assert_eq!(
            error(key_file().open(&other, &client(), Role::MasterSign)),
            expected
        );
    }
}

/// The text with other costs.
fn with_costs(costs: &str) -> String {
    UNDER_PASSPHRASE.replace(".65536.3.4.", &format!(".{costs}."))
}

#[test]
fn absurd_costs_are_refused_before_anything_is_computed() {
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    let keyring = Keyring::asking(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Secret::Passphrase(text("schön & secret")))
    });
    let absurd = [
        "262145.3.4",
        "4294967295.3.4",
        "65536.17.4",
        "65536.4294967295.4",
        "65536.3.17",
        "65536.3.16777215",
        "65536.3.0",
        "65536.0.4",
        "65536.1.4",
        "0.3.4",
        "8.3.1",
        "1024.3.4",
    ];
    for costs in absurd {
        let opened = keyring.open(&with_costs(costs), &host(), Role::Master);
        assert_eq!(error(opened), SealError::Cost, "{costs}");
    }
    for costs in [
        "4294967296.3.4",
        "-1.3.4",
        "+65536.3.4",
        "065536.3.4",
        "65536.3",
        "65536.3.4.1",
        "6e4.3.4",
        "..",
        " 65536.3.4",
    ] {
        let opened = keyring.open(&with_costs(costs), &host(), Role::Master);
        assert_eq!(error(opened), SealError::Malformed, "{costs}");
    }
    // Sane ones, but not those that it was sealed with.
    for costs in ["65536.2.4", "32768.3.4", "65536.3.1"] {
        let opened = keyring.open(&with_costs(costs), &host(), Role::Master);
        assert_eq!(error(opened), SealError::Refused, "{costs}");
    }
    assert!(keyring.open(UNDER_PASSPHRASE, &host(), Role::Master).is_ok());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn what_is_too_long_is_neither_sealed_nor_opened() {
    let keyring = key_file();
    let long = "x".repeat(256 * 1024 - 17);
    let sealed = keyring
        .seal(&Opened::plain(text(&long)), &client(), Role::MasterSign)
        .unwrap();
    assert!(keyring.open(&sealed, &client(), Role::MasterSign).is_ok());
    let longer = Opened::plain(text(&format!("{long}x")));
    assert_eq!(
        keyring.seal(&longer, &client(), Role::MasterSign),
        Err(SealError::TooLong)
    );
    let half = "x".repeat(128 * 1024);
    let written = Opened::written(text(&half), 0, text(&half));
    assert_eq!(
        keyring.seal(&written, &client(), Role::MasterSign),
        Err(SealError::TooLong)
    );
    let longest = format!("{UNDER_KEY_FILE}{}", "A".repeat(400 * 1024));
    assert_eq!(
        error(keyring.open(&longest, &client(), Role::MasterSign)),
        SealError::Malformed
    );
}

/// A box with this plaintext, made with the right key.
fn boxed(plain: &[u8]) -> String {
    let derivation = Derivation::KeyFile { salt: [1; SALT] };
    let key = derive(&Secret::KeyFile(Zeroizing::new((0..32).collect())), &derivation).unwrap();
    let data = associated(&derivation, &client(), Role::MasterSign);
    let payload = Payload {
        msg: plain,
        aad: data.as_bytes(),
    };
    let nonce = [2; NONCE];
    let sealed = cipher(&key).unwrap().encrypt(&nonce.into(), payload).unwrap();
    let sealed = Sealed {
        derivation,
        nonce,
        sealed,
    };
    sealed.text()
}

#[test]
fn a_box_without_its_commitment_or_with_a_broken_plaintext_is_refused() {
    let open = |plain: &[u8]| key_file().open(&boxed(plain), &client(), Role::MasterSign);
    let zeros = |more: &[u8]| [&[0; 16], more].concat();
    assert_eq!(open(&zeros(b"\0key\n")).ok().unwrap().value.as_str(), "key\n");
    assert_eq!(error(open(b"\0key\n")), SealError::Refused);
    assert_eq!(
        error(open(&[&[0; 15], b"\x01\0key\n".as_slice()].concat())),
        SealError::Refused
    );
    assert_eq!(error(open(b"")), SealError::Refused);
    for plain in [
        b"".as_slice(),
        b"\x02key",
        b"\0\xff",
        b"\x01\0\0\0\x02",
        b"\x01\0\0\0\x02\0\0\0\x05key",
        b"\x01\0\0\0\x02\xff\xff\xff\xffkey",
        b"\x01\0\0\0\x02\0\0\0\x01k\xff",
    ] {
        assert_eq!(error(open(&zeros(plain))), SealError::Malformed, "{plain:?}");
    }
}

#[test]
fn what_is_sealed_after_something_was_opened_is_under_the_same_key_with_another_nonce() {
    let keyring = key_file();
    keyring
        .open(UNDER_KEY_FILE, &client(), Role::MasterSign)
        .ok()
        .unwrap();
    let seal = || {
        keyring
            .seal(&Opened::plain(text(VALUE)), &host(), Role::Master)
            .unwrap()
    };
    let (first, second) = (seal(), seal());
    for sealed in [&first, &second] {
        assert!(super::super::form::same_key(sealed, UNDER_KEY_FILE));
        assert_eq!(
            keyring
                .open(sealed, &host(), Role::Master)
                .ok()
                .unwrap()
                .value
                .as_str(),
            VALUE
        );
    }
    let nonce = |text: &str| Sealed::parse(text).ok().unwrap().nonce;
    assert_ne!(nonce(&first), nonce(&second));
    // Without anything opened, each run has a salt of its own.
    let fresh = key_file()
        .seal(&Opened::plain(text(VALUE)), &host(), Role::Master)
        .unwrap();
    assert!(!super::super::form::same_key(&fresh, &first));
}

#[test]
fn the_secret_is_asked_for_once_and_what_for() {
    let asked = std::sync::Arc::new(Mutex::new(Vec::new()));
    let keyring = |secret: fn() -> Result<Secret, SealError>| {
        let asked = std::sync::Arc::clone(&asked);
        Keyring::asking(move |purpose| {
            asked.lock().unwrap().push(purpose);
            secret()
        })
    };
    let right = || Ok(Secret::KeyFile(Zeroizing::new((0..32).collect())));
    let opening = keyring(right);
    opening
        .open(UNDER_KEY_FILE, &client(), Role::MasterSign)
        .ok()
        .unwrap();
    opening
        .seal(&Opened::plain(text(VALUE)), &host(), Role::Master)
        .unwrap();
    assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), [Purpose::Open]);
    let sealing = keyring(right);
    let sealed = sealing
        .seal(&Opened::plain(text(VALUE)), &host(), Role::Master)
        .unwrap();
    sealing.open(&sealed, &host(), Role::Master).ok().unwrap();
    assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), [Purpose::Seal]);
    let none = keyring(|| Err(SealError::NoSecret));
    for _ in 0..2 {
        assert_eq!(
            error(none.open(UNDER_KEY_FILE, &client(), Role::MasterSign)),
            SealError::NoSecret
        );
    }
    let sealed = none.seal(&Opened::plain(text(VALUE)), &host(), Role::Master);
    assert_eq!(sealed, Err(SealError::NoSecretToSeal));
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn an_empty_passphrase_and_a_short_key_file_are_refused() {
    let open = |secret| error(Keyring::new(secret).open(UNDER_KEY_FILE, &client(), Role::MasterSign));
    let passphrase = Secret::Passphrase(Zeroizing::default());
    assert_eq!(open(passphrase), SealError::Weak("the passphrase is empty"));
    let short = open(Secret::KeyFile(Zeroizing::new(vec![1; 31])));
    assert!(short.to_string().contains("less than 32 bytes"), "{short}");
}

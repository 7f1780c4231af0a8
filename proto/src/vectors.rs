//! Tests over golden vectors that real Salt made (`tests/vectors`, or the folder in `SALT_VECTORS`).

mod auth;
mod crypto;
mod msgpack;
mod publication;
mod session;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use crate::crypto::{PrivateKey, PublicKey};
use crate::identity::Identity;
use crate::message::MinionId;

/// The releases that the per-release files are for.
const RELEASES: [&str; 3] = ["3006", "3007", "3008"];

/// Reads one file of the set.
pub(crate) fn file(name: &str) -> Json {
    let folder = std::env::var("SALT_VECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors").to_owned());
    let path = format!("{folder}/{name}.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cases under one name of a file; never none, or the test would pass for nothing.
fn cases(file: &Json, name: &str) -> Vec<Json> {
    let cases = file[name]
        .as_array()
        .unwrap_or_else(|| panic!("no {name:?} in the vectors"))
        .clone();
    assert!(!cases.is_empty(), "{name:?} is empty");
    cases
}

fn text<'a>(case: &'a Json, field: &str) -> &'a str {
    case[field]
        .as_str()
        .unwrap_or_else(|| panic!("no text {field:?} in {}", case["name"]))
}

pub(crate) fn bytes(case: &Json, field: &str) -> Vec<u8> {
    STANDARD.decode(text(case, field)).unwrap()
}

/// All key pairs of the set by name.
struct Keys(Json);

impl Keys {
    fn load() -> Self {
        Self(file("keys"))
    }

    fn private(&self, name: &str) -> PrivateKey {
        PrivateKey::from_pem(text(&self.0["keys"][name], "private")).unwrap()
    }

    fn public(&self, name: &str) -> PublicKey {
        PublicKey::from_pem(text(&self.0["keys"][name], "public")).unwrap()
    }

    /// The key names of minions, with their ids.
    fn minions(&self) -> Vec<(String, String)> {
        let ids = self.0["minion_ids"].as_object().unwrap();
        ids.iter()
            .map(|(name, id)| (name.clone(), id.as_str().unwrap().to_owned()))
            .collect()
    }

    fn identity(&self, name: &str) -> Identity {
        let (_, id) = self.minions().into_iter().find(|(key, _)| key == name).unwrap();
        Identity::new(
            MinionId::parse(&id).unwrap(),
            self.private(name),
            &mut rand::rng(),
        )
        .unwrap()
    }
}

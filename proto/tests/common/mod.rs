//! What several integration tests need.

/// One file of golden vectors by name, without `.json`: of the folder in `SALT_VECTORS`, or of `tests/vectors`.
#[allow(clippy::panic)] // How a test reports.
pub(crate) fn vectors(name: &str) -> serde_json::Value {
    let folder = std::env::var("SALT_VECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors").to_owned());
    let path = format!("{folder}/{name}.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

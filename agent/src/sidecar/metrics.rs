//! What Prometheus scrapes: a handful of numbers, counted where things happen and written out when asked for.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// What the text is, for HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Probes take from half a millisecond (idle master, same rack) to seconds (until they are given up).
const BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0,
];

/// The numbers of one sidecar. Masters go by name, so that counters outlive a reload.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    up: Family<OfMaster, Gauge>,
    active: Family<OfMaster, Gauge>,
    probes: Family<OfMaster, Histogram, Buckets>,
    failovers: Counter,
    verification_failures: Family<Failure, Counter>,
    last_verified: Family<OfMaster, Gauge<f64, AtomicU64>>,
    elected: Family<OfMaster, Gauge>,
    switches: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMaster {
    master: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    master: String,
    reason: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

impl Metrics {
    /// All at nought; no master yet.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("saltfo"),
            up: Family::default(),
            active: Family::default(),
            probes: Family::new_with_constructor(Buckets),
            failovers: Counter::default(),
            verification_failures: Family::default(),
            last_verified: Family::default(),
            elected: Family::default(),
            switches: Counter::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "master_up",
            "Whether the master is up: verified, and both its ports answer",
            metrics.up.clone(),
        );
        registry.register(
            "active_master",
            "Whether the local minion is reached through this master",
            metrics.active.clone(),
        );
        registry.register_with_unit(
            "probe_duration",
            "How long encrypted requests took until the verified reply",
            Unit::Seconds,
            metrics.probes.clone(),
        );
        // Its sample is `saltfo_failovers_total`: the suffix is the encoder's, as with the other counter.
        registry.register(
            "failovers",
            "How often the active master changed to another one",
            metrics.failovers.clone(),
        );
        registry.register(
            "verification_failures",
            "Replies and publications that did not come from the genuine master, by the check that failed",
            metrics.verification_failures.clone(),
        );
        registry.register_with_unit(
            "last_verified_reply_timestamp",
            "When the genuine master last answered an encrypted request",
            Unit::Seconds,
            metrics.last_verified.clone(),
        );
        registry.register(
            "relay_master",
            "Whether the relay carries the minion's messages to this master (mode relay)",
            metrics.elected.clone(),
        );
        registry.register(
            "relay_switches",
            "How often the relay went over to another master (mode relay)",
            metrics.switches.clone(),
        );
        registry.register(
            "build",
            "Which saltfo this is",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        metrics
    }

    /// Takes these masters, new ones with nought, and forgets all others.
    pub fn set_masters<'a>(&self, before: impl Iterator<Item = &'a str>, now: &[&str]) {
        for gone in before.filter(|name| !now.contains(name)) {
            let gone = OfMaster::new(gone);
            self.up.remove(&gone);
            self.active.remove(&gone);
            self.probes.remove(&gone);
            self.last_verified.remove(&gone);
            self.elected.remove(&gone);
        }
        for name in now {
            let master = OfMaster::new(name);
            drop(self.up.get_or_create(&master));
            drop(self.active.get_or_create(&master));
            drop(self.probes.get_or_create(&master));
        }
    }

    /// Whether the master is up.
    pub fn set_up(&self, master: &str, up: bool) {
        self.up.get_or_create(&OfMaster::new(master)).set(i64::from(up));
    }

    /// Whether it is the active one.
    pub fn set_active(&self, master: &str, active: bool) {
        self.active
            .get_or_create(&OfMaster::new(master))
            .set(i64::from(active));
    }

    /// Whether the relay carries the minion's messages to this master.
    pub fn set_elected(&self, master: &str, elected: bool) {
        self.elected
            .get_or_create(&OfMaster::new(master))
            .set(i64::from(elected));
    }

    /// There is no relay any more.
    pub fn forget_elected(&self) {
        self.elected.clear();
    }

    /// The relay went over to another master.
    pub fn switched(&self) {
        self.switches.inc();
    }

    /// The genuine master answered an encrypted request.
    pub fn verified(&self, master: &str, after: Duration, at: SystemTime) {
        let master = OfMaster::new(master);
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.probes.get_or_create(&master).observe(after.as_secs_f64());
        self.last_verified.get_or_create(&master).set(since.as_secs_f64());
    }

    /// The active master changed.
    pub fn failover(&self) {
        self.failovers.inc();
    }

    /// Something that came from this master's address is not genuine. `reason` is one of a few constant words.
    pub fn verification_failure(&self, master: &str, reason: &'static str) {
        let failure = Failure {
            master: master.to_owned(),
            reason,
        };
        self.verification_failures.get_or_create(&failure).inc();
    }

    /// All of them in OpenMetrics' text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            // Only a writer that fails can bring this about, and a `String` does not.
            text.clear();
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl OfMaster {
    fn new(name: &str) -> Self {
        Self {
            master: name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    /// Reads the text format strictly: each family once, announced before its samples, ended by `# EOF`.
    fn samples(text: &str) -> BTreeMap<String, f64> {
        let text = text.strip_suffix("# EOF\n").expect("does not end with EOF");
        let mut families: BTreeMap<String, String> = BTreeMap::new();
        let mut current = String::new();
        let mut samples = BTreeMap::new();
        let mut labels_seen = HashSet::new();
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words.as_slice() {
                ["#", "HELP", name, help] => {
                    assert!(help.ends_with('.'), "{line}");
                    current = (*name).to_owned();
                }
                ["#", "TYPE", name, kind] => {
                    assert_eq!(*name, current);
                    let before = families.insert(current.clone(), (*kind).to_owned());
                    assert_eq!(before, None, "family twice: {line}");
                }
                ["#", "UNIT", name, unit] => {
                    assert!(*name == current && name.ends_with(unit), "{line}");
                }
                _ => {
                    let (name, value) = line.rsplit_once(' ').expect(line);
                    let plain = name.split('{').next().unwrap();
                    let suffixes: &[&str] = match families[&current].as_str() {
                        "counter" => &["_total"],
                        "gauge" => &[""],
                        "info" => &["_info"],
                        "histogram" => &["_bucket", "_sum", "_count"],
                        other => panic!("{other}"),
                    };
                    assert!(
                        suffixes.contains(&plain.strip_prefix(current.as_str()).expect(line)),
                        "{line}"
                    );
                    if let Some((_, labels)) = name.split_once('{') {
                        for label in labels.strip_suffix('}').expect(line).split(',') {
                            let (key, value) = label.split_once('=').expect(line);
                            assert!(key.chars().all(|c| c.is_ascii_lowercase()), "{line}");
                            assert!(
                                value.len() >= 2 && value.starts_with('"') && value.ends_with('"'),
                                "{line}"
                            );
                        }
                    }
                    assert!(labels_seen.insert(name.to_owned()), "sample twice: {line}");
                    samples.insert(name.to_owned(), value.parse().expect(line));
                }
            }
        }
        samples
    }

    #[test]
    fn the_numbers_have_the_names_that_dashboards_use() {
        let metrics = Metrics::new();
        metrics.set_masters([].into_iter(), &["salt1", "salt2"]);
        metrics.set_up("salt1", true);
        metrics.set_active("salt1", true);
        metrics.failover();
        metrics.verification_failure("salt2", "signature");
        metrics.verification_failure("salt2", "signature");
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        metrics.verified("salt1", Duration::from_millis(2), at);
        metrics.verified("salt1", Duration::from_secs(60), at);

        let samples = samples(&metrics.text());
        let version = env!("CARGO_PKG_VERSION");
        let expected = [
            ("saltfo_master_up{master=\"salt1\"}".to_owned(), 1.0),
            ("saltfo_master_up{master=\"salt2\"}".to_owned(), 0.0),
            ("saltfo_active_master{master=\"salt1\"}".to_owned(), 1.0),
            ("saltfo_active_master{master=\"salt2\"}".to_owned(), 0.0),
            ("saltfo_failovers_total".to_owned(), 1.0),
            (
                "saltfo_verification_failures_total{master=\"salt2\",reason=\"signature\"}".to_owned(),
                2.0,
            ),
            (
                "saltfo_last_verified_reply_timestamp_seconds{master=\"salt1\"}".to_owned(),
                1_700_000_000.25,
            ),
            (format!("saltfo_build_info{{version=\"{version}\"}}"), 1.0),
            (
                "saltfo_probe_duration_seconds_count{master=\"salt1\"}".to_owned(),
                2.0,
            ),
            (
                "saltfo_probe_duration_seconds_count{master=\"salt2\"}".to_owned(),
                0.0,
            ),
            (
                "saltfo_probe_duration_seconds_bucket{le=\"0.0025\",master=\"salt1\"}".to_owned(),
                1.0,
            ),
            (
                "saltfo_probe_duration_seconds_bucket{le=\"+Inf\",master=\"salt1\"}".to_owned(),
                2.0,
            ),
        ];
        for (name, value) in expected {
            assert_eq!(samples.get(&name), Some(&value), "{name} in {samples:#?}");
        }
        // A master that never answered has no time of its last answer.
        assert!(!samples.contains_key("saltfo_last_verified_reply_timestamp_seconds{master=\"salt2\"}"));
    }

    #[test]
    fn a_master_that_is_configured_no_more_is_forgotten_and_others_keep_their_counts() {
        let metrics = Metrics::new();
        metrics.set_masters([].into_iter(), &["salt1", "salt2"]);
        for master in ["salt1", "salt2"] {
            metrics.verified(master, Duration::from_millis(1), UNIX_EPOCH);
        }
        metrics.set_masters(["salt1", "salt2"].into_iter(), &["salt2", "salt3"]);
        let samples = samples(&metrics.text());
        assert!(!samples.keys().any(|name| name.contains("salt1")), "{samples:#?}");
        assert_eq!(
            samples["saltfo_probe_duration_seconds_count{master=\"salt2\"}"],
            1.0
        );
        assert_eq!(samples["saltfo_master_up{master=\"salt3\"}"], 0.0);
    }
}

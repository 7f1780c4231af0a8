//! The event that masters are told of changes by, as it comes out of a real master's event bus.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use integration::Lab;
use serde_json::Value as Json;

use crate::sidecar::{LONG, MASTERS, Sidecar};

const TAG: &str = "saltfo/master/changed";

/// A sidecar that starts tells each master that is up what it finds: that this one is, and which one is the active one.
pub(crate) fn masters_are_told_of_changes_on_their_event_bus(sidecar: &mut Sidecar<'_>) {
    let mut buses = MASTERS.map(|master| Bus::of(sidecar.lab, master));
    sidecar.configure("  event: true\n");
    let active = sidecar.fresh();
    for (bus, master) in buses.iter_mut().zip(MASTERS) {
        let name = format!("{master}.xyz.example");
        let data = bus.until(|data| data["event"] == "master" && data["master"] == name.as_str());
        assert_eq!(
            (&data["from"], &data["to"]),
            (&"unknown".into(), &"up".into()),
            "{data}"
        );
        assert!(data["why"].as_str().unwrap().contains("verified"), "{data}");
        if master == active {
            let data = bus.until(|data| data["event"] == "active_master");
            let name = Json::from(name);
            assert_eq!(
                [&data["master"], &data["to"], &data["active_master"]],
                [&name; 3],
                "{data}"
            );
            assert_eq!(data["from"], Json::Null, "{data}");
        }
    }
    sidecar.configure("");
}

/// Who listens.
struct Bus {
    process: Child,
    lines: Receiver<String>,
    heard: Vec<Json>,
}

impl Bus {
    /// Returns when it listens.
    fn of(lab: &Lab, master: &str) -> Self {
        let folder = lab.folder().join(master);
        let script = folder.join("bus.py");
        std::fs::write(&script, include_str!("bus.py")).unwrap();
        let mut process = lab
            .command(master, lab.salt(master).python())
            .arg(script)
            .arg(lab.config_dir(master).join("master"))
            .arg(TAG)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = BufReader::new(process.stdout.take().unwrap()).lines();
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in printed.map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        let bus = Self {
            process,
            lines,
            heard: Vec::new(),
        };
        assert_eq!(bus.lines.recv_timeout(LONG).unwrap(), "listening");
        bus
    }

    /// The data of the next event that is wanted.
    fn until(&mut self, wanted: impl Fn(&Json) -> bool) -> Json {
        loop {
            let line = self.lines.recv_timeout(LONG);
            let line = line.unwrap_or_else(|error| panic!("{error}; heard so far: {:#?}", self.heard));
            let event: Json = serde_json::from_str(&line).unwrap();
            self.heard.push(event.clone());
            // As any event of a minion: who sent it is the master's word, not the sender's.
            let sent = &event["data"];
            assert_eq!(
                (&event["tag"], &sent["id"]),
                (&TAG.into(), &"minion01".into()),
                "{event}"
            );
            let data = &sent["data"];
            assert_eq!(data["minion"], "minion01", "{event}");
            if wanted(data) {
                return data.clone();
            }
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

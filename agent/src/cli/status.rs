//! `saltfo status`: asks the sidecar of this host, and prints what it knows.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::Value as Json;

use super::args::{Common, Status};
use super::{CliError, document, harmless};
use crate::config::{Config, DEFAULT_PATH};
use crate::exit::Exit;
use crate::sidecar::settings::Settings;

/// A report is some kilobytes.
const LONGEST: u64 = 1 << 20;

pub(super) fn run(common: &Common, request: &Status) -> Result<Exit, CliError> {
    let address = match request.listen {
        Some(address) => address,
        None => listens_at(common)?,
    };
    let patience = common.timeout.unwrap_or(Duration::from_secs(5));
    // Any user of this host may listen there while no sidecar does.
    let report = match ask(address, patience) {
        Ok(report) => harmless::document(report),
        Err(why) => {
            let why = harmless::text(&why);
            return Err(CliError::NoSidecar { address, why });
        }
    };
    document::print(&report, common.out, &table(&report))?;
    Ok(if *at(&report, "/ready") == true {
        Exit::Done
    } else {
        Exit::NoMaster
    })
}

/// Where the sidecar's report is.
pub(super) fn listens_at(common: &Common) -> Result<SocketAddr, CliError> {
    let default = Path::new(DEFAULT_PATH);
    Ok(match &common.config {
        Some(file) => Config::sidecar_settings(file)?.listen,
        // Whoever may not read it is told where the sidecar listens by default.
        None => Config::sidecar_settings(default)
            .map_or_else(|_| Settings::default().listen, |settings| settings.listen),
    })
}

/// One request of HTTP/1.0, whose answer ends with the connection.
fn ask(address: SocketAddr, patience: Duration) -> Result<Json, String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        write!(stream, "GET /status HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(LONGEST).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("not an answer of HTTP")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(format!("it answers {status}: {}", body.trim()));
    }
    serde_json::from_str(body).map_err(|error| format!("its answer is no JSON: {error}"))
}

/// A line for each master, what is wrong with it below, and the minion.
fn table(report: &Json) -> String {
    let none = Vec::new();
    let masters = at(report, "/masters").as_array().unwrap_or(&none);
    let text = |value: &Json| value.as_str().unwrap_or("-").to_owned();
    let width = |field: &str, least: usize| {
        let widths = masters
            .iter()
            .map(|master| text(at(master, &format!("/{field}"))).chars().count());
        widths.max().unwrap_or_default().max(least)
    };
    let (names, states) = (width("name", "MASTER".len()), width("state", "STATE".len()));
    let mut table = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        table,
        "{:names$}  {:states$}  {:6}  {:24}  {:>9}  {:>9}",
        "MASTER", "STATE", "ACTIVE", "SINCE", "REQUEST", "HEARTBEAT"
    );
    for master in masters {
        let state = text(at(master, "/state"));
        let style = colour(&state);
        let _ = writeln!(
            table,
            "{:names$}  {style}{state:states$}{style:#}  {:6}  {:24}  {:>9}  {:>9}",
            text(at(master, "/name")),
            if *at(master, "/active") == true { "yes" } else { "" },
            text(at(master, "/since")),
            time(at(master, "/last_verified/latency_ms")),
            time(at(master, "/request/heartbeat_ms")),
        );
        if state != "up" {
            let _ = writeln!(table, "  {}", text(at(master, "/why")));
        }
    }
    let ready = if *at(report, "/ready") == true {
        "jobs reach it"
    } else {
        "jobs do not reach it"
    };
    let _ = writeln!(table, "minion: {ready}: {}", text(at(report, "/why")));
    if at(report, "/relay").is_object() {
        table.push_str(&relay(report));
    }
    if let Some(unknown) = at(report, "/minion/unknown").as_str() {
        let _ = writeln!(table, "  {unknown}");
    }
    if let Some(restart) = at(report, "/last_restart").as_object() {
        let field = |name: &str| restart.get(name).map(&text).unwrap_or_default();
        let _ = writeln!(
            table,
            "last restart of the minion: {} ({}): {}",
            field("at"),
            field("result"),
            field("why")
        );
    }
    table
}

/// Who is elected, and the last switch.
fn relay(report: &Json) -> String {
    let text = |place: &str| {
        at(report, &format!("/relay/{place}"))
            .as_str()
            .unwrap_or("-")
            .to_owned()
    };
    let mut lines = format!(
        "relay: to {} since {}: {}\n",
        text("master"),
        text("since"),
        text("why")
    );
    if at(report, "/relay/minion_connected") == false {
        lines.push_str("  the minion is not connected to it: see `saltfo setup relay`\n");
    }
    if let Some(why) = at(report, "/relay/traffic/trouble").as_str() {
        let _ = writeln!(lines, "  {why}");
    }
    let drained: Vec<&str> = at(report, "/relay/drained")
        .as_array()
        .map(|names| names.iter().filter_map(Json::as_str).collect())
        .unwrap_or_default();
    if !drained.is_empty() {
        let _ = writeln!(lines, "  drained: {}", drained.join(", "));
    }
    if at(report, "/relay/last_switch").is_object() {
        let _ = writeln!(
            lines,
            "last switch: {}, {} to {} ({}, {}): {}",
            text("last_switch/at"),
            text("last_switch/from"),
            text("last_switch/to"),
            text("last_switch/result"),
            time(at(report, "/relay/last_switch/after_ms")),
            text("last_switch/why"),
        );
    }
    lines
}

/// What stands there; null if nothing does.
fn at<'a>(document: &'a Json, place: &str) -> &'a Json {
    document.pointer(place).unwrap_or(&Json::Null)
}

fn time(milliseconds: &Json) -> String {
    milliseconds
        .as_f64()
        .map_or_else(|| "-".to_owned(), |milliseconds| format!("{milliseconds:.1} ms"))
}

fn colour(state: &str) -> Style {
    match state {
        "up" => AnsiColor::Green.on_default(),
        "impostor" => AnsiColor::Red.on_default().bold(),
        _ => AnsiColor::Yellow.on_default(),
    }
}

//! The server, the settings of this page, and what was changed by whom.

use askama::Template;
use axum::response::Response;

use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::shown::{When, message};
use super::super::visit::Visit;
use crate::figures::{Age, grouped, size};
use crate::queue::control::{Record, ServerState};
use crate::settings::Setting;

/// Changes that are shown.
const RECORDS: usize = 100;

#[derive(Template)]
#[template(path = "system.html")]
struct SystemPage {
    layout: Layout,
    facts: Vec<(&'static str, String)>,
    warnings: Vec<String>,
    records: Vec<RecordRow>,
    settings: Vec<SettingRow>,
    version: &'static str,
    /// Panels in Grafana.
    panels: Option<String>,
}

struct RecordRow {
    at: Option<When>,
    who: String,
    verb: String,
    about: String,
    result: String,
}

struct SettingRow {
    name: String,
    value: String,
    is_set: bool,
    /// Every other part of it is code.
    text: Vec<&'static str>,
}

/// `GET /system`
pub(in super::super) async fn system(visit: Visit) -> Response {
    let page = make(&visit).await;
    visit.answer(page)
}

async fn make(visit: &Visit) -> Result<SystemPage, Fault> {
    let admin = &visit.site.admin;
    let (server, records) = futures::try_join!(admin.server(), admin.records(RECORDS))?;
    Ok(SystemPage {
        layout: visit.layout("System", "/system"),
        warnings: server.info.warnings(),
        facts: facts(&server),
        records: records.iter().map(record_row).collect(),
        settings: visit.site.settings.iter().map(setting_row).collect(),
        version: env!("CARGO_PKG_VERSION"),
        panels: visit.site.elsewhere.panels().map(str::to_owned),
    })
}

fn facts(server: &ServerState) -> Vec<(&'static str, String)> {
    let used = size(server.used_bytes as f64);
    let uptime = std::time::Duration::from_secs(server.uptime_s);
    vec![
        ("Server", message(&server.info.version)),
        ("Role", message(&server.info.role)),
        ("Up since", format!("{} ago", Age(uptime))),
        (
            "Memory",
            match server.most_bytes {
                0 => format!("{used}, no limit is set (maxmemory)"),
                most => format!("{used} of {}", size(most as f64)),
            },
        ),
        ("Keys", grouped(server.keys)),
        ("Clients", grouped(server.clients)),
    ]
}

fn record_row(record: &Record) -> RecordRow {
    RecordRow {
        at: When::stamp(record.at.as_bytes()),
        who: message(&record.who),
        verb: message(&record.verb),
        about: message(&record.about),
        result: message(&record.result),
    }
}

fn setting_row(setting: &Setting) -> SettingRow {
    SettingRow {
        name: setting.name.clone(),
        value: message(&setting.value),
        is_set: setting.is_set(),
        text: setting.text.split('`').collect(),
    }
}

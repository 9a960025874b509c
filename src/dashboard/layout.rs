//! What all pages have around them, and how they are answered.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use tracing::error;

use super::assets::{self, Asset};
use super::auth::{Role, User};
use super::keys::{KEYS, KeyGroup};
use super::live::topic::Topic;
use super::pieces::piece::Ground;
use super::site::Site;
use crate::untrusted;

/// Pages that are linked from all others: path, name, and the key that opens it after `g`.
const PLACES: [(&str, &str, &str); 7] = [
    ("/", "Overview", "o"),
    ("/queues", "Queues", "q"),
    ("/failed", "Failed", "f"),
    ("/batches", "Batches", "b"),
    ("/workers", "Workers", "w"),
    ("/system", "System", "s"),
    ("/help", "Help", "h"),
];

/// What all pages have around them.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The path before all others.
    pub(super) base: String,
    pub(super) title: String,
    pub(super) style: &'static str,
    pub(super) icon: &'static str,
    /// The script that shows the theme.
    pub(super) theme: &'static str,
    /// What runs in the browser, in this order.
    pub(super) scripts: Vec<&'static Asset>,
    pub(super) places: Vec<Place>,
    /// What keys do, but for those of places.
    pub(super) keys: &'static [KeyGroup],
    /// Who looks; nobody is told.
    pub(super) user: Option<String>,
    /// Whether they may act.
    pub(super) may_act: bool,
    pub(super) is_read_only: bool,
    /// Whether they can log out.
    pub(super) has_login: bool,
    /// What forms have to send back.
    pub(super) form_token: String,
    /// Where what changes on the page is told; empty if nothing is.
    pub(super) events: String,
}

/// A page that is linked from all others.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    pub(super) is_here: bool,
}

impl Layout {
    /// For a page with this title, below one of the places.
    pub(super) fn new(site: &Site, user: &User, (title, place): (&str, &str)) -> Self {
        Self {
            user: Some(untrusted::name(&user.name).to_string()),
            may_act: user.role == Role::Operator && !site.is_read_only,
            form_token: site.door.form_token(user),
            places: PLACES.map(|it| Place::new(it, place)).into(),
            keys: &KEYS,
            ..Self::for_nobody(site, title)
        }
        .with_script(&assets::KEYS)
    }

    /// For somebody who may see nothing.
    pub(super) fn for_nobody(site: &Site, title: &str) -> Self {
        Self {
            base: site.base.clone(),
            title: title.to_owned(),
            style: assets::style(),
            icon: assets::icon(),
            theme: assets::theme(),
            scripts: Vec::new(),
            places: Vec::new(),
            keys: &[],
            user: None,
            may_act: false,
            is_read_only: site.is_read_only,
            has_login: site.door.has_login(),
            form_token: String::new(),
            events: String::new(),
        }
    }

    /// What pieces of the page know of it.
    pub(super) fn ground(&self) -> Ground {
        Ground {
            base: self.base.clone(),
        }
    }

    /// The same for a page whose pieces follow these topics.
    #[must_use]
    pub(super) fn watching(mut self, topics: &[Topic]) -> Self {
        let topics: Vec<_> = topics.iter().map(Topic::query).collect();
        self.events = format!("{}/events?{}", self.base, topics.join("&"));
        self.with_script(&assets::LIVE)
    }

    /// The same with one more script.
    #[must_use]
    pub(super) fn with_script(mut self, script: &'static Asset) -> Self {
        self.scripts.push(script);
        self
    }
}

impl Place {
    fn new((path, name, key): (&'static str, &'static str, &'static str), here: &str) -> Self {
        Self {
            path,
            name,
            key,
            is_here: path == here,
        }
    }
}

/// The page as an answer.
pub(super) fn answer(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            error!(%error, "a page cannot be written");
            let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            let text = "this page cannot be written: see the log of the dashboard\n";
            (StatusCode::INTERNAL_SERVER_ERROR, kind, text).into_response()
        }
    }
}

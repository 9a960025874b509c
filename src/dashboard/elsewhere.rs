//! What other programs show of the same: panels, traces, the label tool.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderValue;
use url::Url;

use super::jobs_table::value;
use super::shown::escaped;
use crate::wire::{RawFields, field};

/// What stands for a queue and for a trace in addresses.
const QUEUE: &str = "{queue}";
const TRACE: &str = "{trace}";

/// An address in which names are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address(String);

/// Where other programs are, as far as that is set.
#[derive(Clone, Debug, Default)]
pub(super) struct Elsewhere {
    pub(super) grafana: Option<Address>,
    pub(super) traces: Option<Address>,
    /// The label tool.
    pub(super) label: Option<String>,
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Braces are no part of an address until they are filled in.
        let filled = text.replace(QUEUE, "q").replace(TRACE, "0");
        match Url::parse(&filled) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Self(text.to_owned())),
            _ => Err(
                "expected an http:// or https:// address, in which {queue} and {trace} may stand",
            ),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Elsewhere {
    /// The panels of a queue.
    pub(super) fn panels_of(&self, queue: &str) -> Option<String> {
        let Address(address) = self.grafana.as_ref()?;
        Some(address.replace(QUEUE, &escaped(queue)))
    }

    /// The panels of all queues, if they have an address without a name.
    pub(super) fn panels(&self) -> Option<&str> {
        let Address(address) = self.grafana.as_ref()?;
        (!address.contains(QUEUE)).then_some(address)
    }

    /// The trace of a job, if it has one.
    pub(super) fn trace_of(&self, fields: &RawFields, queue: &str) -> Option<String> {
        let Address(address) = self.traces.as_ref()?;
        let own = [field::TRACE, field::TRACEPARENT];
        let trace = own.iter().find_map(|name| trace_in(value(fields, name)))?;
        let address = address.replace(TRACE, &trace);
        Some(address.replace(QUEUE, &escaped(queue)))
    }

    /// What pages may do: they run nothing, show nothing and send nothing that is not ours, but for forms to the label tool, and
    /// nobody shows them in a frame.
    pub(super) fn policy(&self) -> anyhow::Result<HeaderValue> {
        let forms = match self.origin() {
            Some(origin) => format!("'self' {origin}"),
            None => "'self'".to_owned(),
        };
        let text = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; form-action {forms}; \
             base-uri 'none'; frame-ancestors 'none'"
        );
        Ok(HeaderValue::from_str(&text)?)
    }

    /// What forms of pages may be sent to, beside ourselves.
    fn origin(&self) -> Option<String> {
        let url = Url::parse(self.label.as_deref()?).ok()?;
        Some(url.origin().ascii_serialization())
    }
}

/// The id of a trace, as W3C writes contexts: `00-<32 digits>-<16 digits>-<flags>`.
fn trace_in(context: &[u8]) -> Option<String> {
    let trace = std::str::from_utf8(context).ok()?.split('-').nth(1)?;
    let is_id = trace.len() == 32 && trace.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_id.then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn elsewhere(address: &str) -> Elsewhere {
        let address: Option<Address> = address.parse().ok();
        Elsewhere {
            grafana: address.clone(),
            traces: address,
            label: Some("https://label.example:8443/tool?x".to_owned()),
        }
    }

    #[test]
    fn names_are_filled_in_so_that_they_stay_names() {
        let there = elsewhere("https://g.example/d/1?var-queue={queue}&t={trace}");
        let expected = "https://g.example/d/1?var-queue=a%26b%20c&t={trace}";
        assert_eq!(there.panels_of("a&b c").as_deref(), Some(expected));
        assert_eq!(there.panels(), None);
        let fields = |context: &[u8]| [(b"rc_trace".to_vec(), context.to_vec())].into();
        let expected = "https://g.example/d/1?var-queue=q&t=4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(
            there.trace_of(&fields(CONTEXT), "q").as_deref(),
            Some(expected)
        );
        for wrong in [
            &b""[..],
            b"00-x-y-01",
            b"\xff",
            b"00-\"><script>aaaaaaaaaaaaaaaaaaaaaaa-1-1",
        ] {
            assert_eq!(there.trace_of(&fields(wrong), "q"), None);
        }
        assert_eq!(
            there.origin().as_deref(),
            Some("https://label.example:8443")
        );
    }

    #[test]
    fn only_addresses_of_the_web_are_taken() {
        for wrong in ["javascript:alert(1)", "ftp://x", "x", "{queue}"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}

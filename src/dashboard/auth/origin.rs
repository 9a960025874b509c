//! Whether a request comes from a page of ours: other pages can have a browser send forms, too.

use std::net::IpAddr;

use http::{HeaderMap, header};

/// Whether a request that changes something comes from a page of ours. Browsers say so in `Sec-Fetch-Site`, or, where the page
/// has no TLS, name the page's address.
pub(in super::super) fn is_from_us(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let text = |name| headers.get(name)?.to_str().ok();
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
    match (origin, text(header::HOST)) {
        (Some((_, origin)), Some(host)) => origin.eq_ignore_ascii_case(host),
        _ => false,
    }
}

/// Whether the page was called by an address, or as this machine. A name that somebody else can point to this machine would make
/// their page one of the same origin.
pub(in super::super) fn is_host_of_ours(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.is_some_and(|host| {
        let name = host.rsplit_once(':').map_or(host, |(name, port)| {
            match port.bytes().all(|byte| byte.is_ascii_digit()) {
                true => name,
                false => host,
            }
        });
        let address = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| {
                (
                    name.parse().expect("a name"),
                    value.parse().expect("a value"),
                )
            })
            .collect()
    }

    #[test]
    fn only_our_own_pages_change_something() {
        let host = ("host", "kiosk.example:8080");
        for good in [
            &[host, ("sec-fetch-site", "same-origin")][..],
            &[host, ("origin", "https://kiosk.example:8080")],
            &[host, ("sec-fetch-site", "same-origin"), ("origin", "null")],
        ] {
            assert!(is_from_us(&headers(good)), "{good:?}");
        }
        for bad in [
            &[host][..],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "none")],
            &[
                host,
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://kiosk.example:8080"),
            ],
            &[host, ("origin", "null")],
            &[host, ("origin", "https://kiosk.example")],
            &[host, ("origin", "https://kiosk.example:8080.evil.example")],
            &[("origin", "https://kiosk.example:8080")],
        ] {
            assert!(!is_from_us(&headers(bad)), "{bad:?}");
        }
    }

    #[test]
    fn names_that_others_can_point_here_are_not_ours() {
        let is_ours = |host| is_host_of_ours(&headers(&[("host", host)]));
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "10.0.0.7",
        ] {
            assert!(is_ours(host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:8080",
            "localhost.evil.example",
            "",
        ] {
            assert!(!is_ours(host), "{host}");
        }
        assert!(!is_host_of_ours(&headers(&[])));
    }
}

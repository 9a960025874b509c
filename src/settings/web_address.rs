//! Addresses of web servers as a setting.

use std::fmt::{self, Display};
use std::str::FromStr;

use url::Url;

use super::value::Parsed;

/// An `http://` or `https://` address without a trailing slash; a bare `host:port` is taken as plain HTTP.
#[derive(Clone, Debug)]
pub(crate) struct WebAddress(String);

impl FromStr for WebAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        match Url::parse(&address) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.query().is_none() => {
                Ok(Self(address.trim_end_matches('/').to_owned()))
            }
            _ => Err("expected an http:// or https:// address"),
        }
    }
}

impl Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The address as a text.
pub(crate) fn address_of(Parsed(WebAddress(address)): Parsed<WebAddress>) -> String {
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers_may_lack_their_scheme_but_not_be_something_else() {
        let address = |text: &str| text.parse().map(|WebAddress(address)| address);
        assert_eq!(
            address("localhost:4443").as_deref(),
            Ok("http://localhost:4443")
        );
        assert_eq!(
            address("https://gcs.example/").as_deref(),
            Ok("https://gcs.example")
        );
        for text in ["ftp://x", "http://x/?sig=1", "http://"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}

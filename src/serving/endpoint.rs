//! Where the model server is, and how to connect to it.

use std::net::SocketAddr;
use std::time::Duration;

use tonic::codegen::http::uri::InvalidUri;
use tonic::transport::{ClientTlsConfig, Endpoint, Uri};

/// Time to connect.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for the answer to a sign of life.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Shortest silence after which a sign of life is asked for.
const MIN_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Bytes that may be under way to us: whole answers of usual size, so that no server waits for permission to go on.
const WINDOW: u32 = 16 << 20;

/// Bytes of a frame of an answer. The usual 16 KiB would wake us some hundred times for the tensors of an image.
const FRAME: u32 = 1 << 20;

/// Bytes of an answer's headers, in which servers put the text of an error. More would look like a broken connection.
const HEADER_BYTES: u32 = 1 << 20;

/// A name, and what is needed to connect to the addresses behind it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Name or address of the server.
    pub(super) host: String,
    /// Port of the server.
    pub(super) port: u16,
    /// How the connection is protected; none is plain text.
    pub(super) tls: Option<ClientTlsConfig>,
}

impl Target {
    /// How to connect to one address of the server, which takes up to `deadline` to answer. Nothing is sent yet.
    ///
    /// # Errors
    /// If the name of the server or the certificate authority cannot be used.
    pub(super) fn endpoint(
        &self,
        address: SocketAddr,
        deadline: Duration,
    ) -> Result<Endpoint, tonic::transport::Error> {
        // gRPC servers hang up on a client that asks for a third sign of life while they compute.
        let keep_alive_interval = (deadline / 2).max(MIN_KEEP_ALIVE_INTERVAL);
        let mut endpoint = Endpoint::from_shared(format!("{}://{address}", self.scheme()))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(Some(MIN_KEEP_ALIVE_INTERVAL))
            .http2_keep_alive_interval(keep_alive_interval)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(FRAME)
            .http2_max_header_list_size(HEADER_BYTES);
        if let Ok(origin) = self.origin() {
            endpoint = endpoint.origin(origin);
        }
        match &self.tls {
            Some(tls) => endpoint.tls_config(tls.clone()),
            None => Ok(endpoint),
        }
    }

    /// The server by its name, as it is told which of its names was meant.
    ///
    /// # Errors
    /// If the name cannot be part of a URL.
    pub(super) fn origin(&self) -> Result<Uri, InvalidUri> {
        let (scheme, host, port) = (self.scheme(), self.bare_host(), self.port);
        let uri = if host.contains(':') {
            format!("{scheme}://[{host}]:{port}")
        } else {
            format!("{scheme}://{host}:{port}")
        };
        uri.parse()
    }

    /// The host without the brackets that an IPv6 address has in a URL.
    pub(super) fn bare_host(&self) -> &str {
        self.host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(&self.host)
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_six_groups_get_their_brackets() {
        for host in ["::1", "[::1]"] {
            let target = Target {
                host: host.to_owned(),
                port: 9,
                tls: None,
            };
            let origin = target.origin().expect("an address");
            assert_eq!(origin.to_string(), "http://[::1]:9/");
            assert_eq!(target.bare_host(), "::1");
        }
    }
}

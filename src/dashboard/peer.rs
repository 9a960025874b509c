//! The other end of a connection, and what it is told when it was wrong too often.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::http::Peer;

/// Its address.
pub(super) fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| *address)
}

/// That somebody was wrong too often.
pub(super) fn too_often(wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    let headers = [(header::RETRY_AFTER, seconds.to_string())];
    let text = format!("too many wrong tokens from this address: try again in {seconds} s\n");
    (StatusCode::TOO_MANY_REQUESTS, headers, text).into_response()
}

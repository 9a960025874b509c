//! Access lists of uploads, which S3 and Google Cloud Storage have in common.

use object_store::client::HttpRequest;

/// Whether an access list belongs on the request: with the parts of an object there is one on the request that begins it.
pub(super) fn creates_object(request: &HttpRequest) -> bool {
    match request.method().as_str() {
        "PUT" => !has_parameter(request, "uploadId"),
        "POST" => has_parameter(request, "uploads"),
        _ => false,
    }
}

fn has_parameter(request: &HttpRequest, name: &str) -> bool {
    let mut pairs = request.uri().query().unwrap_or_default().split('&');
    pairs.any(|pair| pair.split('=').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::request;
    use super::*;

    #[test]
    fn access_lists_go_where_objects_begin() {
        let creates = |method, target| creates_object(&request(method, target));
        assert!(creates("PUT", "https://h/b/k") && creates("POST", "https://h/b/k?uploads="));
        assert!(
            !creates("PUT", "https://h/b/k?partNumber=1&uploadId=x"),
            "a part"
        );
        assert!(!creates("POST", "https://h/b/k?uploadId=x"), "its end");
        assert!(!creates("GET", "https://h/b/k") && !creates("DELETE", "https://h/b/k?uploadId=x"));
    }
}

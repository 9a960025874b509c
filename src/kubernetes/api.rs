//! The API of Kubernetes: which pods are alive, and a word on one of them.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::settings::{Loader, Parsed, WebAddress, address_of};

/// Where Kubernetes puts what a pod needs to ask its API.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const PAGE: usize = 500;
const TIME_LIMIT: Duration = Duration::from_secs(10);

crate::settings! {
    /// The API of Kubernetes.
    struct KubernetesVariables {
        /// Address of the Kubernetes API, such as `http://127.0.0.1:8001` for `kubectl proxy`.
        kubernetes_api: Option<Parsed<WebAddress>> = None => "inside a cluster, its own",
        /// Address of the cluster's API. Kubernetes sets it in every pod.
        kubernetes_service_host: Option<String> = None,
        /// Port of the cluster's API. Kubernetes sets it in every pod.
        kubernetes_service_port: String = "443".to_owned(),
        /// Namespace of the pods to look at; without it, pods of all namespaces.
        pod_namespace: Option<String> = None,
    }
}

/// The API server, and which pods to ask it about.
#[derive(Clone, Debug)]
pub(crate) struct KubernetesSettings {
    api: Option<String>,
    pub(crate) namespace: Option<String>,
}

impl KubernetesSettings {
    /// Loads `KUBERNETES_API`, `POD_NAMESPACE` and what Kubernetes itself sets.
    pub(crate) fn load(loader: &mut Loader<'_>) -> Self {
        let variables: KubernetesVariables = loader.load();
        let in_cluster = variables.in_cluster();
        Self {
            api: variables.kubernetes_api.map(address_of).or(in_cluster),
            namespace: variables.pod_namespace,
        }
    }

    /// The address of the pods; none outside a cluster.
    pub(crate) fn pods(&self) -> Option<String> {
        let api = self.api.as_ref()?;
        Some(match &self.namespace {
            Some(namespace) => format!("{api}/api/v1/namespaces/{namespace}/pods"),
            None => format!("{api}/api/v1/pods"),
        })
    }
}

impl KubernetesVariables {
    /// The cluster's own address.
    fn in_cluster(&self) -> Option<String> {
        let host = self.kubernetes_service_host.as_ref()?;
        let port = &self.kubernetes_service_port;
        Some(if host.contains(':') {
            format!("https://[{host}]:{port}")
        } else {
            format!("https://{host}:{port}")
        })
    }
}

/// A client of the API.
pub(crate) struct Kubernetes {
    client: reqwest::Client,
    pods: String,
}

#[derive(Deserialize)]
struct PodList {
    metadata: ListMetadata,
    items: Vec<Pod>,
}

#[derive(Deserialize)]
struct ListMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: PodMetadata,
    status: PodStatus,
}

#[derive(Deserialize)]
struct PodMetadata {
    name: String,
}

#[derive(Deserialize)]
struct PodStatus {
    phase: Option<String>,
}

impl Kubernetes {
    /// A client for pods at this address. In a cluster its authority vouches for the server.
    pub(crate) fn open(pods: String) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder().timeout(TIME_LIMIT);
        if let Ok(pem) = std::fs::read(Path::new(SERVICE_ACCOUNT).join("ca.crt")) {
            let authority = reqwest::Certificate::from_pem(&pem)
                .context("the cluster's certificate authority")?;
            builder = builder.tls_certs_merge([authority]);
        }
        Ok(Self {
            client: builder.build()?,
            pods,
        })
    }

    /// The names of all pods that run.
    ///
    /// # Errors
    ///
    /// Whatever keeps the list from being complete: it is unknown then who runs, which is not the same as nobody.
    pub(crate) async fn running_pods(&self) -> anyhow::Result<HashSet<String>> {
        let mut running = HashSet::new();
        let mut next = String::new();
        loop {
            let page = self.page(&next).await?;
            let alive = page
                .items
                .into_iter()
                .filter(|pod| pod.status.phase.as_deref() == Some("Running"));
            running.extend(alive.map(|pod| pod.metadata.name));
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(token) => next = token,
                None => return Ok(running),
            }
        }
    }

    /// Writes an annotation of a pod.
    ///
    /// # Errors
    ///
    /// An API that does not answer, or does not let the pod be changed.
    pub(crate) async fn annotate(&self, pod: &str, name: &str, value: &str) -> anyhow::Result<()> {
        let patch = serde_json::json!({"metadata": {"annotations": {name: value}}});
        let request = self
            .client
            .patch(format!("{}/{pod}", self.pods))
            .body(patch.to_string());
        let request = request.header("content-type", "application/merge-patch+json");
        self.send(request, "get and patch").await.map(drop)
    }

    async fn page(&self, next: &str) -> anyhow::Result<PodList> {
        let mut url: url::Url = self
            .pods
            .parse()
            .context("the address of the Kubernetes API")?;
        url.query_pairs_mut()
            .append_pair("limit", &PAGE.to_string());
        if !next.is_empty() {
            url.query_pairs_mut().append_pair("continue", next);
        }
        let response = self.send(self.client.get(url), "get and list").await?;
        let body = response
            .bytes()
            .await
            .map_err(reqwest::Error::without_url)
            .context("the Kubernetes API")?;
        serde_json::from_slice(&body).context("the Kubernetes API sent no list of pods")
    }

    /// The answer to a request that the service account needs these rights to pods for.
    async fn send(
        &self,
        mut request: reqwest::RequestBuilder,
        rights: &str,
    ) -> anyhow::Result<reqwest::Response> {
        if let Some(token) = token() {
            request = request.bearer_auth(token.expose_secret());
        }
        let response = request
            .send()
            .await
            .map_err(reqwest::Error::without_url)
            .context("the Kubernetes API")?;
        let status = response.status();
        if status.as_u16() == 403 {
            bail!("the Kubernetes API answers {status}: let the service account {rights} pods");
        }
        if !status.is_success() {
            bail!("the Kubernetes API answers {status}");
        }
        Ok(response)
    }
}

/// Tokens are renewed by Kubernetes now and then, so they are read each time.
fn token() -> Option<SecretString> {
    let text = std::fs::read_to_string(Path::new(SERVICE_ACCOUNT).join("token")).ok()?;
    Some(SecretString::from(text.trim()))
}

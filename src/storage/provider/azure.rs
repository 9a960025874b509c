//! Azure Blob Storage.

use std::fmt;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use object_store::azure::{
    AzureAccessKey, AzureAuthorizer, AzureConfigKey, AzureCredential, MicrosoftAzureBuilder,
    split_sas,
};
use object_store::client::HttpRequest;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::super::content_type::content_type;
use super::super::transport::{Dialect, error_word};
use super::store::{BoxError, CloudOptions, Store, client_options, no_retries};
use crate::settings::{Loader, Parsed, Secret, WebAddress, address_of};

/// The scheme of container URLs.
pub(super) const SCHEME: &str = "az";

/// The word in metrics.
pub(super) const LABEL: &str = "azure";

/// The error code of a container that does not exist.
pub(super) const NO_BUCKET: &str = "ContainerNotFound";

/// The error code of blocks that are not, or no longer, waiting to be put together.
pub(super) const NO_UPLOAD: &str = "InvalidBlockList";

/// The type of a blob, on requests whose own body is of another.
const BLOB_CONTENT_TYPE: &str = "x-ms-blob-content-type";

crate::settings! {
    /// Access to Azure Blob Storage.
    struct AzureVariables {
        /// Storage account of the container; needed with `az://`.
        azure_storage_account: Option<String> = None => "that of `AZURE_STORAGE_ACCOUNT_NAME`",
        /// Counts if `AZURE_STORAGE_ACCOUNT` is not set.
        azure_storage_account_name: Option<String> = None,
        /// Key of the account; without it, the SAS token is used.
        azure_storage_key: Option<Secret> = None => "that of `AZURE_STORAGE_ACCOUNT_KEY`",
        /// Counts if `AZURE_STORAGE_KEY` is not set.
        azure_storage_account_key: Option<Secret> = None,
        /// Shared access signature; without it, the identity of the pod is used.
        azure_storage_sas_token: Option<Secret> = None,
        /// Address of the blob service, for other clouds and emulators.
        azure_storage_endpoint: Option<Parsed<WebAddress>> = None,
        /// Client ID of the workload identity or the managed identity of the pod.
        azure_client_id: Option<String> = None,
        /// Tenant ID of the workload identity. Its webhook sets it.
        azure_tenant_id: Option<String> = None,
        /// File with the token of the workload identity. Its webhook sets it.
        azure_federated_token_file: Option<String> = None,
        /// Where the workload identity is exchanged for an access token. Its webhook sets it.
        azure_authority_host: Option<Parsed<WebAddress>> = None,
    }
}

/// How to reach and satisfy Azure Blob Storage.
#[derive(Clone, Debug)]
pub(in super::super) struct AzureSettings {
    /// Empty if it is not set.
    account: String,
    key: Option<SecretString>,
    sas_token: Option<SecretString>,
    endpoint: Option<String>,
    identity: AzureIdentity,
}

/// The identity of a workload, which in Kubernetes its webhook sets; what is left out is asked of the machine.
#[derive(Clone, Debug)]
struct AzureIdentity {
    client_id: Option<String>,
    tenant_id: Option<String>,
    token_file: Option<String>,
    authority_host: Option<String>,
}

impl AzureSettings {
    /// Loads the variables of Azure's tools; what is wrong with them is left with the loader.
    pub(super) fn load(loader: &mut Loader<'_>) -> Self {
        let variables: AzureVariables = loader.load();
        if variables.azure_storage_account.is_none() {
            loader.fall_back("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME");
        }
        if variables.azure_storage_key.is_none() {
            loader.fall_back("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY");
        }
        let account = variables
            .azure_storage_account
            .or(variables.azure_storage_account_name);
        let key_name = if variables.azure_storage_key.is_some() {
            "AZURE_STORAGE_KEY"
        } else {
            "AZURE_STORAGE_ACCOUNT_KEY"
        };
        let key = variables
            .azure_storage_key
            .or(variables.azure_storage_account_key);
        let settings = Self {
            account: account.unwrap_or_default(),
            key: key.map(|Secret(key)| key),
            sas_token: variables.azure_storage_sas_token.map(|Secret(token)| token),
            endpoint: variables.azure_storage_endpoint.map(address_of),
            identity: AzureIdentity {
                client_id: variables.azure_client_id,
                tenant_id: variables.azure_tenant_id,
                token_file: variables.azure_federated_token_file,
                authority_host: variables.azure_authority_host.map(address_of),
            },
        };
        settings.check_secrets(loader, key_name);
        settings
    }

    /// Reports what is missing if the bucket is a container of Azure.
    pub(super) fn check(&self, loader: &mut Loader<'_>) {
        if self.account.is_empty() {
            loader.problem(
                "AZURE_STORAGE_ACCOUNT",
                "is missing though STORAGE_BUCKET is on Azure",
            );
        }
    }

    /// Secrets of the wrong form, which are not repeated; `key_name` is the variable that the key is from.
    fn check_secrets(&self, loader: &mut Loader<'_>, key_name: &'static str) {
        let key = self.key.as_ref().map(ExposeSecret::expose_secret);
        if key.is_some_and(|key| AzureAccessKey::try_new(key).is_err()) {
            loader.problem(key_name, "is not an account key: expected base64");
        }
        let token = self.sas_token.as_ref().map(ExposeSecret::expose_secret);
        if token.is_some_and(|token| split_sas(token).is_err()) {
            loader.problem(
                "AZURE_STORAGE_SAS_TOKEN",
                "is not a shared access signature: expected sv=…&sig=…",
            );
        }
    }

    fn blob_service(&self) -> String {
        let own = || format!("https://{}.blob.core.windows.net", self.account);
        self.endpoint.clone().unwrap_or_else(own)
    }
}

/// What public URLs begin with when the operator names nothing else.
pub(super) fn default_public_url(container: &str, settings: &AzureSettings) -> String {
    format!("{}/{container}", settings.blob_service())
}

/// What else the cloud's own addresses of the container begin with: those of the account, its copy in another region, and
/// its files.
pub(super) fn other_addresses(container: &str, settings: &AzureSettings) -> Vec<String> {
    let account = &settings.account;
    ["blob", "dfs"]
        .iter()
        .flat_map(|service| [("", service), ("-secondary", service)])
        .map(|(copy, service)| {
            format!("https://{account}{copy}.{service}.core.windows.net/{container}")
        })
        .collect()
}

/// A client for the container.
pub(super) fn open(
    container: &str,
    settings: &AzureSettings,
    options: CloudOptions<'_>,
) -> Result<Store, BoxError> {
    // Requests go to the address as this parser writes it, and are told apart from others by it.
    let endpoint = Url::parse(&settings.blob_service())?;
    let endpoint = endpoint.as_str().trim_end_matches('/');
    let dialect = Azure::new(settings)?;
    let builder = MicrosoftAzureBuilder::new()
        .with_account(&settings.account)
        .with_container_name(container)
        .with_endpoint(endpoint.to_owned())
        .with_client_options(client_options(endpoint))
        .with_retry(no_retries())
        .with_http_connector(options.connector(endpoint, dialect));
    let client = with_credentials(builder, settings)?.build()?;
    Ok(Store::cloud(client))
}

/// The account's key, else the signature, else an identity: the client would take them in another order.
fn with_credentials(
    builder: MicrosoftAzureBuilder,
    settings: &AzureSettings,
) -> Result<MicrosoftAzureBuilder, BoxError> {
    if let Some(key) = &settings.key {
        return Ok(builder.with_access_key(key.expose_secret()));
    }
    if let Some(token) = &settings.sas_token {
        return Ok(builder.with_sas_authorization(split_sas(token.expose_secret())?));
    }
    let identity = &settings.identity;
    let settings = [
        (AzureConfigKey::ClientId, &identity.client_id),
        (AzureConfigKey::AuthorityId, &identity.tenant_id),
        (AzureConfigKey::FederatedTokenFile, &identity.token_file),
        (AzureConfigKey::AuthorityHost, &identity.authority_host),
    ];
    let set = settings
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_ref()?)));
    Ok(set.fold(builder, |builder, (key, value)| {
        builder.with_config(key, value)
    }))
}

/// Names the type of a blob that is put together from blocks, for which the client has no way.
struct Azure {
    account: String,
    /// The account's key, if requests are signed with it: the header is part of the signature.
    key: Option<AzureCredential>,
}

impl Azure {
    fn new(settings: &AzureSettings) -> Result<Self, BoxError> {
        let key = settings.key.as_ref().map(ExposeSecret::expose_secret);
        let key = key.map(AzureAccessKey::try_new).transpose()?;
        Ok(Self {
            account: settings.account.clone(),
            key: key.map(AzureCredential::AccessKey),
        })
    }
}

/// Without the key.
impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Azure")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Dialect for Azure {
    async fn apply(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        if !puts_blocks_together(request) {
            return Ok(());
        }
        let content_type = content_type(request.uri().path());
        let headers = request.headers_mut();
        headers.insert(BLOB_CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(key) = &self.key {
            headers.remove(AUTHORIZATION);
            AzureAuthorizer::new(key, &self.account).try_authorize(request)?;
        }
        Ok(())
    }

    /// In the head, since an answer to `HEAD` has no body.
    fn error_code(&self, headers: &HeaderMap, _: &[u8]) -> Option<String> {
        error_word(headers.get("x-ms-error-code")?.to_str().ok()?)
    }
}

fn puts_blocks_together(request: &HttpRequest) -> bool {
    let mut query = request.uri().query().unwrap_or_default().split('&');
    request.method().as_str() == "PUT" && query.any(|pair| pair == "comp=blocklist")
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::request;
    use super::*;
    use crate::settings::Env;

    fn load(pairs: &[(&str, &str)]) -> (AzureSettings, Option<String>) {
        let env: Env = pairs.iter().copied().collect();
        let mut loader = Loader::new(&env);
        let settings = AzureSettings::load(&mut loader);
        settings.check(&mut loader);
        let problems = loader.finish().err();
        (settings, problems.map(|problems| problems.to_string()))
    }

    #[test]
    fn an_account_is_needed_and_secrets_of_the_wrong_form_are_not_repeated() {
        let account = ("AZURE_STORAGE_ACCOUNT", "cells");
        assert_eq!(load(&[account]).1, None);
        assert_eq!(load(&[("AZURE_STORAGE_ACCOUNT_NAME", "cells")]).1, None);
        for (pair, expected) in [
            (("X", ""), "AZURE_STORAGE_ACCOUNT: is missing"),
            (("AZURE_STORAGE_KEY", "hunter2!"), "AZURE_STORAGE_KEY: "),
            (
                ("AZURE_STORAGE_ACCOUNT_KEY", "hunter2!"),
                "AZURE_STORAGE_ACCOUNT_KEY: ",
            ),
            (
                ("AZURE_STORAGE_SAS_TOKEN", "hunter2!"),
                "AZURE_STORAGE_SAS_TOKEN: ",
            ),
        ] {
            let pairs = if pair.0 == "X" {
                vec![]
            } else {
                vec![account, pair]
            };
            let problems = load(&pairs).1.expect(expected);
            assert!(
                problems.contains(expected) && !problems.contains("hunter2"),
                "{problems}"
            );
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        let (settings, _) = load(&[
            ("AZURE_STORAGE_ACCOUNT", "cells"),
            ("AZURE_STORAGE_KEY", "c2VjcmV0"),
            ("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=hunter2"),
        ]);
        let dialect = Azure::new(&settings).expect("a good key");
        let text = format!("{settings:?} {dialect:?}");
        for secret in ["c2VjcmV0", "hunter2", "115, 101"] {
            assert!(!text.contains(secret), "{text}");
        }
    }

    #[test]
    fn public_urls_are_below_the_account_or_the_endpoint() {
        let account = ("AZURE_STORAGE_ACCOUNT", "cells");
        let endpoint = ("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:10000/cells/");
        assert_eq!(
            default_public_url("images", &load(&[account]).0),
            "https://cells.blob.core.windows.net/images"
        );
        assert_eq!(
            default_public_url("images", &load(&[account, endpoint]).0),
            "http://127.0.0.1:10000/cells/images"
        );
    }

    #[test]
    fn a_type_is_named_where_blocks_become_a_blob() {
        let names = |method, target| puts_blocks_together(&request(method, target));
        assert!(names("PUT", "https://h/c/k?comp=blocklist&sv=1"));
        assert!(!names("PUT", "https://h/c/k?comp=block&blockid=MQ%3D%3D"));
        assert!(!names("PUT", "https://h/c/k") && !names("GET", "https://h/c/k?comp=blocklist"));
    }
}

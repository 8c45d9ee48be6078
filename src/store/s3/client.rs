//! From a configuration to a client of the AWS SDK.

use crate::config::S3Config;
use crate::error::{Error, Status};
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::{
    RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient, StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_types::retry::RetryConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The region that servers other than AWS are told where none is configured: they want a name, whatever it is.
const ANY_REGION: &str = "us-east-1";

/// A client that sends each request once.
pub struct Connected {
    pub client: aws_sdk_s3::Client,
    /// Where requests go to, where that is not AWS's own.
    pub endpoint: Option<String>,
    /// Where the credentials were found, for people.
    pub credentials: &'static str,
}

pub async fn connect(config: &S3Config) -> Result<Connected, Error> {
    let has_keys = keys(config)?.is_some();
    connect_over(http_client(config, has_keys)?, config).await
}

/// The same by way of this HTTP client.
pub async fn connect_over(http: SharedHttpClient, config: &S3Config) -> Result<Connected, Error> {
    if let Some(endpoint) = &config.endpoint {
        check_endpoint(endpoint)?;
    }
    let keys = keys(config)?;
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(timeouts);
    if let Some(keys) = keys {
        loader = loader.credentials_provider(keys);
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &config.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let shared = loader.load().await;
    let credentials = source(&find_credentials(&shared).await?);

    let mut builder = aws_sdk_s3::config::Builder::from(&shared)
        // The engine repeats what may be repeated: it alone knows what a second attempt means.
        .retry_config(RetryConfig::disabled())
        // The engine bounds every wait.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Servers other than AWS refuse bodies with checksums at their end.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .force_path_style(config.force_path_style);
    if shared.region().is_none() {
        if shared.endpoint_url().is_none() {
            return Err(
                Error::invalid("no region is configured: set `region`, AWS_REGION or the profile's region").with("member", "region")
            );
        }
        builder = builder.region(Region::from_static(ANY_REGION));
    }
    // One from the environment may hold anything, a password too: then it is not for messages.
    let endpoint = shared.endpoint_url().filter(|endpoint| check_endpoint(endpoint).is_ok()).map(str::to_owned);
    Ok(Connected { client: aws_sdk_s3::Client::from_conf(builder.build()), endpoint, credentials })
}

fn check_endpoint(endpoint: &str) -> Result<(), Error> {
    let wrong = |why: &str| Err(Error::invalid(format!("`endpoint` {why}")).with("member", "endpoint"));
    let Some(authority) = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://")) else {
        return wrong("must begin with https:// or http://");
    };
    let host = authority.split('/').next().unwrap_or_default();
    if host.contains('@') {
        return wrong("must not hold credentials: use `access_key_id` and `secret_access_key`");
    }
    if host.is_empty() || authority.contains(['?', '#', ' ']) {
        return wrong("must be a scheme, a host and perhaps a port and a path");
    }
    Ok(())
}

/// The keys that are configured, if any are.
fn keys(config: &S3Config) -> Result<Option<Credentials>, Error> {
    match (&config.access_key_id, &config.secret_access_key) {
        (Some(id), Some(secret)) => Ok(Some(Credentials::new(id, secret, config.session_token.clone(), None, "opjournal configuration"))),
        (None, None) if config.session_token.is_none() => Ok(None),
        (None, _) => Err(Error::invalid("`access_key_id` is missing").with("member", "access_key_id")),
        (_, None) => Err(Error::invalid("`secret_access_key` is missing").with("member", "secret_access_key")),
    }
}

/// An HTTP client with its own connections, which heeds the usual proxy variables.
fn http_client(config: &S3Config, has_keys: bool) -> Result<SharedHttpClient, Error> {
    // Where nothing is reached by TLS, no certificates are needed.
    let is_plain = has_keys && config.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut trusted = TrustStore::default().with_native_roots(!is_plain);
    if let Some(path) = &config.ca_bundle {
        trusted.add_pem_certificate(read_certificates(path)?);
    }
    let tls = TlsContext::builder().with_trust_store(trusted).build();
    let tls = tls.map_err(|error| Error::new(Status::Internal, format!("TLS cannot be set up: {error}")))?;
    let proxies = ProxyConfig::from_env();
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(proxies.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls.clone()).build()
    }))
}

/// The text of a file of certificates, once it is sure that all of them can be used: the HTTP client would panic.
fn read_certificates(path: &Path) -> Result<Vec<u8>, Error> {
    let wrong = |why: String| Error::invalid(format!("`ca_bundle` {}: {why}", path.display())).with("member", "ca_bundle");
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| wrong(format!("{error:?}")))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("holds no certificate in PEM form".to_owned()));
    }
    Ok(text)
}

async fn find_credentials(shared: &aws_config::SdkConfig) -> Result<Credentials, Error> {
    let Some(provider) = shared.credentials_provider() else {
        return Err(Error::new(Status::Denied, NO_CREDENTIALS));
    };
    match provider.provide_credentials().await {
        Ok(credentials) => Ok(credentials),
        Err(error) => {
            let (is_lasting, message) = explain(&error);
            Err(Error::new(if is_lasting { Status::Denied } else { Status::Unavailable }, message))
        }
    }
}

/// Where credentials were found, as far as the SDK tells: of those that were got by way of others, the last way.
fn source(credentials: &Credentials) -> &'static str {
    use AwsCredentialFeature as Feature;
    let ways = credentials.get_property::<Vec<Feature>>().map_or(&[][..], Vec::as_slice);
    match ways.last() {
        None | Some(Feature::CredentialsCode) => "the configuration",
        Some(Feature::CredentialsEnvVars) => "the environment",
        Some(
            Feature::CredentialsProfile
            | Feature::CredentialsProfileSourceProfile
            | Feature::CredentialsProfileNamedProvider
            | Feature::CredentialsProfileProcess,
        ) => "a profile file",
        Some(Feature::CredentialsProfileSso | Feature::CredentialsSso) => "single sign-on",
        Some(Feature::CredentialsProcess) => "a program of the profile",
        Some(Feature::CredentialsHttp) => "the container's role",
        Some(Feature::CredentialsImds) => "the machine's role",
        Some(
            Feature::CredentialsEnvVarsStsWebIdToken | Feature::CredentialsProfileStsWebIdToken | Feature::CredentialsStsAssumeRoleWebId,
        ) => "a role by web identity",
        Some(Feature::CredentialsStsAssumeRole | Feature::CredentialsStsAssumeRoleSaml) => "a role",
        Some(_) => "the SDK's chain",
    }
}

const NO_CREDENTIALS: &str = "no credentials were found in the configuration, the environment, the profile files or the machine's role";

/// Whether a failure to get credentials lasts until someone acts, and what it is.
pub fn explain(error: &CredentialsError) -> (bool, String) {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => (true, NO_CREDENTIALS.to_owned()),
        CredentialsError::InvalidConfiguration(_) => (true, format!("the configuration of the credentials is invalid: {}", chain(error))),
        _ => (false, format!("the credentials cannot be fetched: {}", chain(error))),
    }
}

/// An error and its causes, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source()).map(|error| error.to_string());
    let mut line = String::new();
    for cause in causes {
        // Many errors repeat their cause.
        if !line.contains(&cause) {
            line.push_str(if line.is_empty() { "" } else { ": " });
            line.push_str(&cause);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_plain_url() {
        for right in ["http://127.0.0.1:9000", "https://s3.example.com/", "https://host/base"] {
            check_endpoint(right).expect(right);
        }
        for wrong in ["s3.example.com", "ftp://host", "https://", "http://id:secret@host", "http://host?x=1"] {
            let error = check_endpoint(wrong).expect_err(wrong);
            assert_eq!(error.status, Status::Invalid);
            assert!(!error.message.contains("secret@"), "{error}");
        }
    }

    #[test]
    fn half_a_pair_of_keys_is_refused_by_name() {
        let config = S3Config { access_key_id: Some("id".into()), ..S3Config::default() };
        assert_eq!(keys(&config).expect_err("no secret").details["member"], "secret_access_key");
        let config = S3Config { session_token: Some("token".into()), ..S3Config::default() };
        assert_eq!(keys(&config).expect_err("no keys").details["member"], "access_key_id");
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("bundle.pem");
        assert_eq!(read_certificates(&path).expect_err("no file").status, Status::Invalid);
        for text in
            ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n"]
        {
            std::fs::write(&path, text).expect("written");
            assert_eq!(read_certificates(&path).expect_err(text).details["member"], "ca_bundle");
        }
    }
}

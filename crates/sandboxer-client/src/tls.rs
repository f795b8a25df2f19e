//! Whom to trust.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use sandboxer_model::error::{ErrorCode, UserError};

/// More than any list of authorities has.
const MOST_BYTES: u64 = 16 << 20;

/// TLS that trusts the authorities of this file, else those of this machine.
///
/// # Errors
/// `InvalidInput`: the file holds none. `MissingPrerequisite`: the machine has none.
pub(crate) fn trusting(file: Option<&Path>) -> Result<ClientConfig, UserError> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            for certificate in read(file)? {
                roots
                    .add(certificate)
                    .map_err(|error| useless(file, &error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(useless(file, "it holds no certificate in PEM form"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let what = "this machine trusts no certificate authority";
                return Err(UserError::new(ErrorCode::MissingPrerequisite, what)
                    .hint("install ca-certificates, or name a file of authorities in SANDBOXER_API_CA"));
            }
        }
    }
    with(roots)
}

/// TLS that trusts nobody, for servers that are spoken to without.
///
/// # Errors
/// `Internal`.
pub(crate) fn none() -> Result<ClientConfig, UserError> {
    with(RootCertStore::empty())
}

/// Whether this is about TLS: what is not trusted now is not trusted a moment later.
pub(crate) fn is_about_trust(error: &(dyn std::error::Error + 'static)) -> bool {
    // An error of input and output that holds another does not show it as its source.
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || held.is_some_and(|inner| is_about_trust(inner))
        || error.source().is_some_and(is_about_trust)
}

fn with(roots: RootCertStore) -> Result<ClientConfig, UserError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| UserError::new(ErrorCode::Internal, format!("cannot set up TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, UserError> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(MOST_BYTES).read_to_end(&mut bytes))
        .map_err(|error| useless(file, &error.to_string()))?;
    CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| useless(file, &error.to_string()))
}

fn useless(file: &Path, why: &str) -> UserError {
    let what = format!("no certificate authority can be read from {}: {why}", file.display());
    UserError::new(ErrorCode::InvalidInput, what)
        .hint("name a file in PEM form in SANDBOXER_API_CA, or unset it to trust what this machine trusts")
}

//! A certificate for one run.

use std::{fs, path::Path, path::PathBuf};

use anyhow::Context as _;
use tonic::transport::{Certificate, ClientTlsConfig};

const NAME: &str = "svc-ledger";

/// A certificate that signs itself, and where the service finds it.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    pem: String,
}

impl Tls {
    /// Writes a new one into `folder`.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub(crate) fn generate(folder: &Path) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).context("a certificate")?;
        let tls = Self {
            cert: folder.join("tls.crt"),
            key: folder.join("tls.key"),
            pem: made.cert.pem(),
        };
        fs::write(&tls.cert, &tls.pem)?;
        fs::write(&tls.key, made.signing_key.serialize_pem())?;
        Ok(tls)
    }

    /// What the service is told.
    pub(crate) fn env(&self) -> [(String, String); 2] {
        [("TLS_CERT", &self.cert), ("TLS_KEY", &self.key)]
            .map(|(name, file)| (name.to_owned(), file.to_string_lossy().into_owned()))
    }

    /// What the generator believes.
    pub(crate) fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.pem))
            .domain_name(NAME)
    }
}

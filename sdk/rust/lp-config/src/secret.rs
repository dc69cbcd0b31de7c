//! URLs that may hold a password.

use std::{fmt, str::FromStr};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// A URL that may hold a password. It prints without user, password and query.
#[derive(Clone)]
pub struct SecretUrl {
    secret: SecretString,
    shown: String,
}

impl SecretUrl {
    /// The whole URL, password included.
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    /// The user that the URL names, percent-decoded by nobody: role names here are plain.
    pub fn username(&self) -> Option<String> {
        let url = Url::parse(self.expose()).ok()?;
        Some(url.username().to_owned()).filter(|u| !u.is_empty())
    }

    /// The password that the URL holds.
    pub fn password(&self) -> Option<SecretString> {
        let url = Url::parse(self.expose()).ok()?;
        url.password().map(|p| SecretString::from(p.to_owned()))
    }

    /// The path without its slash: the database.
    pub fn path(&self) -> Option<String> {
        let url = Url::parse(self.expose()).ok()?;
        Some(url.path().trim_start_matches('/').to_owned()).filter(|p| !p.is_empty())
    }
}

impl FromStr for SecretUrl {
    /// Never holds the text itself: it may be a secret.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|e| format!("not a URL: {e}"))?;
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
        let shown = format!("{}://{host}{port}{}", url.scheme(), url.path());
        Ok(Self {
            secret: SecretString::from(text.to_owned()),
            shown,
        })
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_print() {
        let url: SecretUrl = "postgres://ledger_app:hunter2@db:5432/localplus?password=hunter2"
            .parse()
            .unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "postgres://db:5432/localplus postgres://db:5432/localplus"
        );
        assert_eq!(url.username().as_deref(), Some("ledger_app"));
        assert_eq!(url.path().as_deref(), Some("localplus"));
        assert_eq!(url.password().unwrap().expose_secret(), "hunter2");
    }

    #[test]
    fn a_malformed_secret_does_not_print() {
        assert!(!"hunter2".parse::<SecretUrl>().unwrap_err().contains("hunter2"));
    }
}

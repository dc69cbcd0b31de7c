//! The settings: whose tokens are believed, and how a token of our own is asked for.

use clap::{Args, builder::NonEmptyStringValueParser};
use secrecy::SecretString;
use url::Url;

/// Whose tokens are believed.
#[derive(Debug, Clone, Args)]
pub struct AuthConfig {
    /// Who issues the tokens of callers: the exact `iss`.
    #[arg(long, env = "AUTH_ISSUER", value_parser = NonEmptyStringValueParser::new())]
    pub auth_issuer: String,
    /// For whom they must be: one of the `aud`.
    #[arg(long, env = "AUTH_AUDIENCE", value_parser = NonEmptyStringValueParser::new())]
    pub auth_audience: String,
    /// Where the issuer's public keys are, http:// or https://.
    #[arg(long, env = "AUTH_JWKS_URL", value_parser = http_url)]
    pub auth_jwks_url: Url,
}

/// How a service that calls others asks for its own token.
#[derive(Debug, Clone, Args)]
pub struct ClientConfig {
    /// Where the issuer gives tokens, http:// or https://.
    #[arg(long, env = "AUTH_TOKEN_URL", value_parser = http_url)]
    pub auth_token_url: Url,
    /// Who we are to the issuer.
    #[arg(long, env = "AUTH_CLIENT_ID", value_parser = NonEmptyStringValueParser::new())]
    pub auth_client_id: String,
    /// What proves it.
    #[arg(long, env = "AUTH_CLIENT_SECRET", hide_env_values = true, value_parser = secret)]
    pub auth_client_secret: SecretString,
}

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("not a URL: {e}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err("must begin with http:// or https://".to_owned()),
    }
}

/// Refuses the empty one only: clap prints what it refuses.
fn secret(text: &str) -> Result<SecretString, &'static str> {
    if text.is_empty() {
        Err("must not be empty")
    } else {
        Ok(SecretString::from(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        auth: AuthConfig,
        #[command(flatten)]
        client: ClientConfig,
    }

    fn parse(jwks_url: &str, secret: &str) -> Result<Cli, clap::Error> {
        let given = [
            ("--auth-issuer", "https://issuer.test"),
            ("--auth-audience", "localplus"),
            ("--auth-jwks-url", jwks_url),
            ("--auth-token-url", "https://issuer.test/token"),
            ("--auth-client-id", "svc-test"),
            ("--auth-client-secret", secret),
        ];
        Cli::try_parse_from(std::iter::once("x").chain(given.into_iter().flat_map(|(k, v)| [k, v])))
    }

    #[test]
    fn the_secret_does_not_print() {
        let cli = parse("https://issuer.test/jwks.json", "hunter2").unwrap();
        let shown = format!("{cli:?}");
        assert!(
            shown.contains("svc-test") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (url, secret, named) in [
            ("ftp://issuer.test/jwks.json", "hunter2", "AUTH_JWKS_URL"),
            ("nowhere", "hunter2", "AUTH_JWKS_URL"),
            ("https://issuer.test/jwks.json", "", "AUTH_CLIENT_SECRET"),
        ] {
            let error = parse(url, secret).unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn every_setting_is_documented() {
        for table in [
            lp_config::table::<AuthConfig>(),
            lp_config::table::<ClientConfig>(),
        ] {
            assert_eq!(table.matches("| required |").count(), 3, "{table}");
        }
    }
}

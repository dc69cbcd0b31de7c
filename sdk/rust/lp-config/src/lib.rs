//! Configuration from environment variables, read by clap.
//!
//! Owns: the groups of settings that services share ([`Serve`], [`Telemetry`], [`Database`], …), the type
//! for settings that must not be printed ([`SecretUrl`]), and [`table`], which documents a configuration
//! from the very struct that is parsed. A service flattens the groups that it needs into its own struct.
//! clap prints `--help`, and names what is missing or malformed before anything starts.
//!
//! Invariants and the tests that hold them:
//! - a secret does not print, also not when it is malformed: `secret::tests`,
//!   `tests::the_secret_of_a_client_does_not_print`;
//! - every setting has an environment variable and a sentence: `tests::every_setting_is_documented`.

mod groups;
mod secret;
mod table;

pub use groups::{
    Admin, Auth, Client, Common, Database, Kafka, LogFormat, Owner, Serve, SslMode, Telemetry, Valkey,
};
pub use secret::SecretUrl;
pub use table::{settings, table};

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Args)]
    struct Everything {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        owner: Owner,
        #[command(flatten)]
        admin: Admin,
        #[command(flatten)]
        valkey: Valkey,
        #[command(flatten)]
        client: Client,
    }

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        everything: Everything,
    }

    #[test]
    fn every_setting_is_documented() {
        let settings = settings::<Everything>();
        assert!(settings.len() > 15);
        for setting in &settings {
            assert!(
                !setting.variable.is_empty() && !setting.help.is_empty(),
                "{setting:?}"
            );
        }
        assert!(table::<Everything>().contains("| `DATABASE_URL` | required |"));
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        use clap::Parser;
        let missing = Cli::try_parse_from(["x"]).unwrap_err().to_string();
        assert!(
            missing.contains("<DATABASE_URL>") && missing.contains("<KAFKA_BROKERS>"),
            "{missing}"
        );
        let malformed = Cli::try_parse_from(["x", "--grpc-addr", "nowhere"])
            .unwrap_err()
            .to_string();
        assert!(malformed.contains("<GRPC_ADDR>"), "{malformed}");
        let secret = Cli::try_parse_from(["x", "--database-url", "hunter2"])
            .unwrap_err()
            .to_string();
        assert!(secret.contains("<DATABASE_URL>"), "{secret}");
        for (option, value, named) in [
            ("--auth-jwks-url", "ftp://issuer.test/jwks.json", "AUTH_JWKS_URL"),
            ("--auth-token-url", "nowhere", "AUTH_TOKEN_URL"),
            ("--auth-issuer", "", "AUTH_ISSUER"),
            ("--auth-client-secret", "", "AUTH_CLIENT_SECRET"),
        ] {
            let error = Cli::try_parse_from(["x", option, value]).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn the_secret_of_a_client_does_not_print() {
        use clap::Parser;
        #[derive(Debug, Parser)]
        struct Cli {
            #[command(flatten)]
            client: Client,
        }
        let given = [
            ["--auth-token-url", "https://issuer.test/token"],
            ["--auth-client-id", "svc-test"],
            ["--auth-client-secret", "hunter2"],
        ];
        let cli = Cli::try_parse_from(["x"].into_iter().chain(given.into_iter().flatten())).unwrap();
        let shown = format!("{cli:?}");
        assert!(
            shown.contains("svc-test") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

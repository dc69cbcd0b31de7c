//! The small issuer of tokens (`e2e/src/bin/issuer.rs`), and who gets which from it.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{CLIENT_SECRET, FLEET, Plan, Service};
use crate::process::{Process, Spec};
use crate::{http, ports};

/// Where the fleet on fixed ports has it.
pub(super) const PORT: u16 = 7100;

pub(super) const BINARY: &str = "issuer";

const AUDIENCE: &str = "localplus";

/// For tokens without a merchant: the request names the one whom it is for.
const ACT_FOR_MERCHANTS: &str = "platform.act-for-merchants";

/// What a merchant's own people may do: every scope of the contract but the operators'.
pub const MERCHANT_SCOPES: [&str; 19] = [
    "analytics.figures.read",
    "giftcard.cards.issue",
    "giftcard.cards.read",
    "giftcard.cards.redeem",
    "giftcard.products.read",
    "giftcard.products.write",
    "ledger.accounts.read",
    "ledger.accounts.write",
    "ledger.transactions.read",
    "ledger.transactions.write",
    "merchant.merchant.read",
    "merchant.merchant.write",
    "merchant.programs.read",
    "merchant.programs.write",
    "merchant.purchases.read",
    "merchant.purchases.write",
    "notification.notifications.read",
    "wallet.wallets.read",
    "wallet.wallets.write",
];

/// What only the platform's operators and services may do.
pub const PLATFORM_SCOPES: [&str; 2] = ["merchant.onboarding.write", "wallet.contacts.read"];

pub(super) fn token_url(plan: &Plan) -> String {
    format!("{}/token", plan.issuer_url())
}

/// Whose tokens a service believes, and how it gets its own.
pub(super) fn service_env(service: &Service, plan: &Plan) -> Vec<(String, String)> {
    let url = plan.issuer_url();
    let mut env = vec![
        ("AUTH_ISSUER", url.clone()),
        ("AUTH_AUDIENCE", AUDIENCE.to_owned()),
        ("AUTH_JWKS_URL", format!("{url}/jwks.json")),
    ];
    if !service.scopes.is_empty() {
        env.push(("AUTH_TOKEN_URL", token_url(plan)));
        env.push(("AUTH_CLIENT_ID", service.binary()));
        env.push(("AUTH_CLIENT_SECRET", CLIENT_SECRET.to_owned()));
    }
    env.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// What the issuer of a fleet elsewhere gets as `ISSUER_CLIENTS`: everybody who may ask it, each with this secret.
#[must_use]
pub fn issuer_clients(secret: &str) -> Value {
    clients(&FLEET, secret)
}

/// Each service that calls others with what it calls; a merchant's till, which names its merchant when it asks;
/// an operator of the platform.
fn clients(services: &[Service], secret: &str) -> Value {
    let for_merchants = |scopes: &[&'static str]| [scopes, &[ACT_FOR_MERCHANTS]].concat();
    let everything = [MERCHANT_SCOPES.as_slice(), &PLATFORM_SCOPES].concat();
    let mut clients = Map::new();
    for service in services.iter().filter(|service| !service.scopes.is_empty()) {
        let name = service.binary();
        let scopes = for_merchants(service.scopes);
        let client = json!({"secret": secret, "sub": name, "scopes": scopes});
        clients.insert(name, client);
    }
    let till = json!({"secret": secret, "sub": "till-1", "scopes": MERCHANT_SCOPES, "any_merchant": true});
    let operator = json!({"secret": secret, "sub": "operator-1", "scopes": for_merchants(&everything)});
    clients.insert("till".to_owned(), till);
    clients.insert("operator".to_owned(), operator);
    Value::Object(clients)
}

/// Starts it, and waits until it is ready.
pub(super) fn start(plan: &Plan, binaries: &Path, folder: &Path) -> anyhow::Result<Process> {
    let address = ports::loopback(plan.issuer_port);
    let mut spec = Spec::new(BINARY, binaries.join(BINARY), folder);
    spec.env = [
        ("ISSUER_ADDR", address.to_string()),
        ("ISSUER_URL", plan.issuer_url()),
        ("ISSUER_FOLDER", folder.join(BINARY).display().to_string()),
        ("ISSUER_AUDIENCE", AUDIENCE.to_owned()),
        (
            "ISSUER_CLIENTS",
            clients(&plan.services, CLIENT_SECRET).to_string(),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    let mut process = Process::spawn(spec)?;
    process.wait_ready(super::READY_LIMIT, || {
        http::get_status(address, "/healthz/ready") == Some(200)
    })?;
    Ok(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_the_scopes_of_its_calls_and_acts_for_merchants() {
        let clients = issuer_clients(CLIENT_SECRET);
        let scopes = |client: &str| clients[client]["scopes"].clone();
        assert_eq!(
            scopes("svc-notification"),
            json!(["wallet.contacts.read", ACT_FOR_MERCHANTS])
        );
        assert!(clients.get("svc-ledger").is_none(), "it calls nobody");
        let till = scopes("till");
        assert!(
            PLATFORM_SCOPES
                .iter()
                .all(|scope| !till.as_array().unwrap().contains(&json!(scope)))
        );
        assert!(!till.as_array().unwrap().contains(&json!(ACT_FOR_MERCHANTS)));
    }
}

//! Between the contract's messages and the service's types.

use email_address::{EmailAddress, Options};
use lp_contracts::{common::v1::Money, time::to_wire, wallet::v1};
use lp_error::{Error, InField, Result};

use crate::{
    application::get_balance::{Origin, Reading},
    infrastructure::postgres::{
        customers::{Contact, Language},
        wallets::Wallet,
    },
};

/// The longest address that SMTP carries (RFC 5321, 4.5.3.1.3, without its brackets).
const MAX_EMAIL: usize = 254;

pub(super) fn contact(contact: Option<v1::Contact>) -> Result<Contact> {
    let v1::Contact {
        email,
        language,
        messages_allowed,
    } = contact.in_field("contact")?;
    let language = Language::from_code(&language)
        .ok_or("must be fr or en")
        .in_field("contact.language")?;
    let email = if email.is_empty() { None } else { Some(email) };
    if email.as_deref().is_some_and(|email| !is_address(email)) {
        // The address itself stays out of the message: errors are logged.
        return Err(Error::invalid_field(
            "contact.email",
            "must be an e-mail address of at most 254 characters",
        ));
    }
    Ok(Contact {
        email,
        language,
        messages_allowed,
    })
}

/// What the mailer can write to, by the same rule as its own, less what nobody has: quoted local parts, address
/// literals, domains without a dot. Whether it is anybody's, only mail can tell.
fn is_address(text: &str) -> bool {
    let options = Options::default()
        .without_domain_literal()
        .without_display_text()
        .with_required_tld();
    let plain = text.is_ascii() && !text.contains('"');
    // RFC 5321, 4.1.2: letters, digits, hyphens.
    let domain = text.rsplit('@').next().unwrap_or_default();
    let host = domain
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    plain && host && text.len() <= MAX_EMAIL && EmailAddress::parse_with_options(text, options).is_ok()
}

pub(super) fn wire_contact(contact: Contact) -> v1::Contact {
    v1::Contact {
        email: contact.email.unwrap_or_default(),
        language: contact.language.code().to_owned(),
        messages_allowed: contact.messages_allowed,
    }
}

pub(super) fn wallet(wallet: &Wallet) -> v1::Wallet {
    let status = if wallet.account.is_some() {
        v1::WalletStatus::Active
    } else {
        v1::WalletStatus::Opening
    };
    v1::Wallet {
        wallet_id: wallet.id.to_string(),
        customer_id: wallet.customer.to_string(),
        customer_reference: wallet.customer_reference.to_string(),
        asset_code: wallet.asset.to_string(),
        account_id: wallet
            .account
            .map(|account| account.to_string())
            .unwrap_or_default(),
        status: status.into(),
        created_at: Some(to_wire(wallet.created_at)),
    }
}

pub(super) fn reading(reading: &Reading) -> v1::GetBalanceResponse {
    let source = match reading.origin {
        Origin::Local => v1::BalanceSource::LocalCache,
        Origin::Shared => v1::BalanceSource::SharedCache,
        Origin::Database => v1::BalanceSource::Database,
        Origin::Ledger => v1::BalanceSource::Ledger,
    };
    let balance = &reading.balance;
    v1::GetBalanceResponse {
        balance: Some(Money {
            minor_units: balance.balance,
            asset_code: balance.asset.to_string(),
        }),
        sequence: balance.sequence,
        posted_at: balance.posted_at.map(to_wire),
        source: source.into(),
        staleness: prost_types::Duration::try_from(reading.age).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_what_is_none() {
        for good in [
            "a@b.fr",
            "claire.martin+points@exemple.example",
            "x_y@sub.domain.example",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "a",
            "@b.fr",
            "a@",
            "a@b",
            "a@b..fr",
            "a@@b.fr",
            "a b@c.fr",
            "é@b.fr",
            "a@b.fr\r\nBcc: c@d.fr",
            "<a@b.fr>",
            "a..b@adv.fr",
            ".a@adv.fr",
            "a.@adv.fr",
            "a@-adv.fr",
            "a@adv-.fr",
            "a@a_b.fr",
            "a@[127.0.0.1]",
            "\"a b\"@adv.fr",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
        for long in [
            format!("{}@b.fr", "x".repeat(65)),
            format!("a@{}.fr", "x".repeat(64)),
            "a.".repeat(126) + "a@b.fr",
        ] {
            assert!(!is_address(&long), "{long}");
        }
    }
}

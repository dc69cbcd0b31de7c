//! What can be seen of the fleet when it has come to rest, and how long that is waited for.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, bail};
use history_checker::{History, Kind, Mail};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::{api::Api, world::World};

/// Above the minute after which svc-notification takes up what a killed sender left, and retries beside it.
const REST: Duration = Duration::from_secs(150);
const STEP: Duration = Duration::from_secs(1);

/// Looks through one replica after the other until two looks agree and show the fleet at rest, or the limit has passed; returns the last look. One
/// that is not at rest by then is for the checker to judge.
pub(crate) async fn at_rest(apis: &[Api], world: &World, mail_api: &str) -> anyhow::Result<History> {
    let end = Instant::now().checked_add(REST).context("a limit")?;
    let mut before = None;
    for api in apis.iter().cycle() {
        let look = look(api, world, mail_api).await;
        let late = Instant::now() > end;
        match look {
            Ok(look) if late || (rests(&look) && before.as_ref() == Some(&look)) => return Ok(look),
            Ok(look) => before = Some(look),
            Err(error) if late => return Err(error.context("the mended fleet does not answer")),
            Err(_) => {}
        }
        sleep(STEP).await;
    }
    bail!("there is no replica to look through")
}

async fn look(api: &Api, world: &World, mail_api: &str) -> anyhow::Result<History> {
    let mut seen = History {
        accounts: world.accounts.clone(),
        ..History::default()
    };
    for merchant in &world.merchants {
        seen.notifications.extend(api.notifications(merchant.id).await?);
        for customer in &merchant.customers {
            let balance = api
                .wallet_balance(merchant.id, &customer.wallet, &customer.account, None)
                .await?;
            seen.wallet_balances.push(balance);
        }
        seen.transactions.extend(api.transactions(merchant.id).await?);
        let internal = [&merchant.issuance, &merchant.redemption, &merchant.capped];
        let customers = merchant.customers.iter().map(|customer| &customer.account);
        for account in internal.into_iter().chain(customers) {
            seen.entries.extend(api.entries(merchant.id, account).await?);
            seen.ledger_balances
                .push(api.ledger_balance(merchant.id, account).await?);
        }
    }
    let ours: BTreeSet<_> = world
        .accounts
        .iter()
        .filter_map(|account| account.email.as_ref())
        .collect();
    seen.mails = mails(mail_api).await?;
    seen.mails.retain(|mail| ours.contains(&mail.to));
    Ok(seen)
}

/// Whether everything that follows from the ledger has followed.
fn rests(seen: &History) -> bool {
    let ledger: BTreeSet<_> = seen.ledger_balances.iter().map(key).collect();
    let told: BTreeSet<_> = seen.notifications.iter().map(|one| &one.transaction).collect();
    let arrived: BTreeSet<_> = seen.mails.iter().map(|mail| &mail.transaction).collect();
    seen.wallet_balances
        .iter()
        .all(|balance| ledger.contains(&key(balance)))
        && seen
            .notifications
            .iter()
            .all(|one| one.status != "PENDING" && arrived.contains(&one.transaction))
        && seen
            .transactions
            .iter()
            .all(|one| one.kind == Kind::General || told.contains(&one.id))
}

fn key(balance: &history_checker::Balance) -> (&str, i64, i64) {
    (&balance.account, balance.sequence, balance.balance)
}

/// An e-mail as the catcher tells it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Caught {
    to: Vec<Address>,
    #[serde(default)]
    message_id: String,
    #[serde(default)]
    text: String,
}

#[derive(Debug, Deserialize)]
struct Address {
    address: String,
}

async fn mails(mail_api: &str) -> anyhow::Result<Vec<Mail>> {
    let caught: Vec<Caught> = reqwest::get(format!("{mail_api}/email")).await?.json().await?;
    let mail = |caught: Caught| Mail {
        to: caught
            .to
            .into_iter()
            .map(|to| to.address)
            .next()
            .unwrap_or_default(),
        message_id: caught.message_id,
        transaction: transaction_in(&caught.text),
    };
    Ok(caught.into_iter().map(mail).collect())
}

/// Forgets the e-mails of earlier runs.
pub(crate) async fn forget_mails(mail_api: &str) -> anyhow::Result<()> {
    let client = reqwest::Client::new();
    client
        .delete(format!("{mail_api}/email/all"))
        .send()
        .await?
        .error_for_status()?;
    Ok(())
}

/// The first word of a text that is a transaction's id; empty where there is none.
fn transaction_in(text: &str) -> String {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .find(|word| word.parse::<lp_types::TransactionId>().is_ok())
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_its_transaction() {
        let id = "txn_0199f0c1d2e37a4b8c5d6e7f80912a3b";
        assert_eq!(
            transaction_in(&format!("You earned 5.\nTransaction number: {id}\n")),
            id
        );
        assert_eq!(transaction_in("txn_1 and nothing else"), "");
    }
}

//! What can be seen of the fleet when it has come to rest, and how long that is waited for.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use futures::stream::{self, StreamExt as _};
use history_checker::{History, Mail, is_told};
use lp_types::{MerchantId, time::Ambient};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::{api::Api, world::World};

/// Above the time after which svc-notification takes up what a killed sender left, and its retries beside it.
const REST: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(500);
/// So many accounts, cards or purchases are looked at together.
const AT_ONCE: usize = 8;

/// Looks through one replica after the other until two looks agree and show the fleet at rest, or the limit has passed;
/// returns the last look. One that is not at rest by then is for the checker to judge.
pub(crate) async fn at_rest(
    apis: &[Arc<Api>],
    world: &World,
    purchases: &[(String, MerchantId)],
    mail_api: &str,
) -> anyhow::Result<History> {
    let end = Instant::now().checked_add(REST).context("a limit")?;
    let mut before = None;
    for api in apis.iter().cycle() {
        let look = look(api, world, purchases, mail_api).await;
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

async fn look(
    api: &Api,
    world: &World,
    purchases: &[(String, MerchantId)],
    mail_api: &str,
) -> anyhow::Result<History> {
    let mut seen = History {
        accounts: world.accounts.clone(),
        programmes: world.programmes.clone(),
        ..History::default()
    };
    // What follows from the ledger first: the ledger may be ahead of it, never behind.
    for merchant in &world.merchants {
        seen.notifications.extend(api.notifications(merchant.id).await?);
        let (from, to) = days()?;
        seen.figures.extend(api.figures(merchant.id, &from, &to).await?);
        let wallets = merchant.customers.iter().map(|customer| {
            let (wallet, account) = (&customer.wallet, &customer.account);
            api.wallet_balance(merchant.id, wallet, account, None)
        });
        seen.wallet_balances.extend(at_once(wallets).await?);
    }
    let cards = world.cards.all();
    let looked = cards.iter().map(|(card, merchant)| api.get_card(*merchant, card));
    seen.cards = at_once(looked).await?;
    let sold = seen.cards.iter().filter(|card| !card.account.is_empty());
    seen.accounts.extend(sold.map(World::account_of));
    let looked = purchases
        .iter()
        .map(|(purchase, merchant)| api.get_purchase(*merchant, purchase));
    seen.purchases = at_once(looked).await?;
    for merchant in &world.merchants {
        seen.transactions.extend(api.transactions(merchant.id).await?);
        let own = merchant.id.to_string();
        let accounts = seen.accounts.iter().filter(|account| account.merchant == own);
        let looked = accounts.map(|account| async {
            let entries = api.entries(merchant.id, &account.id).await?;
            let balance = api.ledger_balance(merchant.id, &account.id).await?;
            anyhow::Ok((entries, balance))
        });
        for (entries, balance) in at_once(looked).await? {
            seen.entries.extend(entries);
            seen.ledger_balances.push(balance);
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

/// The answers in the order of the questions.
async fn at_once<T, E: Into<anyhow::Error>>(
    questions: impl Iterator<Item = impl Future<Output = Result<T, E>>>,
) -> anyhow::Result<Vec<T>> {
    let answers: Vec<_> = stream::iter(questions).buffered(AT_ONCE).collect().await;
    answers
        .into_iter()
        .map(|answer| answer.map_err(Into::into))
        .collect()
}

/// From yesterday to tomorrow: a run may pass midnight somewhere.
fn days() -> anyhow::Result<(String, String)> {
    let today = Ambient::system().clock.now().in_tz("UTC")?.date();
    Ok((today.yesterday()?.to_string(), today.tomorrow()?.to_string()))
}

/// Whether everything that follows from the ledger has followed.
fn rests(seen: &History) -> bool {
    let ledger: BTreeSet<_> = seen.ledger_balances.iter().map(key).collect();
    let told: BTreeSet<_> = seen.notifications.iter().map(|one| &one.transaction).collect();
    let arrived: BTreeSet<_> = seen.mails.iter().map(|mail| &mail.transaction).collect();
    let counted: i64 = seen.figures.iter().map(|day| day.transactions).sum();
    i64::try_from(seen.transactions.len()).is_ok_and(|posted| posted == counted)
        && seen
            .wallet_balances
            .iter()
            .all(|balance| ledger.contains(&key(balance)))
        && seen.notifications.iter().all(|one| match one.status.as_str() {
            "PENDING" => false,
            "SUPPRESSED" => true,
            _ => arrived.contains(&one.transaction),
        })
        && seen
            .transactions
            .iter()
            .all(|one| told.contains(&one.id) || !is_told(&seen.accounts, one))
}

fn key(balance: &history_checker::Balance) -> (&str, i64, i64) {
    (&balance.account, balance.sequence, balance.balance)
}

/// An e-mail as the catcher tells it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Caught {
    pub(crate) subject: String,
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

impl Caught {
    pub(crate) fn is_to(&self, address: &str) -> bool {
        self.to.iter().any(|to| to.address.eq_ignore_ascii_case(address))
    }
}

/// Every e-mail that the catcher holds.
pub(crate) async fn caught(mail_api: &str) -> anyhow::Result<Vec<Caught>> {
    Ok(reqwest::get(format!("{mail_api}/email")).await?.json().await?)
}

async fn mails(mail_api: &str) -> anyhow::Result<Vec<Mail>> {
    let caught = caught(mail_api).await?;
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

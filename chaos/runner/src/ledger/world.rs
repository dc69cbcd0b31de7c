//! The merchants of a run and their accounts: few, and tight, so that calls collide.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use history_checker::{Account, Outcome, Role, Side};
use lp_contracts::ledger::v1 as ledger;
use lp_types::MerchantId;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::api::LedgerApi;
use crate::{api::POINTS, trade_api::CURRENCY};

const MERCHANTS: usize = 2;
const CUSTOMERS: usize = 4;
const CARDS: usize = 3;
/// What a capped account holds at most.
const CAP: i64 = 200;
const PATIENCE: Duration = Duration::from_secs(5);
/// So many of the newest holds and transactions are known to be asked for again.
const KNOWN: usize = 24;

/// A merchant.
#[derive(Debug)]
pub(crate) struct Merchant {
    pub(crate) id: MerchantId,
    pub(crate) issuance: String,
    pub(crate) redemption: String,
    pub(crate) bank: String,
    pub(crate) sales: String,
    pub(crate) cost: String,
    /// Owes what reversals cannot take back.
    pub(crate) debtor: String,
    /// Of points, never below zero.
    pub(crate) customers: Vec<String>,
    /// Of points, between zero and a cap.
    pub(crate) capped: String,
    /// Of money, never below zero.
    pub(crate) cards: Vec<String>,
    /// Of points; sooner or later they are closed.
    pub(crate) closing: Vec<String>,
    known: Mutex<Known>,
}

/// What answers told of.
#[derive(Debug, Default)]
struct Known {
    holds: VecDeque<KnownHold>,
    transactions: VecDeque<String>,
}

/// A hold that somebody may ask for.
#[derive(Debug, Clone)]
pub(crate) struct KnownHold {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) amount: i64,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) merchants: Vec<Merchant>,
    pub(crate) accounts: Vec<Account>,
}

impl Merchant {
    /// Remembers what an answer tells of.
    pub(crate) fn hear(&self, outcome: &Outcome) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Posted { transaction, .. } => {
                known.transactions.push_front(transaction.id.clone());
                known.transactions.truncate(KNOWN);
            }
            Outcome::Held(held) => {
                known.holds.push_front(KnownHold {
                    id: held.hold.id.clone(),
                    account: held.hold.account.clone(),
                    amount: held.hold.amount,
                });
                known.holds.truncate(KNOWN);
            }
            _ => {}
        }
    }

    /// One of the newest holds, more often one of the very newest.
    pub(crate) fn a_hold(&self, random: &mut StdRng) -> Option<KnownHold> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let most = random.random_range(0..=known.holds.len());
        known.holds.get(random.random_range(0..=most)).cloned()
    }

    /// One of the newest transactions, likewise.
    pub(crate) fn a_transaction(&self, random: &mut StdRng) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let most = random.random_range(0..=known.transactions.len());
        known.transactions.get(random.random_range(0..=most)).cloned()
    }
}

impl World {
    /// Opens everything through one replica.
    pub(crate) async fn open(api: &LedgerApi, seed: u64) -> anyhow::Result<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = Self::default();
        for _ in 0..MERCHANTS {
            let id = MerchantId::from_uuid(uuid::Builder::from_random_bytes(random.random()).into_uuid());
            world.open_merchant(api, id).await?;
        }
        Ok(world)
    }

    async fn open_merchant(&mut self, api: &LedgerApi, id: MerchantId) -> anyhow::Result<()> {
        asset(api, id, CURRENCY, ledger::AssetKind::Currency, 2).await?;
        let points = asset(api, id, POINTS, ledger::AssetKind::Points, 0).await?;
        let mut opening = Opening {
            api,
            id,
            accounts: &mut self.accounts,
            number: 0,
        };
        opening.note(&points.issuance_account_id, POINTS, Role::Issuance, None);
        opening.note(&points.redemption_account_id, POINTS, Role::Redemption, None);
        let (mut customers, mut cards, mut closing) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..CUSTOMERS {
            customers.push(opening.open(POINTS, Role::Customer, None).await?);
        }
        for _ in 0..CARDS {
            cards.push(opening.open(CURRENCY, Role::GiftCard, None).await?);
        }
        for _ in 0..2 {
            closing.push(opening.open(POINTS, Role::Customer, None).await?);
        }
        let merchant = Merchant {
            id,
            capped: opening.open(POINTS, Role::Customer, Some(CAP)).await?,
            bank: opening.open(CURRENCY, Role::External, None).await?,
            sales: opening.open(CURRENCY, Role::Sales, None).await?,
            cost: opening.open(CURRENCY, Role::LoyaltyCost, None).await?,
            debtor: opening.open(POINTS, Role::External, None).await?,
            issuance: points.issuance_account_id,
            redemption: points.redemption_account_id,
            customers,
            cards,
            closing,
            known: Mutex::default(),
        };
        self.merchants.push(merchant);
        Ok(())
    }

    /// The asset of each account.
    pub(crate) fn assets(&self) -> BTreeMap<String, String> {
        let accounts = self.accounts.iter();
        accounts.map(|one| (one.id.clone(), one.asset.clone())).collect()
    }

    /// The merchant of an id, as histories have it.
    pub(crate) fn merchant(&self, id: &str) -> Option<&Merchant> {
        self.merchants.iter().find(|one| one.id.to_string() == id)
    }
}

async fn asset(
    api: &LedgerApi,
    merchant: MerchantId,
    code: &str,
    kind: ledger::AssetKind,
    exponent: i32,
) -> anyhow::Result<ledger::Asset> {
    let message = ledger::CreateAssetRequest {
        code: code.to_owned(),
        kind: kind.into(),
        exponent,
    };
    let request = api.request(merchant, &format!("asset-{code}"), PATIENCE, message)?;
    let answer = api.client.clone().create_asset(request).await?.into_inner();
    answer.asset.context("an answer without asset")
}

/// The accounts of one merchant, as they are opened.
struct Opening<'a> {
    api: &'a LedgerApi,
    id: MerchantId,
    accounts: &'a mut Vec<Account>,
    number: u32,
}

impl Opening<'_> {
    async fn open(&mut self, asset: &str, role: Role, max: Option<i64>) -> anyhow::Result<String> {
        let kind = match role {
            Role::Customer => ledger::AccountType::Customer,
            Role::Issuance => ledger::AccountType::Issuance,
            Role::Redemption => ledger::AccountType::Redemption,
            Role::External => ledger::AccountType::External,
            Role::GiftCard => ledger::AccountType::GiftCard,
            Role::Sales => ledger::AccountType::Sales,
            Role::LoyaltyCost => ledger::AccountType::LoyaltyCost,
        };
        self.number = self.number.saturating_add(1);
        let message = ledger::CreateAccountRequest {
            asset_code: asset.to_owned(),
            r#type: kind.into(),
            min_balance: None,
            max_balance: max,
            ..Default::default()
        };
        let key = format!("account-{}", self.number);
        let request = self.api.request(self.id, &key, PATIENCE, message)?;
        let answer = self.api.client.clone().create_account(request).await?;
        let opened = answer.into_inner().account.context("an answer without account")?;
        self.note(&opened.account_id, asset, role, max);
        Ok(opened.account_id)
    }

    fn note(&mut self, id: &str, asset: &str, role: Role, max: Option<i64>) {
        self.accounts.push(Account {
            id: id.to_owned(),
            merchant: self.id.to_string(),
            asset: asset.to_owned(),
            role,
            normal: match role {
                Role::Issuance | Role::External | Role::LoyaltyCost => Side::Debit,
                Role::Customer | Role::Redemption | Role::GiftCard | Role::Sales => Side::Credit,
            },
            min: matches!(role, Role::Customer | Role::GiftCard).then_some(0),
            max,
            email: None,
            declines_messages: false,
        });
    }
}

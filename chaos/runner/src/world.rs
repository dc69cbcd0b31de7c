//! The merchants and customers of a run, opened before anything is broken.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;
use history_checker::{Account, Side};
use lp_contracts::{ledger::v1 as ledger, wallet::v1 as wallet};
use lp_types::MerchantId;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::api::{Api, POINTS, Token};

const MERCHANTS: usize = 3;
const CUSTOMERS: usize = 4;
/// What the account without wallet holds at most.
pub(crate) const CAP: i64 = 300;

/// A customer's wallet and its account.
#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) account: String,
    pub(crate) wallet: String,
}

/// A merchant and its accounts.
#[derive(Debug)]
pub(crate) struct Merchant {
    pub(crate) id: MerchantId,
    pub(crate) issuance: String,
    pub(crate) redemption: String,
    pub(crate) customers: Vec<Customer>,
    /// A customer's account with an upper limit and without wallet.
    pub(crate) capped: String,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) merchants: Vec<Merchant>,
    pub(crate) accounts: Vec<Account>,
    /// The newest token of each account that anybody was given.
    tokens: Mutex<HashMap<String, Token>>,
}

impl World {
    /// Opens everything. `run` sets its customers' addresses apart from other runs'.
    pub(crate) async fn open(api: &Api, seed: u64, run: &str) -> anyhow::Result<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = Self {
            merchants: Vec::new(),
            accounts: Vec::new(),
            tokens: Mutex::default(),
        };
        for number in 0..MERCHANTS {
            let id = MerchantId::from_uuid(uuid::Builder::from_random_bytes(random.random()).into_uuid());
            world.open_merchant(api, id, &format!("{run}-{number}")).await?;
        }
        Ok(world)
    }

    async fn open_merchant(&mut self, api: &Api, id: MerchantId, name: &str) -> anyhow::Result<()> {
        let kind = ledger::AssetKind::Points.into();
        let message = ledger::CreateAssetRequest {
            code: POINTS.to_owned(),
            kind,
            exponent: 0,
        };
        let answer = api
            .ledger
            .clone()
            .create_asset(api.request(id, "asset", message)?)
            .await?;
        let asset = answer.into_inner().asset.context("an answer without asset")?;
        let account = |id_: &str, normal, min, max, email| Account {
            id: id_.to_owned(),
            merchant: id.to_string(),
            asset: POINTS.to_owned(),
            normal,
            min,
            max,
            email,
        };
        self.accounts
            .push(account(&asset.issuance_account_id, Side::Debit, None, None, None));
        self.accounts.push(account(
            &asset.redemption_account_id,
            Side::Credit,
            None,
            None,
            None,
        ));

        let mut customers = Vec::new();
        for number in 0..CUSTOMERS {
            let email = format!("{name}-{number}@example.com");
            let message = wallet::CreateWalletRequest {
                customer_reference: format!("customer-{number}"),
                asset_code: POINTS.to_owned(),
                contact: Some(wallet::Contact {
                    email: email.clone(),
                    language: if number % 2 == 0 { "fr" } else { "en" }.to_owned(),
                    messages_allowed: true,
                }),
            };
            let request = api.request(id, &format!("wallet-{number}"), message)?;
            let answer = api.wallet.clone().create_wallet(request).await?.into_inner();
            let opened = answer.wallet.context("an answer without wallet")?;
            self.accounts.push(account(
                &opened.account_id,
                Side::Credit,
                Some(0),
                None,
                Some(email),
            ));
            customers.push(Customer {
                account: opened.account_id,
                wallet: opened.wallet_id,
            });
        }

        let message = ledger::CreateAccountRequest {
            asset_code: POINTS.to_owned(),
            r#type: ledger::AccountType::Customer.into(),
            min_balance: Some(0),
            max_balance: Some(CAP),
            reference: String::new(),
        };
        let answer = api
            .ledger
            .clone()
            .create_account(api.request(id, "capped", message)?)
            .await?;
        let capped = answer
            .into_inner()
            .account
            .context("an answer without account")?
            .account_id;
        self.accounts
            .push(account(&capped, Side::Credit, Some(0), Some(CAP), None));
        self.merchants.push(Merchant {
            id,
            issuance: asset.issuance_account_id,
            redemption: asset.redemption_account_id,
            customers,
            capped,
        });
        Ok(())
    }

    /// Keeps a token for reads to come.
    pub(crate) fn keep(&self, token: Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = tokens
            .entry(token.account.clone())
            .or_insert_with(|| token.clone());
        if newest.sequence < token.sequence {
            *newest = token;
        }
    }

    /// The newest token of an account.
    pub(crate) fn token(&self, account: &str) -> Option<Token> {
        self.tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(account)
            .cloned()
    }
}

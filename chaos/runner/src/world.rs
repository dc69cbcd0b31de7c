//! The merchants and customers of a run, opened before anything is broken.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use history_checker::{Account, Card, Programme, Role, Side};
use lp_contracts::{ledger::v1 as ledger, merchant::v1::MerchantAccounts, wallet::v1 as wallet};
use lp_types::MerchantId;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    api::{Api, POINTS, Token, time_zone},
    cards::Cards,
    trade_api::CURRENCY,
};

const MERCHANTS: usize = 3;
/// What the account without wallet holds at most.
pub(crate) const CAP: i64 = 300;

/// How many there are of each merchant, and what they are like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) customers: usize,
    /// So many of them agree to messages.
    pub(crate) told: usize,
    /// Whether the first merchant's cards have a PIN, which takes its time to verify, on purpose.
    pub(crate) pins: bool,
}

impl Size {
    /// Few, so that their calls collide.
    pub(crate) const SMALL: Self = Self {
        customers: 4,
        told: 4,
        pins: true,
    };
}

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
    /// Of its cards.
    pub(crate) product: String,
    /// A tender of points is a multiple of this.
    pub(crate) burn_value: i64,
    pub(crate) customers: Vec<Customer>,
    /// A customer's account with an upper limit and without wallet.
    pub(crate) capped: String,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) merchants: Vec<Merchant>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) programmes: Vec<Programme>,
    pub(crate) cards: Cards,
    /// The newest token of each account that anybody was given.
    tokens: Mutex<HashMap<String, Token>>,
}

/// An account as the contract has one for this purpose.
fn account(id: &str, merchant: String, role: Role) -> Account {
    Account {
        id: id.to_owned(),
        merchant,
        asset: match role {
            Role::External | Role::GiftCard | Role::Sales | Role::LoyaltyCost => CURRENCY,
            Role::Customer | Role::Issuance | Role::Redemption => POINTS,
        }
        .to_owned(),
        role,
        normal: match role {
            Role::Issuance | Role::External | Role::LoyaltyCost => Side::Debit,
            Role::Customer | Role::Redemption | Role::GiftCard | Role::Sales => Side::Credit,
        },
        min: matches!(role, Role::Customer | Role::GiftCard).then_some(0),
        max: None,
        email: None,
        declines_messages: false,
    }
}

/// The accounts that a merchant has from its activation on.
fn internal(id: MerchantId, opened: &MerchantAccounts) -> impl Iterator<Item = Account> {
    [
        (&opened.issuance_account_id, Role::Issuance),
        (&opened.redemption_account_id, Role::Redemption),
        (&opened.external_account_id, Role::External),
        (&opened.sales_account_id, Role::Sales),
        (&opened.loyalty_cost_account_id, Role::LoyaltyCost),
    ]
    .map(|(opened, role)| account(opened, id.to_string(), role))
    .into_iter()
}

/// Figures whose division leaves a rest, different for each merchant.
fn programme(of: MerchantId) -> Programme {
    let odd = i64::try_from(of.uuid().as_u128() % 5).unwrap_or(0);
    Programme {
        merchant: of.to_string(),
        version: 0,
        earn_points: odd.saturating_add(3),
        earn_per: 300,
        burn_points: 50,
        burn_value: odd.saturating_add(71),
    }
}

/// Adds a product, once svc-giftcard has heard that the merchant is active.
async fn product(api: &Api, of: MerchantId, has_pin: bool) -> anyhow::Result<String> {
    const HEARD: Duration = Duration::from_secs(30);
    let begun = Instant::now();
    let mut tries = 0_u32;
    loop {
        // A refusal is kept under its key.
        let key = format!("product-{tries}");
        match api.create_product(of, &key, has_pin).await {
            Ok(product) => return Ok(product),
            Err(status) if begun.elapsed() > HEARD => {
                return Err(anyhow::Error::new(status).context("no product can be added"));
            }
            Err(_) => {}
        }
        tries = tries.saturating_add(1);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl World {
    /// Opens everything. `run` sets its customers' addresses apart from other runs'.
    pub(crate) async fn open(api: &Api, seed: u64, run: &str, size: Size) -> anyhow::Result<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = Self {
            merchants: Vec::new(),
            accounts: Vec::new(),
            programmes: Vec::new(),
            cards: Cards::default(),
            tokens: Mutex::default(),
        };
        for number in 0..MERCHANTS {
            let id = MerchantId::from_uuid(uuid::Builder::from_random_bytes(random.random()).into_uuid());
            world
                .open_merchant(api, id, &format!("{run}-{number}"), size)
                .await?;
        }
        Ok(world)
    }

    /// Of one merchant with these accounts, its product and one customer.
    pub(crate) fn of_one(
        accounts: &MerchantAccounts,
        (id, product, customer): (MerchantId, String, Customer),
        programme: Programme,
        email: &str,
    ) -> Self {
        let held = account(&customer.account, id.to_string(), Role::Customer);
        let held = Account {
            email: Some(email.to_owned()),
            ..held
        };
        Self {
            accounts: internal(id, accounts).chain([held]).collect(),
            merchants: vec![Merchant {
                id,
                issuance: accounts.issuance_account_id.clone(),
                redemption: accounts.redemption_account_id.clone(),
                product,
                burn_value: programme.burn_value,
                customers: vec![customer],
                capped: String::new(),
            }],
            programmes: vec![programme],
            cards: Cards::default(),
            tokens: Mutex::default(),
        }
    }

    async fn open_merchant(
        &mut self,
        api: &Api,
        id: MerchantId,
        name: &str,
        size: Size,
    ) -> anyhow::Result<()> {
        let opened = api.onboard(id, POINTS, time_zone(id)).await?;
        self.accounts.extend(internal(id, &opened));
        let mut programme = programme(id);
        api.publish(id, &mut programme).await?;
        let product = product(api, id, size.pins && self.merchants.is_empty()).await?;

        let mut customers = Vec::new();
        for number in 0..size.customers {
            let messages_allowed = number < size.told;
            let email = format!("{name}-{number}@example.com");
            let message = wallet::CreateWalletRequest {
                customer_reference: format!("customer-{number}"),
                asset_code: POINTS.to_owned(),
                contact: Some(wallet::Contact {
                    email: email.clone(),
                    language: if number % 2 == 0 { "fr" } else { "en" }.to_owned(),
                    messages_allowed,
                }),
            };
            let request = api.request(id, &format!("wallet-{number}"), message)?;
            let answer = api.wallet.clone().create_wallet(request).await?.into_inner();
            let wallet = answer.wallet.context("an answer without wallet")?;
            self.accounts.push(Account {
                email: Some(email),
                declines_messages: !messages_allowed,
                ..account(&wallet.account_id, id.to_string(), Role::Customer)
            });
            customers.push(Customer {
                account: wallet.account_id,
                wallet: wallet.wallet_id,
            });
        }

        let message = ledger::CreateAccountRequest {
            asset_code: POINTS.to_owned(),
            r#type: ledger::AccountType::Customer.into(),
            min_balance: Some(0),
            max_balance: Some(CAP),
            reference: String::new(),
            ..Default::default()
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
        self.accounts.push(Account {
            max: Some(CAP),
            ..account(&capped, id.to_string(), Role::Customer)
        });
        self.merchants.push(Merchant {
            id,
            issuance: opened.issuance_account_id,
            redemption: opened.redemption_account_id,
            product,
            burn_value: programme.burn_value,
            customers,
            capped,
        });
        self.programmes.push(programme);
        Ok(())
    }

    /// The account of a card that was sold.
    pub(crate) fn account_of(card: &Card) -> Account {
        account(&card.account, card.merchant.clone(), Role::GiftCard)
    }

    /// The merchant of an id, as histories have it.
    pub(crate) fn merchant(&self, id: &str) -> Option<&Merchant> {
        self.merchants.iter().find(|one| one.id.to_string() == id)
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

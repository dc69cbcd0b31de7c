//! A purchase at a till: a write of three steps with calls to other services between them.
//!
//! 1. Under the claimed key the purchase is planned by the programme of that moment.
//! 2. svc-wallet and svc-giftcard tell the accounts of wallet and cards; with them the entries are fixed.
//! 3. The ledger has posted the entries or refused them, and that is the answer.
//!
//! Whoever comes again after a crash goes on from where the purchase stands, with the programme and the accounts
//! that it has: so the ledger always sees one request under one key, and gives its first answer again. What opens
//! a card is handed on in the second step and kept nowhere; a purchase that is authorised needs it no more.

use std::time::Instant;

use lp_client::Asking;
use lp_pg::{
    Database,
    idempotency::{Claim, FirstTime, Once, begin_once},
};
use lp_types::{AccountId, AssetCode, Reference, WalletId, ids::PurchaseId, time::Ambient};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        program::NoPoints,
        purchase::{self, Payment, Place, Refusal},
        state::State,
    },
    infrastructure::{
        clients::{
            giftcard::{CardSecret, Cards},
            ledger::{Entry, Ledger, Posting},
            wallet::Wallets,
        },
        postgres::{
            merchants::{self, Merchant, MerchantAccounts},
            programs,
            purchases::{self, Purchase, Saga, Stage, ToldAccounts},
        },
    },
};

/// What is to be paid, and how.
#[derive(Debug, Clone)]
pub struct Order {
    /// Who pays what.
    pub payment: Payment,
    /// What opens the card of each tender, in order; none for others.
    pub cards: Vec<Option<CardSecret>>,
    /// The currency of the amount.
    pub currency: AssetCode,
    /// The wallet that earns and burns.
    pub wallet: Option<WalletId>,
    /// The merchant's own name for it.
    pub reference: Option<Reference>,
}

/// What became of it; stored under the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It stands in the ledger.
    Posted {
        /// The purchase.
        purchase: Purchase,
        /// The wallet's consistency token; empty where no wallet took part.
        token: String,
    },
    /// The merchant never applied.
    UnknownMerchant,
    /// It does not trade.
    NotActive(State),
    /// It trades in this currency.
    WrongCurrency(AssetCode),
    /// It has published no programme.
    NoProgram,
    /// The tender of points with this number is no multiple of this value.
    NotAMultiple(usize, i64),
    /// It would move more points than can be moved: those of a tender, or those earned.
    TooManyPoints(Option<usize>),
    /// Another purchase has the reference.
    ReferenceTaken(Reference),
    /// It was refused, and nothing moved.
    Refused(PurchaseId, Why),
}

/// Why a purchase was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The wallet is unknown, or holds another asset.
    Wallet,
    /// The card of the tender with this number was refused.
    Card(usize),
    /// The tender with this number does not suffice.
    Tender(usize),
    /// The wallet cannot take what it would earn.
    Earnings,
    /// An account of the merchant cannot take it.
    Merchant,
}

/// Takes purchases.
#[derive(Debug, Clone)]
pub struct Till {
    database: Database,
    ambient: Ambient,
    ledger: Ledger,
    wallets: Wallets,
    cards: Cards,
}

impl Till {
    /// Of merchants in `database`, with the services that tell accounts and move value.
    pub fn new(database: Database, ambient: Ambient, ledger: Ledger, wallets: Wallets, cards: Cards) -> Self {
        Self {
            database,
            ambient,
            ledger,
            wallets,
            cards,
        }
    }

    /// Takes a purchase once.
    ///
    /// # Errors
    /// IDEMPOTENCY_KEY_REUSED; or the database or another service is away: then the same call goes on later.
    pub async fn submit(&self, claim: Claim, deadline: Instant, order: &Order) -> lp_error::Result<Answer> {
        let asking = Asking {
            caller: &claim.caller,
            deadline,
        };
        let mut at = match self.plan(&claim, order).await? {
            Step::Ended(answer) => return Ok(answer),
            Step::At(at) => at,
        };
        if at.saga.purchase.stage == Stage::Planned {
            let told = self.ask(asking, &at, &order.cards).await?;
            at = match self.authorise(&claim, told).await? {
                Step::Ended(answer) => return Ok(answer),
                Step::At(at) => at,
            };
        }
        let entries = at.entries()?;
        let posting = self.ledger.post(asking, at.saga.purchase.id, &entries).await?;
        self.end(&claim, &at, posting).await
    }

    /// The first step; or where an earlier attempt has come to.
    async fn plan(&self, claim: &Claim, order: &Order) -> lp_error::Result<Step> {
        let mut first = match begin_once(&self.database, claim.clone()).await? {
            Once::Again(answer) => return Ok(Step::Ended(answer)),
            Once::FirstTime(first) => first,
        };
        if first.resumed {
            let at = standing(&mut first, claim).await?;
            first.pause().await?;
            return Ok(Step::At(at));
        }
        match self.insert(&mut first, claim, order).await? {
            Ok(at) => {
                first.pause().await?;
                Ok(Step::At(at))
            }
            Err(refusal) => Ok(Step::Ended(first.refuse(&self.database, refusal).await?)),
        }
    }

    async fn insert(
        &self,
        first: &mut FirstTime,
        claim: &Claim,
        order: &Order,
    ) -> lp_error::Result<Result<At, Answer>> {
        let caller = &claim.caller;
        let merchant = match merchants::find(&mut first.work, caller.merchant).await? {
            None => return Ok(Err(Answer::UnknownMerchant)),
            Some(merchant) if merchant.state != State::Active => {
                return Ok(Err(Answer::NotActive(merchant.state)));
            }
            Some(merchant) if merchant.currency != order.currency => {
                return Ok(Err(Answer::WrongCurrency(merchant.currency)));
            }
            Some(merchant) => merchant,
        };
        let program = match order.wallet {
            None => None,
            Some(_) => match programs::find(&mut first.work, caller.merchant, None).await? {
                None => return Ok(Err(Answer::NoProgram)),
                found => found,
            },
        };
        let terms = program.as_ref().map(|program| program.terms);
        let plan = match purchase::evaluate(terms.as_ref(), order.payment.clone()) {
            Ok(plan) => plan,
            Err(refusal) => {
                return Ok(Err(unplanned(
                    refusal,
                    terms.map(|terms| terms.numbers().burn_value),
                )));
            }
        };
        let purchase = Purchase {
            id: PurchaseId::from_uuid(self.ambient.ids.uuid()),
            stage: Stage::Planned,
            amount: plan.payment.amount(),
            currency: order.currency.clone(),
            wallet: order.wallet,
            program_version: program.map(|program| program.version),
            earned: plan.earned,
            burnt: plan.burnt,
            reference: order.reference.clone(),
            transaction: None,
            created_at: self.ambient.clock.now(),
        };
        let saga = Saga {
            purchase,
            payment: plan.payment,
            told: ToldAccounts::default(),
        };
        let inserted = purchases::insert(&mut first.work, caller, &claim.key, &saga).await?;
        match &order.reference {
            Some(reference) if !inserted => Ok(Err(Answer::ReferenceTaken(reference.clone()))),
            _ => at(merchant, saga).map(Ok),
        }
    }

    /// What other services say of the wallet and the cards.
    async fn ask(
        &self,
        asking: Asking<'_>,
        at: &At,
        secrets: &[Option<CardSecret>],
    ) -> lp_error::Result<Result<ToldAccounts, Why>> {
        let purchase = &at.saga.purchase;
        let mut told = ToldAccounts::default();
        if let Some(wallet) = purchase.wallet {
            let Some(account) = self.wallets.account(asking, wallet, &at.points).await? else {
                return Ok(Err(Why::Wallet));
            };
            told.wallet = Some(account);
        }
        for (index, secret) in secrets.iter().enumerate() {
            let account = match secret {
                None => None,
                Some(secret) => {
                    let account = self.cards.account(asking, secret, &purchase.currency).await?;
                    if account.is_none() {
                        return Ok(Err(Why::Card(index)));
                    }
                    account
                }
            };
            told.cards.push(account);
        }
        Ok(Ok(told))
    }

    /// The second step. Where another attempt has taken it already, what that one was told stands.
    async fn authorise(&self, claim: &Claim, told: Result<ToldAccounts, Why>) -> lp_error::Result<Step> {
        let mut first = match begin_once(&self.database, claim.clone()).await? {
            Once::Again(answer) => return Ok(Step::Ended(answer)),
            Once::FirstTime(first) => first,
        };
        let mut at = standing(&mut first, claim).await?;
        if at.saga.purchase.stage == Stage::Planned {
            let (merchant, id) = (claim.caller.merchant, at.saga.purchase.id);
            match told {
                Ok(told) => {
                    purchases::authorise(&mut first.work, merchant, id, &told).await?;
                    at.saga.purchase.stage = Stage::Authorised;
                    at.saga.told = told;
                }
                Err(why) => {
                    purchases::end(&mut first.work, merchant, id, None).await?;
                    let answer = Answer::Refused(id, why);
                    first.finish(&answer).await?;
                    return Ok(Step::Ended(answer));
                }
            }
        }
        first.pause().await?;
        Ok(Step::At(at))
    }

    /// The third step.
    async fn end(&self, claim: &Claim, at: &At, posting: Posting) -> lp_error::Result<Answer> {
        let mut first = match begin_once(&self.database, claim.clone()).await? {
            Once::Again(answer) => return Ok(answer),
            Once::FirstTime(first) => first,
        };
        let purchase = &at.saga.purchase;
        let id = purchase.id;
        let (transaction, answer) = match posting {
            Posting::Posted { transaction, tokens } => {
                let token = at.saga.told.wallet.and_then(|wallet| {
                    let wallet = wallet.to_string();
                    let mut tokens = tokens.into_iter();
                    tokens.find_map(|(account, token)| (account == wallet).then_some(token))
                });
                let purchase = Purchase {
                    stage: Stage::Posted,
                    transaction: Some(transaction),
                    ..purchase.clone()
                };
                let token = token.unwrap_or_default();
                (Some(transaction), Answer::Posted { purchase, token })
            }
            Posting::Refused(account) => (None, Answer::Refused(id, at.why(account))),
        };
        purchases::end(&mut first.work, claim.caller.merchant, id, transaction).await?;
        first.finish(&answer).await?;
        Ok(answer)
    }
}

enum Step {
    Ended(Answer),
    At(At),
}

/// Where a purchase stands, and what the merchant has.
struct At {
    saga: Saga,
    accounts: MerchantAccounts,
    points: AssetCode,
}

fn at(merchant: Merchant, saga: Saga) -> lp_error::Result<At> {
    let accounts = merchant.accounts;
    Ok(At {
        saga,
        accounts: accounts.ok_or_else(|| lp_error::Error::internal("an active merchant without accounts"))?,
        points: merchant.points,
    })
}

/// Where the purchase of this key stands.
async fn standing(first: &mut FirstTime, claim: &Claim) -> lp_error::Result<At> {
    let merchant = merchants::find(&mut first.work, claim.caller.merchant).await?;
    let saga = purchases::of_key(&mut first.work, claim.caller.merchant, &claim.key).await?;
    match (merchant, saga) {
        (Some(merchant), Some(saga)) => at(merchant, saga),
        _ => Err(lp_error::Error::internal("the purchase vanished")),
    }
}

fn unplanned(refusal: Refusal, burn_value: Option<i64>) -> Answer {
    match (refusal, burn_value) {
        (Refusal::Burn(tender, NoPoints::NotAMultiple), Some(value)) => Answer::NotAMultiple(tender, value),
        (Refusal::Burn(tender, NoPoints::TooMany), _) => Answer::TooManyPoints(Some(tender)),
        (Refusal::Earn(_), _) => Answer::TooManyPoints(None),
        (Refusal::NoTerms | Refusal::Burn(..), _) => Answer::NoProgram,
    }
}

impl At {
    fn account(&self, place: Place) -> lp_error::Result<AccountId> {
        let told = &self.saga.told;
        let account = match place {
            Place::External => Some(self.accounts.external),
            Place::Sales => Some(self.accounts.sales),
            Place::LoyaltyCost => Some(self.accounts.loyalty_cost),
            Place::Issuance => Some(self.accounts.issuance),
            Place::Redemption => Some(self.accounts.redemption),
            Place::Wallet => told.wallet,
            Place::Card(tender) => told.cards.get(tender).copied().flatten(),
        };
        account.ok_or_else(|| lp_error::Error::internal("an authorised purchase without an account"))
    }

    fn entries(&self) -> lp_error::Result<Vec<Entry>> {
        let legs = self.saga.plan().legs().into_iter();
        legs.map(|leg| {
            let asset = if leg.place.holds_points() {
                &self.points
            } else {
                &self.saga.purchase.currency
            };
            Ok(Entry {
                account: self.account(leg.place)?,
                side: leg.side,
                amount: leg.amount,
                asset: asset.clone(),
            })
        })
        .collect()
    }

    /// Why the ledger refused, from the account whose balance would have left its limits.
    fn why(&self, account: AccountId) -> Why {
        let told = &self.saga.told;
        let burns = self.saga.payment.tender_of_points();
        if told.wallet == Some(account) {
            return burns.map_or(Why::Earnings, Why::Tender);
        }
        let card = told.cards.iter().position(|card| *card == Some(account));
        card.map_or(Why::Merchant, Why::Tender)
    }
}

//! What a batch decides on: its accounts, their assets, holds, originals and the references that are taken.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use ledger_domain::{AssetKind, Book, Command, NewTransaction, PointsAccounts, Refusal};
use lp_types::{AccountId, AssetCode, MerchantId, Reference, time::Clock};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    accounts::{self, AccountRecord},
    assets, holds,
    posting::{Order, Wanted},
    transactions,
};

/// What stands in the ledger of all that a batch touches.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The time after the locks.
    pub(super) now: Timestamp,
    pub(super) book: Book,
    pub(super) records: HashMap<AccountId, AccountRecord>,
    pub(super) names: Names,
}

/// Whether the accounts are locked until the transaction ends, or only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Lock,
    Look,
}

/// Locks the accounts by rank and id, takes the clock, and loads anew, in this order.
pub(super) async fn gather(
    connection: &mut PgConnection,
    wanted: &[&Wanted],
    due: &[(MerchantId, AccountId)],
    access: Access,
    assets: &mut assets::Known,
    clock: &dyn Clock,
) -> lp_pg::Result<Gathered> {
    let mut orders: Vec<(MerchantId, &Order)> = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let merchant = wanted.claim.caller.merchant;
        orders.extend(wanted.orders.iter().map(|order| (merchant, order)));
    }
    let (holders, named_holds): (Vec<Uuid>, Vec<Uuid>) = orders
        .iter()
        .flat_map(|(merchant, order)| {
            let holds = order.command.named_holds().into_iter();
            holds.map(move |hold| (merchant.uuid(), hold.uuid()))
        })
        .unzip();
    let (reversers, reversed): (Vec<Uuid>, Vec<Uuid>) = orders
        .iter()
        .filter_map(|(merchant, order)| Some((merchant.uuid(), order.command.reversed()?.uuid())))
        .unzip();
    let mut touched = Touched::default();
    for (merchant, order) in &orders {
        for account in order.command.named_accounts() {
            touched.add(*merchant, account);
        }
    }
    for (merchant, account) in due {
        touched.add(*merchant, *account);
    }
    if !named_holds.is_empty() {
        touched
            .0
            .extend(holds::accounts_of(connection, &holders, &named_holds).await?);
    }
    if !reversed.is_empty() {
        touched
            .0
            .extend(transactions::accounts_of(connection, &reversers, &reversed).await?);
    }
    let points = points_accounts(connection, &orders, assets).await?;
    touched.add_points_accounts(&orders, &points);
    let (owners, accounts) = touched.columns();
    if access == Access::Lock {
        accounts::lock(connection, &owners, &accounts).await?;
    }
    let now = clock.now();
    let records = accounts::load(connection, &owners, &accounts).await?;
    let held = records.iter().map(|record| &record.account);
    assets
        .learn(connection, held.map(|account| (account.merchant, &account.asset)))
        .await?;

    let reserving: Vec<Uuid> = records
        .iter()
        .filter(|record| record.account.reserves())
        .map(|record| record.account.id.uuid())
        .collect();
    let standing = if named_holds.is_empty() && reserving.is_empty() {
        Vec::new()
    } else {
        holds::load(connection, &named_holds, &reserving, now).await?
    };
    let originals = if reversed.is_empty() {
        Vec::new()
    } else {
        transactions::originals(connection, &reversed).await?
    };
    let names = Names::taken(connection, &orders).await?;

    let points = points
        .into_iter()
        .map(|((merchant, asset), p)| (merchant, asset, p));
    let book = Book::new(records.iter().map(|record| record.account.clone()), points)
        .with_holds(standing)
        .with_originals(originals);
    let records = records.into_iter().map(|record| (record.account.id, record));
    Ok(Gathered {
        now,
        book,
        records: records.collect(),
        names,
    })
}

type Points = HashMap<(MerchantId, AssetCode), PointsAccounts>;

/// The accounts that a batch touches, each with the merchant whose it should be.
#[derive(Debug, Default)]
struct Touched(HashSet<(Uuid, Uuid)>);

impl Touched {
    fn add(&mut self, merchant: MerchantId, account: AccountId) {
        self.0.insert((merchant.uuid(), account.uuid()));
    }

    /// Those that Earn and Burn reach through the asset.
    fn add_points_accounts(&mut self, orders: &[(MerchantId, &Order)], points: &Points) {
        for (merchant, order) in orders {
            let of = |asset: &AssetCode| points.get(&(*merchant, asset.clone()));
            let internal = match &order.command {
                Command::Post(NewTransaction::Earn { asset, .. }) => of(asset).map(|p| p.issuance),
                Command::Post(NewTransaction::Burn { asset, .. }) => of(asset).map(|p| p.redemption),
                _ => None,
            };
            if let Some(account) = internal {
                self.add(*merchant, account);
            }
        }
    }

    fn columns(self) -> (Vec<Uuid>, Vec<Uuid>) {
        self.0.into_iter().unzip()
    }
}

/// The internal accounts that Earn and Burn reach through the asset.
async fn points_accounts(
    connection: &mut PgConnection,
    orders: &[(MerchantId, &Order)],
    assets: &mut assets::Known,
) -> lp_pg::Result<Points> {
    let named: HashSet<_> = orders
        .iter()
        .filter_map(|(merchant, order)| match &order.command {
            Command::Post(NewTransaction::Earn { asset, .. } | NewTransaction::Burn { asset, .. }) => {
                Some((*merchant, asset))
            }
            _ => None,
        })
        .collect();
    assets.learn(connection, named.iter().copied()).await?;
    let points = named
        .into_iter()
        .filter_map(|(merchant, code)| match assets.get(merchant, code)?.kind {
            AssetKind::Points(accounts) => Some(((merchant, code.clone()), accounts)),
            AssetKind::Currency => None,
        });
    Ok(points.collect())
}

/// References that are taken: of transactions, and of holds.
#[derive(Debug, Default)]
pub(super) struct Names {
    transactions: HashSet<(MerchantId, Reference)>,
    holds: HashSet<(MerchantId, Reference)>,
}

impl Names {
    async fn taken(connection: &mut PgConnection, orders: &[(MerchantId, &Order)]) -> lp_pg::Result<Self> {
        let mut of_transactions = Vec::new();
        let (mut merchants, mut references) = (Vec::new(), Vec::new());
        for (merchant, order) in orders {
            if let Some(reference) = &order.terms.reference {
                of_transactions.push((*merchant, reference));
            }
            if let Command::PlaceHold(_, new) = &order.command
                && let Some(reference) = &new.reference
            {
                merchants.push(merchant.uuid());
                references.push(reference.as_str().to_owned());
            }
        }
        let of_holds = if references.is_empty() {
            Vec::new()
        } else {
            holds::taken_references(connection, &merchants, &references).await?
        };
        Ok(Self {
            transactions: transactions::taken_references(connection, &of_transactions).await?,
            holds: of_holds.into_iter().collect(),
        })
    }

    /// Takes the name that `order` gives to what it posts or places, unless it is taken.
    pub(super) fn take(&mut self, merchant: MerchantId, order: &Order) -> Result<(), Refusal> {
        let (taken, reference) = self.of(order);
        match reference {
            Some(reference) if !taken.insert((merchant, reference.clone())) => {
                let reference = reference.clone();
                Err(Refusal::ReferenceTaken { reference })
            }
            _ => Ok(()),
        }
    }

    /// Gives back what [`Self::take`] took for an order that was refused.
    pub(super) fn give_back(&mut self, merchant: MerchantId, order: &Order) {
        let (taken, reference) = self.of(order);
        if let Some(reference) = reference {
            taken.remove(&(merchant, reference.clone()));
        }
    }

    fn of<'o>(&mut self, order: &'o Order) -> (&mut HashSet<(MerchantId, Reference)>, Option<&'o Reference>) {
        match &order.command {
            Command::PlaceHold(_, new) => (&mut self.holds, new.reference.as_ref()),
            _ => (&mut self.transactions, order.terms.reference.as_ref()),
        }
    }
}

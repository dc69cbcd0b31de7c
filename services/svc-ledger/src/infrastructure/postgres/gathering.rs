//! What a batch decides on: its accounts, their assets, holds, originals and the references that are taken.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use ledger_domain::{Asset, AssetKind, Book, Command, NewTransaction, Refusal};
use lp_types::{AccountId, MerchantId, Reference, time::Clock};
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
    pub(super) assets: Vec<(MerchantId, Asset)>,
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
    clock: &dyn Clock,
) -> lp_pg::Result<Gathered> {
    let mut orders: Vec<(MerchantId, &Order)> = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let merchant = wanted.claim.caller.merchant;
        orders.extend(wanted.orders.iter().map(|order| (merchant, order)));
    }
    let (owners, named_holds): (Vec<Uuid>, Vec<Uuid>) = orders
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
            touched.add(merchant.uuid(), account.uuid());
        }
    }
    for (merchant, account) in due {
        touched.add(merchant.uuid(), account.uuid());
    }
    if !named_holds.is_empty() {
        touched.extend(holds::accounts_of(connection, &owners, &named_holds).await?);
    }
    if !reversed.is_empty() {
        touched.extend(transactions::accounts_of(connection, &reversers, &reversed).await?);
    }
    let assets = assets::of_accounts(connection, &touched.merchants, &touched.accounts).await?;
    add_points_accounts(&mut touched, &orders, &assets);
    if access == Access::Lock {
        accounts::lock(connection, &touched.merchants, &touched.accounts).await?;
    }
    let now = clock.now();
    let records = accounts::load(connection, &touched.merchants, &touched.accounts).await?;

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

    let points = assets.iter().filter_map(|(merchant, asset)| match asset.kind {
        AssetKind::Points(accounts) => Some((*merchant, asset.code.clone(), accounts)),
        AssetKind::Currency => None,
    });
    let book = Book::new(records.iter().map(|record| record.account.clone()), points)
        .with_holds(standing)
        .with_originals(originals);
    let records = records.into_iter().map(|record| (record.account.id, record));
    Ok(Gathered {
        now,
        book,
        records: records.collect(),
        assets,
        names,
    })
}

/// Whose accounts a batch touches: pairs, as two columns.
#[derive(Debug, Default)]
struct Touched {
    merchants: Vec<Uuid>,
    accounts: Vec<Uuid>,
}

impl Touched {
    fn add(&mut self, merchant: Uuid, account: Uuid) {
        self.merchants.push(merchant);
        self.accounts.push(account);
    }

    fn extend(&mut self, pairs: Vec<(Uuid, Uuid)>) {
        for (merchant, account) in pairs {
            self.add(merchant, account);
        }
    }
}

/// Adds the internal accounts that Earn and Burn reach through the asset.
fn add_points_accounts(
    touched: &mut Touched,
    orders: &[(MerchantId, &Order)],
    assets: &[(MerchantId, Asset)],
) {
    let points: HashMap<_, _> = assets
        .iter()
        .filter_map(|(merchant, asset)| match asset.kind {
            AssetKind::Points(points) => Some(((*merchant, &asset.code), points)),
            AssetKind::Currency => None,
        })
        .collect();
    for (merchant, order) in orders {
        let internal = match &order.command {
            Command::Post(NewTransaction::Earn { asset, .. }) => {
                points.get(&(*merchant, asset)).map(|p| p.issuance)
            }
            Command::Post(NewTransaction::Burn { asset, .. }) => {
                points.get(&(*merchant, asset)).map(|p| p.redemption)
            }
            _ => None,
        };
        if let Some(account) = internal {
            touched.add(merchant.uuid(), account.uuid());
        }
    }
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

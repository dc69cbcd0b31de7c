//! The page of accounts: what `docs/ARCHITECTURE.md` says of each operation is posted, and found again, to the unit.

use std::collections::BTreeMap;

use e2e::Till;
use lp_contracts::{
    common::v1::Money,
    ledger::v1::{
        AccountType, AssetKind, CreateAccountRequest, CreateAssetRequest, CreateTransactionRequest,
        Direction, Entry, NewEntry,
    },
};

use crate::fleet;

/// One line of a table on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) direction: Direction,
    pub(crate) account: AccountType,
    pub(crate) asset: String,
    pub(crate) minor_units: i64,
    pub(crate) after: i64,
}

/// The operations of the page in their order: name and lines.
pub(crate) fn operations() -> Vec<(String, Vec<Line>)> {
    let page = include_str!("../../../docs/ARCHITECTURE.md");
    let part = page
        .split_once("<!-- accounts:begin -->")
        .unwrap()
        .1
        .split_once("<!-- accounts:end -->")
        .unwrap()
        .0;
    let mut operations: Vec<(String, Vec<Line>)> = Vec::new();
    for text in part.lines() {
        if let Some(named) = text.strip_prefix("**") {
            let name = named.split_once("**").unwrap().0;
            operations.push((name.to_owned(), Vec::new()));
        }
        let cells: Vec<&str> = text.split('|').map(str::trim).collect();
        let direction = match cells.get(1) {
            Some(&"debit") => Direction::Debit,
            Some(&"credit") => Direction::Credit,
            _ => continue,
        };
        let (amount, asset) = cells[3].split_once(' ').unwrap();
        let line = Line {
            direction,
            account: AccountType::from_str_name(&format!("ACCOUNT_TYPE_{}", cells[2])).unwrap(),
            asset: asset.to_owned(),
            minor_units: minor_units(amount),
            after: minor_units(cells[4]),
        };
        operations.last_mut().unwrap().1.push(line);
    }
    operations
}

/// `50.00` of two decimals, `600` of none: the page writes as many as the asset has.
fn minor_units(text: &str) -> i64 {
    text.replace('.', "").parse().unwrap()
}

#[test]
fn the_page_tells_of_every_operation_and_each_balances() {
    let operations = operations();
    let names: Vec<&str> = operations.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "Earn",
            "Burn",
            "Sale of a card",
            "Purchase with split tender",
            "Redemption of a card on its own",
            "Refund",
            "Expiry of points",
            "Expiry of a card",
        ]
    );
    for (name, lines) in &operations {
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for line in lines {
            let sign = if line.direction == Direction::Debit { 1 } else { -1 };
            *sums.entry(&line.asset).or_default() += sign * line.minor_units;
        }
        assert!(
            !sums.is_empty() && sums.values().all(|sum| *sum == 0),
            "{name}: {sums:?}"
        );
    }
}

/// Accounts of each type and asset, opened when they are first named.
struct Chart {
    till: Till,
    accounts: BTreeMap<(i32, String), String>,
}

impl Chart {
    async fn of(till: Till) -> Self {
        let mut accounts = BTreeMap::new();
        for (code, kind, exponent) in [("EUR", AssetKind::Currency, 2), ("PTS", AssetKind::Points, 0)] {
            let wanted = CreateAssetRequest {
                code: code.to_owned(),
                kind: kind.into(),
                exponent,
            };
            let request = till.request(wanted).unwrap();
            let asset = till.ledger.clone().create_asset(request).await.unwrap();
            let asset = asset.into_inner().asset.unwrap();
            if kind == AssetKind::Points {
                let of = |account: AccountType| (i32::from(account), code.to_owned());
                accounts.insert(of(AccountType::Issuance), asset.issuance_account_id);
                accounts.insert(of(AccountType::Redemption), asset.redemption_account_id);
            }
        }
        Self { till, accounts }
    }

    async fn account(&mut self, of: AccountType, asset: &str) -> String {
        let key = (i32::from(of), asset.to_owned());
        if let Some(known) = self.accounts.get(&key) {
            return known.clone();
        }
        let wanted = CreateAccountRequest {
            asset_code: asset.to_owned(),
            r#type: of.into(),
            ..CreateAccountRequest::default()
        };
        let request = self.till.request(wanted).unwrap();
        let opened = self.till.ledger.clone().create_account(request).await.unwrap();
        let account = opened.into_inner().account.unwrap();
        let held = [AccountType::Customer, AccountType::GiftCard].contains(&of);
        assert_eq!(account.min_balance, held.then_some(0), "{of:?}");
        self.accounts.insert(key, account.account_id.clone());
        account.account_id
    }

    /// Posts the lines as one transaction.
    async fn post(&mut self, lines: &[Line]) -> Result<Vec<Entry>, tonic::Status> {
        let mut entries = Vec::new();
        for line in lines {
            entries.push(NewEntry {
                account_id: self.account(line.account, &line.asset).await,
                direction: line.direction.into(),
                amount: Some(Money {
                    minor_units: line.minor_units,
                    asset_code: line.asset.clone(),
                }),
            });
        }
        let wanted = CreateTransactionRequest {
            entries,
            reference: self.till.new_name("page"),
        };
        let request = self.till.request(wanted).unwrap();
        let posted = self.till.ledger.clone().create_transaction(request).await?;
        Ok(posted.into_inner().transaction.unwrap().entries)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_says_is_posted_to_the_unit() {
    let own = fleet::start(&[]);
    let mut chart = Chart::of(own.till()).await;
    for (name, lines) in operations() {
        let entries = chart.post(&lines).await.unwrap();
        assert_eq!(entries.len(), lines.len(), "{name}");
        for (entry, line) in entries.iter().zip(&lines) {
            assert_eq!(entry.balance_after, line.after, "{name}: {line:?}");
        }
    }
    // The customer holds 475 points and the card nothing: neither can give one unit more.
    for (account, asset, one_too_many) in [
        (AccountType::Customer, "PTS", 476),
        (AccountType::GiftCard, "EUR", 1),
    ] {
        let line = |direction, account| Line {
            direction,
            account,
            asset: asset.to_owned(),
            minor_units: one_too_many,
            after: 0,
        };
        let lines = [
            line(Direction::Debit, account),
            line(Direction::Credit, AccountType::Breakage),
        ];
        let refused = chart.post(&lines).await.unwrap_err();
        assert!(
            refused.message().contains("balance") || refused.code() == tonic::Code::FailedPrecondition,
            "{refused}"
        );
    }
}

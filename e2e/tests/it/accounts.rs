//! The page of accounts: what `docs/ARCHITECTURE.md` says of each operation is posted, and found again, to the unit.

use std::collections::BTreeMap;

use e2e::Till;
use lp_contracts::{
    common::v1::Money,
    ledger::v1::{
        AccountType, AssetKind, CreateAccountRequest, CreateAssetRequest, CreateTransactionRequest,
        Direction, Entry, GetAccountRequest, GetTransactionRequest, NewEntry,
    },
};

use serde_json::json;

use crate::{fleet, shop};

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
                ..Default::default()
            });
        }
        let wanted = CreateTransactionRequest {
            entries,
            reference: self.till.new_name("page"),
            ..Default::default()
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

/// What a transaction that a service posted did, in the words of the page.
async fn posted(till: &Till, transaction_id: &str) -> Vec<Line> {
    let wanted = GetTransactionRequest {
        transaction_id: transaction_id.to_owned(),
    };
    let request = till.request(wanted).unwrap();
    let found = till.ledger.clone().get_transaction(request).await.unwrap();
    let mut lines = Vec::new();
    for entry in found.into_inner().transaction.unwrap().entries {
        let wanted = GetAccountRequest {
            account_id: entry.account_id.clone(),
        };
        let request = till.request(wanted).unwrap();
        let account = till.ledger.clone().get_account(request).await.unwrap();
        let amount = entry.amount.clone().unwrap();
        lines.push(Line {
            direction: entry.direction(),
            account: account.into_inner().account.unwrap().r#type(),
            asset: amount.asset_code,
            minor_units: amount.minor_units,
            after: entry.balance_after,
        });
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_post_what_the_page_says() {
    let own = fleet::start(&[]);
    let till = own.till();
    shop::onboard(&own, &till, 100).await;
    let page = operations();
    let page = |name: &str| {
        let found = page.iter().find(|(known, _)| known == name);
        found.unwrap().1.clone()
    };
    let sorted = |mut lines: Vec<Line>| {
        lines.sort_by_key(|line| (line.asset.clone(), line.direction, line.account, line.after));
        lines
    };
    let wallet = till.open_wallet("PTS", "claire@example.com", "en").await.unwrap();
    let earned = till
        .earn(&wallet.account_id, 600, "PTS")
        .await
        .unwrap()
        .transaction
        .unwrap();
    assert_eq!(posted(&till, &earned.transaction_id).await, page("Earn"));
    let burnt = till
        .burn(&wallet.account_id, 50, "PTS")
        .await
        .unwrap()
        .transaction
        .unwrap();
    assert_eq!(posted(&till, &burnt.transaction_id).await, page("Burn"));

    let cards = "SVC_GIFTCARD_HTTP_URL";
    let euros = |minor_units: &str| json!({"minorUnits": minor_units, "assetCode": "EUR"});
    let product = json!({"name": "A card", "currencyCode": "EUR", "denominations": ["5000"]});
    let product = shop::write(&own, &till, cards, "/v1/products", product).await;
    let issue = json!({"productId": product["product"]["productId"]});
    let issued = shop::write(&own, &till, cards, "/v1/cards", issue).await;
    let activate = format!(
        "/v1/cards/{}:activate",
        issued["card"]["cardId"].as_str().unwrap()
    );
    let sold = shop::write(&own, &till, cards, &activate, json!({"amount": euros("5000")})).await;
    let sale = posted(&till, sold["transactionId"].as_str().unwrap()).await;
    assert_eq!(sorted(sale), sorted(page("Sale of a card")));

    let purchase = json!({
        "amount": euros("5000"), "walletId": wallet.wallet_id, "tenders": [
            {"kind": "TENDER_KIND_GIFT_CARD", "minorUnits": "2000", "cardCode": issued["code"]},
            {"kind": "TENDER_KIND_POINTS", "minorUnits": "500"},
            {"kind": "TENDER_KIND_EXTERNAL", "minorUnits": "2500"},
        ],
    });
    let bought = shop::write(&own, &till, "SVC_MERCHANT_HTTP_URL", "/v1/purchases", purchase).await;
    let bought = posted(&till, bought["purchase"]["transactionId"].as_str().unwrap()).await;
    assert_eq!(sorted(bought), sorted(page("Purchase with split tender")));

    let redeem = json!({"code": issued["code"], "amount": euros("1000")});
    let redeemed = shop::write(&own, &till, cards, "/v1/cards:redeem", redeem).await;
    let redeemed = posted(&till, redeemed["transactionId"].as_str().unwrap()).await;
    assert_eq!(sorted(redeemed), sorted(page("Redemption of a card on its own")));
}

//! Balances of the past, against what all entries together come to.

use std::time::Duration;

use jiff::Timestamp;
use lp_contracts::{
    ledger::v1::{
        self, batch_get_balances_request::At as BatchAt, get_balance_request::At, transaction_result,
    },
    time::to_wire,
    token::ConsistencyToken,
};
use lp_types::time::Ambient;
use serde_json::json;
use tonic::{Code, Response, Status};

use crate::{
    audit::audit,
    support::{Client, Ground, credit, debit, fields, new_key, points, reason},
};

/// One entry, as it stands in the table.
struct Row {
    account: String,
    transaction: String,
    sequence: i64,
    /// On the account's normal side.
    units: i64,
    posted_at: i64,
    effective_at: i64,
}

/// All entries, by account and number. Times are microseconds.
async fn rows(ground: &Ground) -> Vec<Row> {
    let found: Vec<(String, String, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT 'acc_' || replace(account_id::text, '-', ''), 'txn_' || replace(transaction_id::text, '-', ''),
                account_sequence, CASE e.direction WHEN a.normal_balance THEN amount ELSE -amount END,
                (extract(epoch FROM e.posted_at) * 1000000)::bigint,
                (extract(epoch FROM coalesce(e.effective_at, e.posted_at)) * 1000000)::bigint
         FROM ledger_entries e JOIN accounts a USING (account_id) ORDER BY account_id, account_sequence",
    )
    .fetch_all(&mut ground.owner().await)
    .await
    .unwrap();
    let row = |(account, transaction, sequence, units, posted_at, effective_at)| Row {
        account,
        transaction,
        sequence,
        units,
        posted_at,
        effective_at,
    };
    found.into_iter().map(row).collect()
}

/// What those of an account's entries come to that count: units, number and time of the last.
fn sum<'r>(rows: impl Iterator<Item = &'r Row>) -> (i64, i64, Option<i64>) {
    let counts: Vec<_> = rows.collect();
    let last = counts.last();
    (
        counts.iter().map(|row| row.units).sum(),
        last.map_or(0, |row| row.sequence),
        last.map(|row| row.posted_at),
    )
}

fn naive(rows: &[Row], account: &str, at: &At) -> (i64, i64, Option<i64>) {
    let micros = |at: &prost_types::Timestamp| at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000;
    let own = || rows.iter().filter(|row| row.account == account);
    match at {
        At::PostedAt(at) => sum(own().filter(|row| row.posted_at <= micros(at))),
        At::EffectiveAt(at) => sum(own().filter(|row| row.effective_at <= micros(at))),
        At::TransactionId(id) => {
            let of = rows.iter().find(|row| row.transaction == *id).unwrap();
            match own().rfind(|row| row.transaction == *id) {
                Some(last) => sum(own().filter(|row| row.sequence <= last.sequence)),
                None => sum(own().filter(|row| row.posted_at <= of.posted_at)),
            }
        }
    }
}

impl Client {
    async fn balance_at(&self, account: &str, at: At) -> Result<v1::Balance, Status> {
        let wanted = v1::GetBalanceRequest {
            account_id: account.to_owned(),
            at: Some(at),
        };
        let answer = self.grpc.clone().get_balance(self.request("", wanted)).await;
        answer.map(|answer| answer.into_inner().balance.unwrap())
    }

    async fn balances(&self, accounts: &[String], at: Option<At>) -> Result<Vec<v1::Balance>, Status> {
        let at = at.map(|at| match at {
            At::PostedAt(time) => BatchAt::PostedAt(time),
            At::EffectiveAt(time) => BatchAt::EffectiveAt(time),
            At::TransactionId(id) => BatchAt::TransactionId(id),
        });
        let wanted = v1::BatchGetBalancesRequest {
            account_ids: accounts.to_vec(),
            at,
        };
        let answer = self
            .grpc
            .clone()
            .batch_get_balances(self.request("", wanted))
            .await;
        answer.map(|answer| answer.into_inner().balances)
    }
}

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn wire(micros: i64) -> prost_types::Timestamp {
    to_wire(Timestamp::from_microsecond(micros).unwrap())
}

/// Moves points between the accounts in 160 transactions, some of several entries on one account, many with an earlier
/// effect, singly and many at once; the last account is never touched.
async fn trade(client: &Client, dice: &mut Dice) -> Vec<String> {
    let mut accounts = vec![client.points("PTS").await.issuance_account_id];
    for _ in 0..2 {
        accounts.push(client.account("PTS", v1::AccountType::External).await);
        accounts.push(client.account("PTS", v1::AccountType::Sales).await);
    }
    let begin = Ambient::system().clock.now();
    for round in 0..16 {
        let mut transactions = Vec::new();
        for _ in 0..10 {
            let mut pick = |bound: u64| usize::try_from(dice.below(bound)).unwrap();
            let (from, to, amount) = (pick(4), pick(4), i64::try_from(1 + pick(50)).unwrap());
            let entries = vec![
                debit(&accounts[from], points(amount)),
                credit(
                    &accounts[to],
                    points(amount - 1).filter(|part| part.minor_units > 0),
                ),
                credit(&accounts[to], points(1)),
            ];
            let entries = entries.into_iter().filter(|entry| entry.amount.is_some());
            let earlier = Duration::from_millis(dice.below(3_000));
            let effective_at = (dice.below(2) == 0).then(|| to_wire(begin - earlier));
            transactions.push(v1::CreateTransactionRequest {
                entries: entries.collect(),
                effective_at,
                ..Default::default()
            });
        }
        if round % 2 == 0 {
            for wanted in transactions {
                let request = client.request(&new_key(), wanted);
                client.grpc.clone().create_transaction(request).await.unwrap();
            }
        } else {
            let wanted = v1::BatchCreateTransactionsRequest {
                transactions,
                ..Default::default()
            };
            let request = client.request(&new_key(), wanted);
            let answer = client
                .grpc
                .clone()
                .batch_create_transactions(request)
                .await
                .unwrap();
            let posted =
                |r: &v1::TransactionResult| matches!(r.result, Some(transaction_result::Result::Posted(_)));
            assert!(answer.into_inner().results.iter().all(posted));
        }
    }
    accounts
}

#[tokio::test]
async fn a_balance_of_the_past_is_what_the_entries_of_then_come_to() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    // Another merchant's entries are at the same times.
    instance.merchant().customer_with(7).await;
    let mut dice = Dice(0x5eed);
    let accounts = trade(&client, &mut dice).await;
    let rows = rows(&ground).await;
    let own: Vec<_> = rows
        .iter()
        .filter(|row| accounts.contains(&row.account))
        .collect();
    assert!(own.iter().any(|row| row.effective_at < row.posted_at));

    let mut moments = vec![
        At::PostedAt(wire(0)),
        At::EffectiveAt(wire(-60_000_000)),
        At::PostedAt(wire(own[0].posted_at + 86_400_000_000)),
        At::EffectiveAt(wire(own[0].posted_at + 86_400_000_000)),
    ];
    for _ in 0..40 {
        let row = own[usize::try_from(dice.below(u64::try_from(own.len()).unwrap())).unwrap()];
        for by in [-1, 0, 1] {
            moments.push(At::PostedAt(wire(row.posted_at + by)));
            moments.push(At::EffectiveAt(wire(row.effective_at + by)));
            moments.push(At::EffectiveAt(wire(row.posted_at + by)));
        }
        moments.push(At::TransactionId(row.transaction.clone()));
    }
    for at in moments {
        let balances = client.balances(&accounts, Some(at.clone())).await.unwrap();
        assert_eq!(balances.len(), accounts.len());
        for (account, balance) in accounts.iter().zip(&balances) {
            let token = ConsistencyToken::decode(&balance.consistency_token).unwrap();
            let units = balance.balance.clone().unwrap();
            let posted_at = balance.posted_at.as_ref();
            let posted_at = posted_at.map(|at| at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000);
            let found = (units.minor_units, balance.sequence, posted_at);
            assert_eq!(found, naive(&rows, account, &at), "{account} {at:?}");
            assert_eq!((&balance.account_id, units.asset_code.as_str()), (account, "PTS"));
            assert_eq!(balance.available, None);
            assert_eq!((token.epoch, token.sequence), (1, balance.sequence));
        }
        let one = usize::try_from(dice.below(5)).unwrap();
        assert_eq!(
            client.balance_at(&accounts[one], at).await.unwrap(),
            balances[one]
        );
    }
    audit(&ground).await;
}

#[tokio::test]
async fn many_balances_of_now_are_of_one_moment() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(1).await;
    client.held(&account, 1).await;
    let issuance = client.points("EUR").await.issuance_account_id;
    let accounts = [account.clone(), issuance.clone()];
    let balances = client.balances(&accounts, None).await.unwrap();
    assert_eq!(balances[0], client.balance(&account).await);
    assert_eq!((balances[0].available, balances[1].available), (Some(0), Some(0)));

    let issuance = client.account("PTS", v1::AccountType::External).await;
    let accounts = [issuance.clone(), account.clone()];
    let writer = tokio::spawn({
        let client = client.clone();
        async move {
            for _ in 0..60 {
                let entries = vec![debit(&issuance, points(1)), credit(&account, points(1))];
                client.transact(&new_key(), entries).await.unwrap();
            }
        }
    });
    while !writer.is_finished() {
        let balances = client.balances(&accounts, None).await.unwrap();
        let units = |n: usize| balances[n].balance.as_ref().unwrap().minor_units;
        assert_eq!(units(0) + 1, units(1));
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn balances_come_as_json() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(5).await;
    let earlier = v1::EarnRequest {
        account_id: account.clone(),
        amount: points(3),
        effective_at: Some(wire(1_767_225_600_000_000)),
        ..Default::default()
    };
    let earned = client
        .grpc
        .clone()
        .earn(client.request(&new_key(), earlier))
        .await;
    let earned = earned.unwrap().into_inner().transaction.unwrap();
    let units = async |query: &str| {
        let (status, answer) = client
            .get(&format!("/v1/accounts/{account}/balance{query}"))
            .await;
        assert_eq!(status, 200, "{query}: {answer}");
        let balance = &answer["balance"];
        assert_eq!(balance.get("available").is_some(), query.is_empty());
        (
            balance["balance"]["minorUnits"].clone(),
            balance["sequence"].clone(),
        )
    };
    assert_eq!(units("").await, (json!("8"), json!("2")));
    assert_eq!(
        units("?effectiveAt=2026-01-01T00:00:00Z").await,
        (json!("3"), json!("2"))
    );
    assert_eq!(
        units("?effectiveAt=2025-12-31T23:59:59.999999Z").await,
        (json!("0"), json!("0"))
    );
    assert_eq!(
        units("?postedAt=2026-01-01T00:00:00Z").await,
        (json!("0"), json!("0"))
    );
    let after = format!("?transactionId={}", earned.transaction_id);
    assert_eq!(units(&after).await, (json!("8"), json!("2")));

    let mut accounts = vec![account.clone()];
    let wanted = v1::BatchCreateAccountsRequest {
        accounts: vec![
            v1::CreateAccountRequest {
                asset_code: "PTS".to_owned(),
                r#type: v1::AccountType::Customer.into(),
                ..Default::default()
            };
            499
        ],
    };
    let request = client.request(&new_key(), wanted);
    let opened = client.grpc.clone().batch_create_accounts(request).await.unwrap();
    accounts.extend(opened.into_inner().accounts.into_iter().map(|a| a.account_id));
    let ids: Vec<_> = accounts.iter().map(|id| format!("accountIds={id}")).collect();
    let path = format!(
        "/v1/balances:batchGet?{}&effectiveAt=2026-01-01T00:00:00Z",
        ids.join("&")
    );
    let (status, answer) = client.get(&path).await;
    assert_eq!(status, 200, "{answer}");
    let balances = answer["balances"].as_array().unwrap();
    assert_eq!(balances.len(), 500);
    assert_eq!(balances[0]["balance"]["minorUnits"], "3");
    assert!(
        balances
            .iter()
            .zip(&accounts)
            .all(|(b, id)| b["accountId"] == *id)
    );

    let twice = "?postedAt=2026-01-01T00:00:00Z&effectiveAt=2026-01-01T00:00:00Z";
    let (status, answer) = client
        .get(&format!("/v1/accounts/{account}/balance{twice}"))
        .await;
    assert_eq!(
        (status, &answer["reason"]),
        (400, &json!("INVALID_FIELD")),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_named() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(5).await;
    let theirs = instance.merchant().customer_with(5).await;
    let other = instance.merchant();
    let unknown = other.customer_with(5).await;
    let foreign = other
        .earn(&new_key(), &unknown, 1)
        .await
        .unwrap()
        .transaction
        .unwrap();
    let after = |id: &str| Some(At::TransactionId(id.to_owned()));
    let far = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
    let one = vec![account.clone()];
    let invalid = (Code::InvalidArgument, "INVALID_FIELD");
    let many: Vec<_> = (0..501).map(|n| format!("acc_{n:032x}")).collect();
    for (accounts, at, (code, wanted), field) in [
        (vec![], None, invalid, "accountIds"),
        (many, None, invalid, "accountIds"),
        (
            vec![account.clone(), "x".to_owned()],
            None,
            invalid,
            "accountIds[1]",
        ),
        (
            vec![account.clone(), account.clone()],
            None,
            invalid,
            "accountIds[1]",
        ),
        (
            vec![account.clone(), theirs.clone()],
            None,
            (Code::NotFound, "UNKNOWN_ACCOUNT"),
            "accountIds[1]",
        ),
        (
            vec![account.clone(), theirs.clone()],
            Some(At::PostedAt(far(0))),
            (Code::NotFound, "UNKNOWN_ACCOUNT"),
            "accountIds[1]",
        ),
        (one.clone(), after("x"), invalid, "transactionId"),
        (
            one.clone(),
            after(&foreign.transaction_id),
            (Code::NotFound, "NOT_FOUND"),
            "transactionId",
        ),
        (
            one.clone(),
            Some(At::PostedAt(far(i64::MAX))),
            invalid,
            "postedAt",
        ),
        (
            one.clone(),
            Some(At::EffectiveAt(far(-70_000_000_000))),
            invalid,
            "effectiveAt",
        ),
    ] {
        let refused = client.balances(&accounts, at.clone()).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str(), fields(&refused)),
            (code, wanted, vec![field.to_owned()]),
            "{refused:?}"
        );
        if let (Some(at), [account]) = (at, accounts.as_slice()) {
            let alone = client.balance_at(account, at).await.unwrap_err();
            assert_eq!((alone.code(), fields(&alone)), (code, vec![field.to_owned()]));
        }
    }
    let refused = client
        .balance_at(&theirs, At::PostedAt(far(0)))
        .await
        .unwrap_err();
    assert_eq!(
        (reason(&refused).as_str(), fields(&refused)),
        ("UNKNOWN_ACCOUNT", vec!["accountId".to_owned()])
    );

    // No write keeps a time that no answer could tell.
    let wanted = v1::EarnRequest {
        account_id: account,
        amount: points(3),
        effective_at: Some(far(-70_000_000_000)),
        ..Default::default()
    };
    let refused = client.grpc.clone().earn(client.request(&new_key(), wanted)).await;
    let refused = refused.map(Response::into_inner).unwrap_err();
    assert_eq!(
        (refused.code(), fields(&refused)),
        (Code::InvalidArgument, vec!["effectiveAt".to_owned()])
    );
}

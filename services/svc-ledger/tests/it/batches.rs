//! Several transactions in one call, and streams of them.

use std::time::Duration;

use lp_contracts::ledger::v1::{
    self,
    transaction_result::Result::{Posted, Refused},
};
use serde_json::json;
use tonic::{Code, Response, Status};

use crate::{
    audit::audit,
    support::{Client, Ground, credit, debit, fields, new_key, points, reason},
};

type Answer = Result<v1::BatchCreateTransactionsResponse, Status>;

/// A merchant with 10 points on a customer's account, and the account that gives them.
struct Shop {
    client: Client,
    customer: String,
    issuance: String,
}

impl Shop {
    async fn at(client: Client) -> Self {
        let issuance = client.points("PTS").await.issuance_account_id;
        let customer = client.customer("PTS").await;
        client.earn(&new_key(), &customer, 10).await.unwrap();
        Self {
            client,
            customer,
            issuance,
        }
    }

    fn give(&self, amount: i64) -> v1::CreateTransactionRequest {
        let amount = points(amount);
        let entries = vec![
            debit(&self.issuance, amount.clone()),
            credit(&self.customer, amount),
        ];
        v1::CreateTransactionRequest {
            entries,
            ..Default::default()
        }
    }

    fn take(&self, amount: i64) -> v1::CreateTransactionRequest {
        let amount = points(amount);
        let entries = vec![
            debit(&self.customer, amount.clone()),
            credit(&self.issuance, amount),
        ];
        v1::CreateTransactionRequest {
            entries,
            ..Default::default()
        }
    }

    async fn batch(
        &self,
        key: &str,
        all_or_nothing: bool,
        transactions: Vec<v1::CreateTransactionRequest>,
    ) -> Answer {
        let wanted = v1::BatchCreateTransactionsRequest {
            transactions,
            all_or_nothing,
            ..Default::default()
        };
        self.ask(key, wanted).await
    }

    async fn ask(&self, key: &str, wanted: v1::BatchCreateTransactionsRequest) -> Answer {
        let request = self.client.request(key, wanted);
        let answer = self.client.grpc.clone().batch_create_transactions(request).await;
        answer.map(Response::into_inner)
    }

    async fn import(
        &self,
        items: Vec<(String, v1::CreateTransactionRequest)>,
    ) -> Result<v1::ImportTransactionsResponse, Status> {
        let item = |(idempotency_key, transaction)| v1::ImportTransactionsRequest {
            idempotency_key,
            transaction: Some(transaction),
        };
        let stream = futures::stream::iter(items.into_iter().map(item));
        let request = self.client.request("", stream);
        let answer = self.client.grpc.clone().import_transactions(request).await;
        answer.map(Response::into_inner)
    }
}

fn posted(answer: &v1::BatchCreateTransactionsResponse) -> Vec<Result<i64, &str>> {
    let result = |result: &'_ v1::TransactionResult| match result.result.clone().unwrap() {
        Posted(posted) => Ok(posted.balances[1].balance.as_ref().unwrap().minor_units),
        Refused(refused) => Err(match refused.reason.as_str() {
            "INSUFFICIENT_FUNDS" => "INSUFFICIENT_FUNDS",
            "REFERENCE_TAKEN" => "REFERENCE_TAKEN",
            other => panic!("{other}"),
        }),
    };
    answer.results.iter().map(result).collect()
}

#[tokio::test]
async fn each_transaction_of_a_batch_has_a_result_of_its_own() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = Shop::at(instance.merchant()).await;
    let before = ground.written().await;
    let key = new_key();
    let named = |mut transaction: v1::CreateTransactionRequest| {
        transaction.reference = "order:1".to_owned();
        transaction
    };
    let wanted = vec![
        shop.give(5),
        shop.take(100),
        named(shop.give(1)),
        named(shop.give(2)),
        shop.give(3),
    ];
    let answer = shop.batch(&key, false, wanted.clone()).await.unwrap();
    let expected = [
        Ok(15),
        Err("INSUFFICIENT_FUNDS"),
        Ok(16),
        Err("REFERENCE_TAKEN"),
        Ok(19),
    ];
    assert_eq!(posted(&answer), expected);
    let Some(Refused(refused)) = &answer.results[1].result else {
        panic!("{answer:?}")
    };
    assert_eq!(refused.metadata["would_be"], "-85");

    // The same key and batch: the same answer, and nothing more. Another batch: refused.
    assert_eq!(shop.batch(&key, false, wanted.clone()).await.unwrap(), answer);
    let refused = shop.batch(&key, true, wanted).await.unwrap_err();
    assert_eq!(reason(&refused), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(
        ground.written().await,
        [before[0] + 3, before[1] + 6, before[2] + 1]
    );
    assert_eq!(shop.client.units(&shop.customer).await, 19);
    audit(&ground).await;
}

#[tokio::test]
async fn all_of_a_batch_or_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = Shop::at(instance.merchant()).await;
    let before = ground.written().await;
    let key = new_key();
    let wanted = vec![shop.give(5), shop.take(15), shop.take(1), shop.give(100)];
    let refused = shop.batch(&key, true, wanted.clone()).await.unwrap_err();
    assert_eq!(
        (reason(&refused).as_str(), refused.code()),
        ("INSUFFICIENT_FUNDS", Code::FailedPrecondition)
    );
    assert_eq!(fields(&refused), ["transactions[2]"]);
    assert_eq!(ground.written().await, [before[0], before[1], before[2] + 1]);
    assert_eq!(shop.client.units(&shop.customer).await, 10);
    // It is an answer: it stays, whatever the account holds later.
    shop.client.earn(&new_key(), &shop.customer, 1).await.unwrap();
    let again = shop.batch(&key, true, wanted.clone()).await.unwrap_err();
    assert_eq!(
        (fields(&again), again.message()),
        (fields(&refused), refused.message())
    );
    let answer = shop.batch(&new_key(), true, wanted.clone()).await.unwrap();
    assert_eq!(answer.results.len(), 4);
    assert_eq!(shop.client.units(&shop.customer).await, 100);

    // A reference that is taken, by an earlier one of the same batch: neither stays taken.
    let named = |mut transaction: v1::CreateTransactionRequest| {
        transaction.reference = "order:2".to_owned();
        transaction
    };
    let twice = vec![named(shop.give(1)), shop.give(1), named(shop.give(1))];
    let refused = shop.batch(&new_key(), true, twice).await.unwrap_err();
    assert_eq!(
        (reason(&refused).as_str(), fields(&refused)),
        ("REFERENCE_TAKEN", vec!["transactions[2].reference".to_owned()])
    );
    shop.batch(&new_key(), true, vec![named(shop.give(1))])
        .await
        .unwrap();
    audit(&ground).await;
}

#[tokio::test]
async fn a_refused_batch_leaves_its_neighbours_alone() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = Shop::at(instance.merchant()).await;
    let other = Shop::at(instance.merchant()).await;
    let calls = (0..40).map(|n| {
        let (shop, other) = (&shop, &other);
        async move {
            let (good_key, bad_key) = (format!("good-{n}"), format!("bad-{n}"));
            let good = other.batch(&good_key, true, vec![other.give(1), other.give(1)]);
            let bad = shop.batch(&bad_key, true, vec![shop.give(1), shop.take(1_000)]);
            let (good, bad) = tokio::join!(good, bad);
            assert_eq!(good.unwrap().results.len(), 2);
            assert_eq!(fields(&bad.unwrap_err()), ["transactions[1]"]);
        }
    });
    futures::future::join_all(calls).await;
    assert_eq!(other.client.units(&other.customer).await, 10 + 80);
    assert_eq!(shop.client.units(&shop.customer).await, 10);
    audit(&ground).await;
}

#[tokio::test]
async fn a_bad_batch_names_its_line_and_claims_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = Shop::at(instance.merchant()).await;
    let before = ground.written().await;
    let long = |count: usize| vec![shop.give(1); count];
    let bad = |change: fn(&mut v1::CreateTransactionRequest)| {
        let mut wanted = vec![shop.give(1), shop.give(1)];
        change(&mut wanted[1]);
        wanted
    };
    for (wanted, all, field) in [
        (vec![], false, "transactions"),
        (long(501), false, "transactions"),
        (long(251), true, "transactions"),
        (
            bad(|t| t.validate_only = true),
            false,
            "transactions[1].validateOnly",
        ),
        (
            bad(|t| t.entries[1].account_id = "acc_1".to_owned()),
            false,
            "transactions[1].entries[1].accountId",
        ),
        (
            bad(|t| t.entries[1].amount = points(2)),
            true,
            "transactions[1].entries",
        ),
        (
            bad(|t| t.reference = "Claire Martin".to_owned()),
            true,
            "transactions[1].reference",
        ),
        (
            bad(|t| drop(t.metadata.insert("Who".to_owned(), "x".to_owned()))),
            true,
            "transactions[1].metadata",
        ),
    ] {
        let refused = shop.batch(&new_key(), all, wanted).await.unwrap_err();
        assert_eq!(
            (refused.code(), fields(&refused)),
            (Code::InvalidArgument, vec![field.to_owned()]),
            "{refused:?}"
        );
    }
    assert_eq!(ground.written().await, before);
    let most = shop.batch(&new_key(), true, long(250)).await.unwrap();
    assert_eq!(most.results.len(), 250);
}

#[tokio::test]
async fn a_batch_can_be_tried_and_comes_as_json() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = Shop::at(instance.merchant()).await;
    let before = ground.written().await;
    let wanted = v1::BatchCreateTransactionsRequest {
        transactions: vec![shop.give(5), shop.take(100), shop.give(5)],
        validate_only: true,
        ..Default::default()
    };
    let tried = shop.ask(&new_key(), wanted).await.unwrap();
    assert_eq!(posted(&tried), [Ok(15), Err("INSUFFICIENT_FUNDS"), Ok(20)]);
    assert_eq!(ground.written().await, before);

    let entry = |account: &str, side: &str, amount: &str| json!({"accountId": account, "direction": side, "amount": {"minorUnits": amount, "assetCode": "PTS"}});
    let transaction = |amount: &str| {
        json!({"entries": [
            entry(&shop.customer, "DIRECTION_DEBIT", amount),
            entry(&shop.issuance, "DIRECTION_CREDIT", amount),
        ]})
    };
    let body = json!({"transactions": [transaction("4"), transaction("7")]});
    let (status, answer) = shop
        .client
        .post(&new_key(), "/v1/transactions:batchCreate", &body)
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["results"][0]["posted"]["transaction"]["kind"],
        "TRANSACTION_KIND_GENERAL"
    );
    assert_eq!(answer["results"][1]["refused"]["reason"], "INSUFFICIENT_FUNDS");
    let body = json!({"transactions": [transaction("4"), transaction("7")], "allOrNothing": true});
    let (status, answer) = shop
        .client
        .post(&new_key(), "/v1/transactions:batchCreate", &body)
        .await;
    assert_eq!(
        (status, &answer["reason"]),
        (400, &json!("INSUFFICIENT_FUNDS")),
        "{answer}"
    );
    audit(&ground).await;
}

#[tokio::test]
async fn a_stream_posts_what_it_can_and_again_nothing_twice() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = Shop::at(instance.merchant()).await;
    let before = ground.written().await;
    let mut items: Vec<_> = (0..3_000).map(|n| (format!("line-{n}"), shop.give(1))).collect();
    items[1_000].1 = shop.take(1_000_000);
    items[2_000].1.entries[1].amount = points(3);
    items[2_500].0 = String::new();
    let answer = shop.import(items.clone()).await.unwrap();
    assert_eq!((answer.posted, answer.refused), (2_997, 3));
    let refusals: Vec<_> = answer
        .refusals
        .iter()
        .map(|r| {
            let refusal = r.refusal.as_ref().unwrap();
            (
                r.index,
                r.idempotency_key.as_str(),
                refusal.reason.as_str(),
                refusal.field.as_str(),
            )
        })
        .collect();
    assert_eq!(
        refusals,
        [
            (1_000, "line-1000", "INSUFFICIENT_FUNDS", "transaction"),
            (2_000, "line-2000", "UNBALANCED", "transaction.entries"),
            (2_500, "", "INVALID_FIELD", "idempotencyKey"),
        ]
    );
    assert_eq!(shop.client.units(&shop.customer).await, 10 + 2_997);

    // Sent again it answers the same; one of its lines alone is the same as CreateTransaction under its key.
    assert_eq!(shop.import(items.clone()).await.unwrap(), answer);
    let request = shop.client.request("line-7", shop.give(1));
    shop.client
        .grpc
        .clone()
        .create_transaction(request)
        .await
        .unwrap();
    let after = ground.written().await;
    assert_eq!([after[0] - before[0], after[1] - before[1]], [2_997, 5_994]);
    audit(&ground).await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_goes_on_where_it_stopped() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = Shop::at(instance.merchant()).await;
    let items: Vec<_> = (0..2_000).map(|n| (format!("line-{n}"), shop.give(1))).collect();
    let mut client = shop.client.grpc.clone();
    let half: Vec<_> = items[..1_200].to_vec();
    let endless = futures::stream::iter(half.into_iter().map(|(idempotency_key, transaction)| {
        v1::ImportTransactionsRequest {
            idempotency_key,
            transaction: Some(transaction),
        }
    }));
    let endless = futures::StreamExt::chain(endless, futures::stream::pending());
    let request = shop.client.request("", endless);
    let cut = tokio::time::timeout(Duration::from_secs(2), client.import_transactions(request)).await;
    assert!(cut.is_err(), "it waits for more");
    let answer = shop.import(items).await.unwrap();
    assert_eq!((answer.posted, answer.refused), (2_000, 0));
    assert_eq!(shop.client.units(&shop.customer).await, 10 + 2_000);
    audit(&ground).await;
}

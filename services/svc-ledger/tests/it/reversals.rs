//! Reversals as clients meet them: each tender to its origin, never more than there was.

use futures::future::join_all;
use lp_contracts::ledger::v1;
use tonic::{Response, Status};

use crate::{
    audit::audit,
    support::{Client, Ground, credit, debit, money, new_key, points, reason},
};

impl Client {
    async fn reverse(
        &self,
        key: &str,
        wanted: v1::ReverseTransactionRequest,
    ) -> Result<v1::ReverseTransactionResponse, Status> {
        let request = self.request(key, wanted);
        let reversed = self.grpc.clone().reverse_transaction(request).await;
        reversed.map(Response::into_inner)
    }
}

fn all_of(transaction: &str) -> v1::ReverseTransactionRequest {
    v1::ReverseTransactionRequest {
        transaction_id: transaction.to_owned(),
        ..Default::default()
    }
}

fn part_of(transaction: &str, cents: i64) -> v1::ReverseTransactionRequest {
    v1::ReverseTransactionRequest {
        amount: money(cents, "EUR"),
        ..all_of(transaction)
    }
}

/// A purchase of 100 EUR: 50 by card and 50 by bank, and 80 points for it.
struct Purchase {
    client: Client,
    card: String,
    customer: String,
    sales: String,
    id: String,
}

impl Purchase {
    async fn at(client: Client) -> Self {
        let points_asset = client.points("PTS").await;
        client.asset("EUR", v1::AssetKind::Currency, 2).await;
        let customer = client.customer("PTS").await;
        let card = client.account("EUR", v1::AccountType::GiftCard).await;
        let bank = client.account("EUR", v1::AccountType::External).await;
        let sales = client.account("EUR", v1::AccountType::Sales).await;
        let eur = |n| money(n, "EUR");
        let load = vec![debit(&bank, eur(5_000)), credit(&card, eur(5_000))];
        client.transact(&new_key(), load).await.unwrap();
        let entries = vec![
            debit(&card, eur(5_000)),
            debit(&bank, eur(5_000)),
            credit(&sales, eur(10_000)),
            debit(&points_asset.issuance_account_id, points(80)),
            credit(&customer, points(80)),
        ];
        let posted = client.transact(&new_key(), entries).await.unwrap();
        let id = posted.transaction.unwrap().transaction_id;
        Self {
            client,
            card,
            customer,
            sales,
            id,
        }
    }

    async fn units(&self) -> [i64; 3] {
        let of = |account| self.client.units(account);
        [
            of(&self.card).await,
            of(&self.customer).await,
            of(&self.sales).await,
        ]
    }
}

#[tokio::test]
async fn a_purchase_is_refunded_in_parts_and_then_no_more() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let purchase = Purchase::at(instance.merchant()).await;
    let (client, id) = (&purchase.client, purchase.id.as_str());
    assert_eq!(purchase.units().await, [0, 80, 10_000]);

    let first = client.reverse("first", part_of(id, 3_333)).await.unwrap();
    let posted = first.transaction.clone().unwrap();
    assert_eq!(posted.kind(), v1::TransactionKind::Reversal);
    assert_eq!(posted.reverses_transaction_id, id);
    // 1,666.5 of each tender: the card's line comes first. 26.664 points are 27.
    assert_eq!(purchase.units().await, [1_667, 53, 6_667]);
    let exceeded = client.reverse(&new_key(), part_of(id, 6_668)).await.unwrap_err();
    assert_eq!(reason(&exceeded), "REVERSAL_EXCEEDED");
    client.reverse(&new_key(), all_of(id)).await.unwrap();
    assert_eq!(purchase.units().await, [5_000, 0, 0]);
    assert_eq!(
        reason(&client.reverse(&new_key(), all_of(id)).await.unwrap_err()),
        "ALREADY_REVERSED"
    );
    assert_eq!(client.reverse("first", part_of(id, 3_333)).await.unwrap(), first);

    let of_reversal = client
        .reverse(&new_key(), all_of(&posted.transaction_id))
        .await
        .unwrap_err();
    assert_eq!(reason(&of_reversal), "NOT_REVERSIBLE");
    let stranger = instance.merchant();
    let unknown = stranger.reverse(&new_key(), all_of(id)).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    audit(&ground).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_refund_at_once_no_more_goes_back_than_there_was() {
    let ground = Ground::new().await;
    let (one, two) = (ground.start().await, ground.start().await);
    let purchase = Purchase::at(one.merchant()).await;
    let there = two.client(purchase.client.merchant);
    let refunds = join_all((0..32_usize).map(|n| {
        let client = if n.is_multiple_of(2) {
            purchase.client.clone()
        } else {
            there.clone()
        };
        let wanted = part_of(&purchase.id, 700);
        async move { client.reverse(&new_key(), wanted).await }
    }))
    .await;
    assert_eq!(
        refunds.iter().filter(|refund| refund.is_ok()).count(),
        14,
        "14 times 7 are 98"
    );
    for refused in refunds.iter().filter_map(|refund| refund.as_ref().err()) {
        assert_eq!(reason(refused), "REVERSAL_EXCEEDED");
    }
    purchase
        .client
        .reverse(&new_key(), all_of(&purchase.id))
        .await
        .unwrap();
    assert_eq!(purchase.units().await, [5_000, 0, 0]);
    audit(&ground).await;
}

#[tokio::test]
async fn points_that_were_spent_are_refused_overdrawn_or_owed() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let purchase = Purchase::at(instance.merchant()).await;
    let (client, customer) = (&purchase.client, purchase.customer.as_str());
    client.burn(&new_key(), customer, 60).await.unwrap();
    let with = |shortfall: v1::Shortfall, debt_account_id: &str, cents| v1::ReverseTransactionRequest {
        shortfall: shortfall.into(),
        debt_account_id: debt_account_id.to_owned(),
        ..part_of(&purchase.id, cents)
    };
    let refused = client
        .reverse(&new_key(), with(v1::Shortfall::Refuse, "", 5_000))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "INSUFFICIENT_FUNDS");
    assert_eq!(purchase.units().await, [0, 20, 10_000], "nothing is half done");

    let owed = client.account("PTS", v1::AccountType::External).await;
    client
        .reverse(&new_key(), with(v1::Shortfall::Owe, &owed, 5_000))
        .await
        .unwrap();
    assert_eq!(purchase.units().await, [2_500, 0, 5_000]);
    assert_eq!(client.units(&owed).await, 20);

    client
        .reverse(&new_key(), with(v1::Shortfall::Overdraw, "", 2_500))
        .await
        .unwrap();
    assert_eq!(purchase.units().await, [3_750, -20, 2_500]);
    let wanted = v1::GetAccountRequest {
        account_id: customer.to_owned(),
    };
    let account = client
        .grpc
        .clone()
        .get_account(client.request("", wanted))
        .await
        .unwrap();
    assert_eq!(account.into_inner().account.unwrap().debt, 20);
    assert_eq!(
        reason(&client.burn(&new_key(), customer, 1).await.unwrap_err()),
        "INSUFFICIENT_FUNDS"
    );
    client.earn(&new_key(), customer, 21).await.unwrap();
    client.burn(&new_key(), customer, 1).await.unwrap();

    let misplaced = client
        .reverse(&new_key(), with(v1::Shortfall::Refuse, &owed, 1))
        .await
        .unwrap_err();
    assert_eq!(crate::support::fields(&misplaced), ["debtAccountId"]);
    audit(&ground).await;
}

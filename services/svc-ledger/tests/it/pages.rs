//! Lists go on where they ended, while rows are added.

use lp_contracts::{
    common::v1::PageRequest,
    ledger::v1::{self, Transaction},
};
use tonic::{Response, Status};

use crate::support::{Client, Ground, fields, new_key, reason};

async fn transactions(
    client: &Client,
    filter: &v1::ListTransactionsRequest,
    page_size: i32,
    page_token: String,
) -> Result<(Vec<Transaction>, String), Status> {
    let wanted = v1::ListTransactionsRequest {
        page: Some(PageRequest {
            page_size,
            page_token,
        }),
        ..filter.clone()
    };
    let answer = client
        .grpc
        .clone()
        .list_transactions(client.request("", wanted))
        .await;
    let answer = answer.map(Response::into_inner)?;
    Ok((answer.transactions, answer.page.unwrap().next_page_token))
}

async fn entries(
    client: &Client,
    account: &str,
    page_size: i32,
    page_token: String,
) -> Result<(Vec<v1::Entry>, String), Status> {
    let wanted = v1::ListEntriesRequest {
        account_id: account.to_owned(),
        page: Some(PageRequest {
            page_size,
            page_token,
        }),
    };
    let answer = client.grpc.clone().list_entries(client.request("", wanted)).await;
    let answer = answer.map(Response::into_inner)?;
    Ok((answer.entries, answer.page.unwrap().next_page_token))
}

#[tokio::test]
async fn every_row_comes_once_while_rows_are_added() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(1).await;
    let mut posted = Vec::new();
    for n in 2..=23 {
        let earned = client.earn(&new_key(), &account, n).await.unwrap();
        posted.push(earned.transaction.unwrap().transaction_id);
    }
    posted.reverse();
    let all = v1::ListTransactionsRequest::default();
    let of_account = v1::ListTransactionsRequest {
        account_id: account.clone(),
        ..all.clone()
    };
    for filter in [&all, &of_account] {
        let (first, mut token) = transactions(&client, filter, 5, String::new()).await.unwrap();
        let newest = first[0].transaction_id.clone();
        let mut seen: Vec<_> = first.into_iter().map(|t| t.transaction_id).collect();
        while !token.is_empty() {
            client.earn(&new_key(), &account, 1).await.unwrap();
            let (page, next) = transactions(&client, filter, 5, token).await.unwrap();
            assert!(page.len() == 5 || next.is_empty());
            seen.extend(page.into_iter().map(|t| t.transaction_id));
            token = next;
        }
        let from = seen.iter().position(|id| *id == posted[0]).unwrap();
        assert_eq!(seen[0], newest);
        assert_eq!(seen[from..from + posted.len()], posted);
        // Only the customer's first earn is older.
        assert_eq!(seen.len(), from + posted.len() + 1);
    }

    let newest = client.balance(&account).await.sequence;
    let (mut seen, mut token) = entries(&client, &account, 7, String::new()).await.unwrap();
    while !token.is_empty() {
        client.earn(&new_key(), &account, 1).await.unwrap();
        let (page, next) = entries(&client, &account, 7, token).await.unwrap();
        seen.extend(page);
        token = next;
    }
    let sequences: Vec<_> = seen.iter().map(|e| e.account_sequence).collect();
    assert_eq!(sequences, (1..=newest).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_page_has_50_rows_when_nobody_says_how_many() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(1).await;
    for _ in 0..50 {
        client.earn(&new_key(), &account, 1).await.unwrap();
    }
    let (page, token) = entries(&client, &account, 0, String::new()).await.unwrap();
    assert_eq!(page.len(), 50);
    let (rest, end) = entries(&client, &account, 0, token).await.unwrap();
    assert_eq!((rest.len(), end), (1, String::new()));
    let (all, end) = entries(&client, &account, 51, String::new()).await.unwrap();
    assert_eq!(
        (all.len(), end),
        (51, String::new()),
        "no token after the last row"
    );
    let (all, _) = entries(&client, &account, 500, String::new()).await.unwrap();
    assert_eq!(all.len(), 51);
}

#[tokio::test]
async fn a_token_of_another_list_is_refused() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(1).await;
    client.earn(&new_key(), &account, 1).await.unwrap();
    let other = client.customer("PTS").await;
    let all = v1::ListTransactionsRequest::default();
    let of_account = v1::ListTransactionsRequest {
        account_id: account.clone(),
        ..all.clone()
    };
    let (_, of_all) = transactions(&client, &all, 1, String::new()).await.unwrap();
    let (_, of_entries) = entries(&client, &account, 1, String::new()).await.unwrap();
    let refusals = [
        transactions(&client, &of_account, 1, of_all.clone())
            .await
            .unwrap_err(),
        transactions(&client, &all, 1, of_entries.clone())
            .await
            .unwrap_err(),
        entries(&client, &account, 1, of_all.clone()).await.unwrap_err(),
        entries(&client, &other, 1, of_entries).await.unwrap_err(),
        transactions(&client, &all, 1, of_all[1..].to_owned())
            .await
            .unwrap_err(),
    ];
    for refused in refusals {
        assert_eq!(reason(&refused), "INVALID_FIELD");
        assert_eq!(fields(&refused), ["page.pageToken"]);
    }
    // The size of a page may change from one to the next.
    transactions(&client, &all, 2, of_all).await.unwrap();
}

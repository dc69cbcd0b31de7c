//! Lists of wallets: pages that neither skip nor repeat, and filters.

use lp_contracts::{common::v1::PageRequest, wallet::v1};
use tonic::Code;

use crate::support::{Client, Ground, fields, reason, wanted};

fn page(reference: &str, page_size: i32, page_token: &str) -> v1::ListWalletsRequest {
    v1::ListWalletsRequest {
        customer_reference: reference.to_owned(),
        page: Some(PageRequest {
            page_size,
            page_token: page_token.to_owned(),
        }),
    }
}

async fn open(client: &Client, reference: &str, asset: &str) -> String {
    let wanted = v1::CreateWalletRequest {
        asset_code: asset.to_owned(),
        ..wanted(reference)
    };
    let key = format!("{reference}-{asset}");
    client
        .create(&key, wanted)
        .await
        .unwrap()
        .wallet
        .unwrap()
        .wallet_id
}

fn ids(wallets: &[v1::Wallet]) -> Vec<String> {
    wallets.iter().map(|wallet| wallet.wallet_id.clone()).collect()
}

#[tokio::test]
async fn pages_are_complete_newest_first_and_stable() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let mut opened = Vec::new();
    for n in 0..7 {
        opened.push(open(&client, &format!("c-{n}"), "PTS").await);
        // Somebody else's, in between.
        open(&instance.merchant(), "c", "PTS").await;
    }
    opened.reverse();
    assert_eq!(ids(&client.wallets().await), opened);

    for size in [1, 2, 3, 6, 7, 8] {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let answer = client.list(page("", size, &token)).await.unwrap();
            assert!(answer.wallets.len() <= usize::try_from(size).unwrap());
            found.extend(ids(&answer.wallets));
            token = answer.page.unwrap().next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, opened, "pages of {size}");
    }

    // What is opened between two pages is on neither, and moves nothing.
    let first = client.list(page("", 4, "")).await.unwrap();
    open(&client, "c-new", "PTS").await;
    let token = first.page.unwrap().next_page_token;
    let second = client.list(page("", 4, &token)).await.unwrap();
    assert_eq!([ids(&first.wallets), ids(&second.wallets)].concat(), opened);
    assert_eq!(second.page.unwrap().next_page_token, "");
}

#[tokio::test]
async fn a_list_can_be_of_one_customer() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let mut opened = Vec::new();
    for asset in ["PTS", "EUR", "USD"] {
        opened.push(open(&client, "c-1", asset).await);
        open(&client, "c-2", asset).await;
    }
    opened.reverse();
    let first = client.list(page("c-1", 2, "")).await.unwrap();
    let token = first.page.unwrap().next_page_token;
    let second = client.list(page("c-1", 2, &token)).await.unwrap();
    assert_eq!([ids(&first.wallets), ids(&second.wallets)].concat(), opened);
    assert!(client.list(page("c-3", 2, "")).await.unwrap().wallets.is_empty());

    let (status, answer) = client
        .get("/v1/wallets?customerReference=c-1&page.pageSize=2")
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["wallets"][0]["walletId"], opened[0].as_str());
    assert_eq!(answer["page"]["nextPageToken"], token.as_str());

    // A token goes on in the list that gave it, and in no other.
    for foreign in [page("c-2", 2, &token), page("", 2, &token)] {
        let refused = client.list(foreign).await.unwrap_err();
        assert_eq!(fields(&refused), ["page.pageToken"]);
    }
}

#[tokio::test]
async fn malformed_pages_are_refused() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    open(&client, "c-1", "PTS").await;
    let cases = [
        (page("", -1, ""), "page.pageSize"),
        (page("", 501, ""), "page.pageSize"),
        (page("", i32::MIN, ""), "page.pageSize"),
        (page("", 2, "x"), "page.pageToken"),
        (page("", 2, "AAAAAAAAAAAAAAAA"), "page.pageToken"),
        (page("", 2, "é\0"), "page.pageToken"),
        (page("a b", 2, ""), "customerReference"),
        (page(&"x".repeat(65), 2, ""), "customerReference"),
        (page("a\0", 2, ""), "customerReference"),
    ];
    for (wanted, field) in cases {
        let refused = client.list(wanted.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{wanted:?}");
        assert_eq!(reason(&refused), "INVALID_FIELD", "{wanted:?}");
        assert_eq!(fields(&refused), [field], "{wanted:?}");
    }
    let (status, problem) = client.get("/v1/wallets?page.pageSize=501").await;
    assert_eq!(status, 400);
    assert_eq!(problem["violations"][0]["field"], "page.pageSize");
}

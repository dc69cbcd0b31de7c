//! Every rpc does what it says, over gRPC.

use lp_contracts::{
    ledger::v1::{self, AccountType, AssetKind, Direction, TransactionKind},
    token::ConsistencyToken,
};
use tonic::Response;

use crate::{
    audit::audit,
    support::{Ground, bytes, credit, debit, fields, money, new_key, points, reason},
};

#[tokio::test]
async fn points_are_earned_burnt_and_read() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let mut grpc = client.grpc.clone();

    let asset = client.points("PTS").await;
    assert_eq!(
        (asset.code.as_str(), asset.kind(), asset.exponent),
        ("PTS", AssetKind::Points, 0)
    );
    let code = v1::GetAssetRequest {
        code: "PTS".to_owned(),
    };
    let read = grpc
        .get_asset(client.request("", code))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(read.asset.as_ref(), Some(&asset));

    let wanted = v1::CreateAccountRequest {
        asset_code: "PTS".to_owned(),
        r#type: AccountType::Customer.into(),
        max_balance: Some(1_000),
        reference: "customer/42".to_owned(),
        ..Default::default()
    };
    let opened = grpc
        .create_account(client.request(&new_key(), wanted))
        .await
        .unwrap();
    let opened = opened.into_inner().account.unwrap();
    assert_eq!(opened.r#type(), AccountType::Customer);
    assert_eq!(opened.normal_balance(), Direction::Credit);
    assert_eq!((opened.min_balance, opened.max_balance), (Some(0), Some(1_000)));
    assert_eq!(opened.reference, "customer/42");
    assert_eq!(opened.balance.as_ref().unwrap().sequence, 0);
    assert_eq!(opened.balance.as_ref().unwrap().posted_at, None);
    let account = opened.account_id.clone();
    assert_eq!(client.balance(&account).await, opened.balance.unwrap());

    let mut wanted = crate::support::earn(&account, 120);
    wanted.reference = "order:1".to_owned();
    let earned = grpc
        .earn(client.request(&new_key(), wanted))
        .await
        .unwrap()
        .into_inner();
    let transaction = earned.transaction.unwrap();
    assert_eq!(transaction.kind(), TransactionKind::Earn);
    assert_eq!(transaction.reference, "order:1");
    let sides: Vec<_> = transaction
        .entries
        .iter()
        .map(|e| {
            (
                e.line,
                e.account_id.clone(),
                e.direction(),
                e.account_sequence,
                e.balance_after,
            )
        })
        .collect();
    assert_eq!(
        sides,
        [
            (1, asset.issuance_account_id.clone(), Direction::Debit, 1, 120),
            (2, account.clone(), Direction::Credit, 1, 120),
        ]
    );
    let balance = earned.balance.unwrap();
    // What is available is not part of what was posted.
    let read = client.balance(&account).await;
    assert_eq!(read.available, Some(120));
    let posted = v1::Balance {
        available: Some(120),
        ..balance.clone()
    };
    assert_eq!(posted, read);
    let token = ConsistencyToken::decode(&balance.consistency_token).unwrap();
    assert_eq!(
        (token.account.to_string(), token.epoch, token.sequence),
        (account.clone(), 1, 1)
    );

    let burnt = client.burn(&new_key(), &account, 50).await.unwrap();
    let burn = burnt.transaction.unwrap();
    assert_eq!(burn.kind(), TransactionKind::Burn);
    assert_eq!(burn.entries[0].account_id, account);
    assert_eq!(burn.entries[1].account_id, asset.redemption_account_id);
    assert_eq!(burnt.balance.as_ref().unwrap().balance, points(70));
    assert_eq!(burnt.balance.unwrap().sequence, 2);
    assert_eq!(client.units(&asset.issuance_account_id).await, 120);
    assert_eq!(client.units(&asset.redemption_account_id).await, 50);

    let id = v1::GetTransactionRequest {
        transaction_id: transaction.transaction_id.clone(),
    };
    let read = grpc
        .get_transaction(client.request("", id))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(bytes(&read.transaction.unwrap()), bytes(&transaction));

    let listed = async |wanted: v1::ListTransactionsRequest| {
        let request = client.request("", wanted);
        let page = client.grpc.clone().list_transactions(request).await.unwrap();
        page.into_inner().transactions
    };
    let both = [burn.clone(), transaction.clone()];
    assert_eq!(listed(v1::ListTransactionsRequest::default()).await, both);
    let of_account = v1::ListTransactionsRequest {
        account_id: account.clone(),
        ..Default::default()
    };
    assert_eq!(listed(of_account).await, both);
    let of_reference = v1::ListTransactionsRequest {
        reference: "order:1".to_owned(),
        ..Default::default()
    };
    assert_eq!(listed(of_reference).await, std::slice::from_ref(&transaction));

    let wanted = v1::ListEntriesRequest {
        account_id: account.clone(),
        page: None,
    };
    let entries = grpc
        .list_entries(client.request("", wanted))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        entries.entries,
        [burn.entries[0].clone(), transaction.entries[1].clone()]
    );

    let wanted = v1::GetAccountRequest {
        account_id: account.clone(),
    };
    let read = grpc
        .get_account(client.request("", wanted))
        .await
        .unwrap()
        .into_inner();
    let read = read.account.unwrap();
    assert_eq!((read.posted_debits, read.posted_credits), (50, 120));
    assert_eq!(read.balance.unwrap(), client.balance(&account).await);
    audit(&ground).await;
    instance.stop().await;
}

#[tokio::test]
async fn a_transaction_moves_several_assets() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.points("PTS").await;
    client.asset("EUR", AssetKind::Currency, 2).await;
    let (cash, bank) = (
        client.account("EUR", AccountType::External).await,
        client.account("EUR", AccountType::Customer).await,
    );
    let (issuance, customer) = (
        client.account("PTS", AccountType::Issuance).await,
        client.customer("PTS").await,
    );
    let posted = client
        .transact(
            &new_key(),
            vec![
                debit(&cash, money(1_000, "EUR")),
                credit(&bank, money(700, "EUR")),
                debit(&issuance, points(10)),
                credit(&bank, money(300, "EUR")),
                credit(&customer, points(10)),
            ],
        )
        .await
        .unwrap();
    let transaction = posted.transaction.unwrap();
    assert_eq!(transaction.kind(), TransactionKind::General);
    let told: Vec<_> = transaction
        .entries
        .iter()
        .map(|e| (e.line, e.account_sequence, e.balance_after))
        .collect();
    assert_eq!(
        told,
        [(1, 1, 1_000), (2, 1, 700), (3, 1, 10), (4, 2, 1_000), (5, 1, 10)]
    );
    let balances: Vec<_> = posted
        .balances
        .iter()
        .map(|b| (b.account_id.clone(), b.sequence, b.balance.clone()))
        .collect();
    assert_eq!(
        balances,
        [
            (cash, 1, money(1_000, "EUR")),
            (bank.clone(), 2, money(1_000, "EUR")),
            (issuance, 1, points(10)),
            (customer, 1, points(10)),
        ]
    );
    // A transaction with several entries in one account stands once in its list.
    let of_account = v1::ListTransactionsRequest {
        account_id: bank,
        ..Default::default()
    };
    let listed = client
        .grpc
        .clone()
        .list_transactions(client.request("", of_account))
        .await;
    assert_eq!(listed.unwrap().into_inner().transactions, [transaction]);
    audit(&ground).await;
}

#[tokio::test]
async fn the_largest_transaction_has_500_entries() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.points("PTS").await;
    let issuance = client.account("PTS", AccountType::Issuance).await;
    let customer = client.customer("PTS").await;
    let largest = points(1_000_000_000_000_000);
    let pair = || {
        [
            debit(&issuance, largest.clone()),
            credit(&customer, largest.clone()),
        ]
    };
    let entries: Vec<_> = (0..250).flat_map(|_| pair()).collect();
    let posted = client.transact(&new_key(), entries.clone()).await.unwrap();
    assert_eq!(posted.transaction.unwrap().entries.len(), 500);
    assert_eq!(client.balance(&customer).await.sequence, 250);

    // 36 of them fit into 63 bits, the 37th does not.
    for _ in 1..36 {
        client.transact(&new_key(), entries.clone()).await.unwrap();
    }
    let before = ground.written().await;
    let refused = client.transact(&new_key(), entries).await.unwrap_err();
    assert_eq!(reason(&refused), "BALANCE_OUT_OF_RANGE");
    assert_eq!(ground.written().await[..2], before[..2]);
    assert_eq!(client.units(&customer).await, 9_000_000_000_000_000_000);
    audit(&ground).await;
}

#[tokio::test]
async fn limits_hold_on_both_sides() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.points("PTS").await;
    let account = client
        .open(v1::CreateAccountRequest {
            asset_code: "PTS".to_owned(),
            r#type: AccountType::Customer.into(),
            min_balance: Some(-5),
            max_balance: Some(10),
            reference: String::new(),
            ..Default::default()
        })
        .await;
    client.earn(&new_key(), &account, 10).await.unwrap();
    let above = client.earn(&new_key(), &account, 1).await.unwrap_err();
    assert_eq!(reason(&above), "BALANCE_LIMIT_EXCEEDED");
    client.burn(&new_key(), &account, 15).await.unwrap();
    let below = client.burn(&new_key(), &account, 1).await.unwrap_err();
    assert_eq!(reason(&below), "INSUFFICIENT_FUNDS");
    assert_eq!(fields(&below), Vec::<String>::new());
    assert_eq!(client.units(&account).await, -5);
    audit(&ground).await;
}

#[tokio::test]
async fn an_answer_is_that_of_its_own_time() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.points("PTS").await;
    let wanted = v1::CreateAccountRequest {
        asset_code: "PTS".to_owned(),
        r#type: AccountType::Customer.into(),
        ..Default::default()
    };
    let open = async || {
        let request = client.request("open", wanted.clone());
        let opened = client.grpc.clone().create_account(request).await;
        opened.map(Response::into_inner).unwrap()
    };
    let first = open().await;
    let account = first.account.clone().unwrap().account_id;
    let earned = client.earn("earn", &account, 3).await.unwrap();
    client.earn(&new_key(), &account, 4).await.unwrap();
    assert_eq!(
        bytes(&open().await),
        bytes(&first),
        "the account as it was opened"
    );
    let again = client.earn("earn", &account, 3).await.unwrap();
    assert_eq!(bytes(&again), bytes(&earned), "the balance as it was then");
}

//! Frozen and closed accounts as clients meet them.

use lp_contracts::ledger::v1;
use tonic::Response;

use crate::{
    audit::audit,
    support::{Ground, new_key, reason},
};

#[tokio::test]
async fn an_account_is_frozen_opened_again_emptied_and_closed() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let account_id = || account.clone();

    let wanted = v1::FreezeAccountRequest {
        account_id: account_id(),
    };
    let frozen = client
        .grpc
        .clone()
        .freeze_account(client.request("freeze", wanted.clone()))
        .await;
    let frozen = frozen.unwrap().into_inner();
    assert_eq!(frozen.account.as_ref().unwrap().state(), v1::AccountState::Frozen);
    assert_eq!(
        reason(&client.earn(&new_key(), &account, 1).await.unwrap_err()),
        "ACCOUNT_FROZEN"
    );
    assert_eq!(
        reason(&client.place(&new_key(), &account, 1).await.unwrap_err()),
        "ACCOUNT_FROZEN"
    );

    let opened = v1::UnfreezeAccountRequest {
        account_id: account_id(),
    };
    client
        .grpc
        .clone()
        .unfreeze_account(client.request(&new_key(), opened))
        .await
        .unwrap();
    let again = client
        .grpc
        .clone()
        .freeze_account(client.request("freeze", wanted))
        .await;
    assert_eq!(
        again.unwrap().into_inner(),
        frozen,
        "the first answer, and nothing is frozen again"
    );
    let close = async || {
        let wanted = v1::CloseAccountRequest {
            account_id: account_id(),
        };
        let closed = client
            .grpc
            .clone()
            .close_account(client.request(&new_key(), wanted))
            .await;
        closed.map(Response::into_inner)
    };
    assert_eq!(reason(&close().await.unwrap_err()), "ACCOUNT_NOT_EMPTY");
    client.burn(&new_key(), &account, 100).await.unwrap();
    assert_eq!(
        close().await.unwrap().account.unwrap().state(),
        v1::AccountState::Closed
    );
    assert_eq!(
        reason(&client.earn(&new_key(), &account, 1).await.unwrap_err()),
        "ACCOUNT_CLOSED"
    );
    audit(&ground).await;
}

//! svc-ledger, as a merchant sees it.

use lp_contracts::{
    common::v1::Money, ledger::v1 as ledger, ledger::v1::ledger_service_client::LedgerServiceClient,
};
use lp_test_service::Caller;
use tonic::transport::Channel;

use crate::support::new_key;

/// A merchant at the ledger.
#[derive(Clone)]
pub struct Books {
    pub caller: Caller,
    pub grpc: LedgerServiceClient<Channel>,
}

impl Books {
    pub async fn create_asset(
        &self,
        key: &str,
        code: &str,
        kind: ledger::AssetKind,
        exponent: i32,
    ) -> ledger::Asset {
        let wanted = ledger::CreateAssetRequest {
            code: code.to_owned(),
            kind: kind.into(),
            exponent,
        };
        let created = self
            .grpc
            .clone()
            .create_asset(self.caller.request(key, wanted))
            .await;
        created.unwrap().into_inner().asset.unwrap()
    }

    pub async fn create_account(
        &self,
        key: &str,
        asset: &str,
        kind: ledger::AccountType,
        reference: &str,
    ) -> String {
        let wanted = ledger::CreateAccountRequest {
            asset_code: asset.to_owned(),
            r#type: kind.into(),
            reference: reference.to_owned(),
            ..ledger::CreateAccountRequest::default()
        };
        let opened = self
            .grpc
            .clone()
            .create_account(self.caller.request(key, wanted))
            .await;
        opened.unwrap().into_inner().account.unwrap().account_id
    }

    pub async fn open(&self, asset: &str, kind: ledger::AccountType) -> String {
        self.create_account(&new_key(), asset, kind, "").await
    }

    pub async fn account(&self, account_id: &str) -> ledger::Account {
        let account_id = account_id.to_owned();
        let request = self.caller.request("", ledger::GetAccountRequest { account_id });
        let found = self.grpc.clone().get_account(request).await.unwrap();
        found.into_inner().account.unwrap()
    }

    pub async fn balance(&self, account_id: &str) -> i64 {
        let account = self.account(account_id).await;
        account.balance.unwrap().balance.unwrap().minor_units
    }

    /// Posts what is credited (above zero) and debited (below) to each account.
    pub async fn post<const N: usize>(&self, entries: [(&String, i64); N], asset: &str) {
        let entry = |(account, amount): (&String, i64)| ledger::NewEntry {
            account_id: account.clone(),
            direction: if amount > 0 {
                ledger::Direction::Credit.into()
            } else {
                ledger::Direction::Debit.into()
            },
            amount: Some(Money {
                minor_units: amount.abs(),
                asset_code: asset.to_owned(),
            }),
            ..Default::default()
        };
        let wanted = ledger::CreateTransactionRequest {
            entries: entries.map(entry).into(),
            reference: String::new(),
            ..Default::default()
        };
        let request = self.caller.request(&new_key(), wanted);
        self.grpc.clone().create_transaction(request).await.unwrap();
    }

    pub async fn transaction(&self, transaction_id: &str) -> ledger::Transaction {
        let transaction_id = transaction_id.to_owned();
        let request = self
            .caller
            .request("", ledger::GetTransactionRequest { transaction_id });
        let found = self.grpc.clone().get_transaction(request).await.unwrap();
        found.into_inner().transaction.unwrap()
    }
}

//! The same with the real svc-ledger, which decides what a card can pay.

use futures::future::join_all;
use lp_contracts::{
    giftcard::v1::CardState,
    ledger::v1::{self, AccountType, AssetKind, ledger_service_client::LedgerServiceClient},
};
use lp_test_service::Caller;
use tonic::transport::Channel;

use crate::support::{Client, Ground, bytes, eur, forbidden, new_key};

type LedgerGround = lp_test_service::Ground<svc_ledger::Service>;
type LedgerInstance = lp_test_service::Instance<Caller>;

/// A gift card service on a ledger of its own.
struct Fleet {
    ground: Ground,
    ledger: LedgerInstance,
    instances: Vec<crate::support::Instance>,
}

impl Fleet {
    async fn start() -> Self {
        let ledger = LedgerGround::new().await.without_relay().await;
        let config = svc_ledger::config::Config {
            common: ledger.common(),
        };
        let ledger: LedgerInstance = ledger.start(config).await;
        let ground = Ground::new().await;
        let url = format!("http://{}", ledger.running.grpc);
        let mut instances = Vec::new();
        for _ in 0..2 {
            let config = ground.config_with(url.parse().unwrap());
            instances.push(lp_test_service::Ground::start(&ground, config).await);
        }
        Self {
            ground,
            ledger,
            instances,
        }
    }

    /// A merchant with its accounts, at each of the instances.
    async fn merchant(&self) -> Merchant {
        let client = self.instances[0].merchant();
        let till = self.ledger.client(client.merchant);
        let mut grpc = LedgerServiceClient::new(till.channel.clone());
        let asset = v1::CreateAssetRequest {
            code: "EUR".to_owned(),
            kind: AssetKind::Currency.into(),
            exponent: 2,
        };
        grpc.create_asset(till.request(&new_key(), asset)).await.unwrap();
        let mut accounts = Vec::new();
        for kind in [AccountType::External, AccountType::Sales] {
            let account = v1::CreateAccountRequest {
                asset_code: "EUR".to_owned(),
                r#type: kind.into(),
                ..v1::CreateAccountRequest::default()
            };
            let opened = grpc
                .create_account(till.request(&new_key(), account))
                .await
                .unwrap();
            accounts.push(opened.into_inner().account.unwrap().account_id);
        }
        self.ground
            .merchants
            .set_accounts(client.merchant, &accounts[0], &accounts[1]);
        Merchant {
            elsewhere: self.instances[1].client(client.merchant),
            client,
            till,
            grpc,
            external: accounts.remove(0),
            sales: accounts.remove(0),
        }
    }
}

struct Merchant {
    client: Client,
    elsewhere: Client,
    till: Caller,
    grpc: LedgerServiceClient<Channel>,
    external: String,
    sales: String,
}

impl Merchant {
    /// On the account's normal side.
    async fn holds(&self, account: &str) -> i64 {
        let request = v1::GetBalanceRequest {
            account_id: account.to_owned(),
            ..Default::default()
        };
        let request = self.till.request("", request);
        let found = self.grpc.clone().get_balance(request).await.unwrap().into_inner();
        found.balance.unwrap().balance.unwrap().minor_units
    }
}

#[tokio::test]
async fn a_card_is_sold_and_spent() {
    let fleet = Fleet::start().await;
    let merchant = fleet.merchant().await;
    let client = &merchant.client;
    let held = client.sold(true, 5_000).await;
    assert_eq!(client.stands(&held.id).await, (CardState::Active, 5_000));
    assert_eq!(
        (
            merchant.holds(&held.account).await,
            merchant.holds(&merchant.external).await
        ),
        (5_000, 5_000)
    );
    let account = merchant
        .grpc
        .clone()
        .get_account(merchant.till.request(
            "",
            v1::GetAccountRequest {
                account_id: held.account.clone(),
            },
        ))
        .await
        .unwrap()
        .into_inner()
        .account
        .unwrap();
    assert_eq!(
        (account.r#type(), account.min_balance),
        (AccountType::GiftCard, Some(0))
    );

    let spent = client.redeem("k", &held, 1_234).await.unwrap();
    assert_eq!(spent.balance, eur(3_766));
    assert_eq!(
        (
            merchant.holds(&held.account).await,
            merchant.holds(&merchant.sales).await
        ),
        (3_766, 1_234)
    );
    forbidden(client.redeem("much", &held, 3_767).await, "INSUFFICIENT_FUNDS");
    forbidden(client.redeem("much", &held, 3_767).await, "INSUFFICIENT_FUNDS");
    assert_eq!(
        bytes(&merchant.elsewhere.redeem("k", &held, 1_234).await.unwrap()),
        bytes(&spent)
    );
    assert_eq!(
        client.authorize(&held.code, &held.pin).await.unwrap().balance,
        eur(3_766)
    );
    assert_eq!(merchant.holds(&held.account).await, 3_766);
}

#[tokio::test]
async fn of_fifty_redemptions_at_once_exactly_the_cards_value_leaves_it() {
    let fleet = Fleet::start().await;
    let merchant = fleet.merchant().await;
    let held = merchant.client.sold(false, 1_000).await;
    // 33 of 50 times 30 is what 1000 pays.
    let calls = (0..50).map(|n| {
        let client = if n % 2 == 0 {
            &merchant.client
        } else {
            &merchant.elsewhere
        };
        let (client, held) = (client.clone(), held.clone());
        async move { client.redeem(&format!("k{n}"), &held, 30).await }
    });
    let (paid, refused): (Vec<_>, Vec<_>) = join_all(calls).await.into_iter().partition(Result::is_ok);
    assert_eq!((paid.len(), refused.len()), (33, 17));
    for refusal in refused {
        forbidden(refusal, "INSUFFICIENT_FUNDS");
    }
    // Every balance on the way was told once.
    let mut told: Vec<i64> = paid
        .into_iter()
        .map(|p| p.unwrap().balance.unwrap_or_default().minor_units)
        .collect();
    told.sort_unstable();
    assert_eq!(told, (0..33).map(|n| 10 + 30 * n).collect::<Vec<_>>());
    assert_eq!(
        (
            merchant.holds(&held.account).await,
            merchant.holds(&merchant.sales).await
        ),
        (10, 990)
    );
    assert_eq!(merchant.client.stands(&held.id).await, (CardState::Active, 10));

    // Its last cents go in one piece, and again nothing more.
    let rest: Vec<_> = (0..10).map(|n| format!("rest{n}")).collect();
    let calls = rest.iter().map(|key| merchant.client.redeem(key, &held, 10));
    let paid = join_all(calls).await.into_iter().filter(Result::is_ok).count();
    assert_eq!((paid, merchant.holds(&held.account).await), (1, 0));
    let states: Vec<(i16, i64)> =
        sqlx::query_as("SELECT state, count(*) FROM redemptions GROUP BY state ORDER BY state")
            .fetch_all(&mut fleet.ground.owner().await)
            .await
            .unwrap();
    assert_eq!(states, [(2, 34), (3, 26)]);
}

#[tokio::test]
async fn no_other_merchant_pays_with_it() {
    let fleet = Fleet::start().await;
    let (ours, theirs) = (fleet.merchant().await, fleet.merchant().await);
    let held = ours.client.sold(false, 1_000).await;
    forbidden(theirs.client.redeem(&new_key(), &held, 10).await, "CARD_REFUSED");
    forbidden(theirs.client.authorize(&held.code, "").await, "CARD_REFUSED");
    assert_eq!(
        (ours.holds(&held.account).await, theirs.holds(&theirs.sales).await),
        (1_000, 0)
    );
}

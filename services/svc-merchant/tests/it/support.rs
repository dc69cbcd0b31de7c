//! A merchant service of one test, with the services that it calls.

use std::{ops::Deref, time::Duration};

use lp_contracts::{
    common::v1::{Money, PageRequest},
    ledger::v1 as ledger,
    ledger::v1::ledger_service_client::LedgerServiceClient,
    merchant::v1::{self, merchant_service_client::MerchantServiceClient},
    wallet::v1 as wallet,
    wallet::v1::wallet_service_client::WalletServiceClient,
};
use lp_test_service::{Caller, Mortal};
use lp_types::MerchantId;
use serde_json::{Value, json};
use svc_merchant::{Service, config::Config};
use tonic::{Response, Status, transport::Channel};

use crate::{
    books::Books,
    cards::{Card, Cards},
    gate::Gate,
};

pub use lp_test_service::{bytes, fields, new_key, reason, run, until, uuid_of};

pub type Instance = lp_test_service::Instance<Client>;
type Ledger = lp_test_service::Ground<svc_ledger::Service>;
type Wallets = lp_test_service::Ground<svc_wallet::Service>;

pub struct Ground {
    base: lp_test_service::Ground<Service>,
    pub ledger: Ledger,
    pub wallets: Wallets,
    pub to_ledger: Gate,
    pub to_wallets: Gate,
    pub cards: Cards,
    ledger_instance: lp_test_service::Instance,
    wallet_instance: lp_test_service::Instance,
}

impl Deref for Ground {
    type Target = lp_test_service::Ground<Service>;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

impl Ground {
    /// Without events.
    pub async fn new() -> Self {
        Self::with(lp_test_service::Ground::new().await.without_relay().await).await
    }

    pub async fn with_events() -> Self {
        Self::with(lp_test_service::Ground::new().await.with_own_topics().await).await
    }

    async fn with(base: lp_test_service::Ground<Service>) -> Self {
        let ledger = Ledger::new().await.without_relay().await;
        let common = ledger.common();
        let ledger_instance: lp_test_service::Instance =
            ledger.start(svc_ledger::config::Config { common }).await;
        let wallets = Wallets::new().await.without_relay().await;
        let config = svc_wallet::config::Config {
            common: wallets.common(),
            client: wallets.client(),
            valkey: wallets.valkey.clone(),
            svc_ledger_url: format!("http://{}", ledger_instance.running.grpc)
                .parse()
                .unwrap(),
        };
        let wallet_instance: lp_test_service::Instance = wallets.start(config).await;
        Self {
            base,
            to_ledger: Gate::before(ledger_instance.running.grpc).await,
            to_wallets: Gate::before(wallet_instance.running.grpc).await,
            cards: Cards::start().await,
            ledger,
            wallets,
            ledger_instance,
            wallet_instance,
        }
    }

    pub fn config(&self) -> Config {
        Config {
            common: self.common(),
            client: self.client(),
            svc_ledger_url: self.to_ledger.url(),
            svc_wallet_url: self.to_wallets.url(),
            svc_giftcard_url: self.cards.url(),
        }
    }

    pub async fn start(&self) -> Instance {
        self.base.start(self.config()).await
    }

    /// One that calls svc-wallet past the gate.
    pub async fn start_past_the_gate(&self) -> Instance {
        let mut config = self.config();
        config.svc_wallet_url = format!("http://{}", self.wallet_instance.running.grpc)
            .parse()
            .unwrap();
        self.base.start(config).await
    }

    /// One that can be killed.
    pub async fn start_mortal(&self) -> Mortal<Client> {
        self.base.start_mortal(self.config()).await
    }

    /// How much was written: merchants, steps, programmes, purchases, keys.
    pub async fn written(&self) -> [i64; 5] {
        let tables = [
            "merchants",
            "merchant_events",
            "programs",
            "purchases",
            "idempotency_keys",
        ];
        self.counts(tables).await
    }

    /// The ledger, as the merchant itself sees it.
    pub fn ledger_of(&self, merchant: MerchantId) -> Books {
        let caller: Caller = self.ledger_instance.client(merchant);
        Books {
            grpc: LedgerServiceClient::new(caller.channel.clone()),
            caller,
        }
    }

    /// A new wallet of the merchant, which holds `asset`.
    pub async fn open_wallet(&self, merchant: MerchantId, asset: &str) -> wallet::Wallet {
        let caller: Caller = self.wallet_instance.client(merchant);
        let wanted = wallet::CreateWalletRequest {
            customer_reference: new_key(),
            asset_code: asset.to_owned(),
            contact: Some(wallet::Contact {
                language: "fr".to_owned(),
                ..wallet::Contact::default()
            }),
        };
        let mut grpc = WalletServiceClient::new(caller.channel.clone());
        let opened = grpc.create_wallet(caller.request(&new_key(), wanted)).await;
        opened.unwrap().into_inner().wallet.unwrap()
    }

    /// What svc-wallet says of a wallet, to who has this token.
    pub async fn wallet_balance(
        &self,
        merchant: MerchantId,
        wallet_id: &str,
        token: &str,
    ) -> wallet::GetBalanceResponse {
        let caller: Caller = self.wallet_instance.client(merchant);
        let wanted = wallet::GetBalanceRequest {
            wallet_id: wallet_id.to_owned(),
            consistency_token: token.to_owned(),
        };
        let mut grpc = WalletServiceClient::new(caller.channel.clone());
        grpc.get_balance(caller.request("", wanted))
            .await
            .unwrap()
            .into_inner()
    }

    /// A merchant that trades in EUR and PTS, without a programme.
    pub async fn shop(&self, instance: &Instance) -> Shop {
        let client = instance.merchant();
        client.apply(&new_key(), application()).await.unwrap();
        let operator = instance.operator(client.merchant);
        for to in [
            v1::MerchantState::InReview,
            v1::MerchantState::Approved,
            v1::MerchantState::Active,
        ] {
            operator.change(&new_key(), to).await.unwrap();
        }
        let merchant = client.merchant().await.unwrap();
        let accounts = merchant.accounts.clone().unwrap();
        Shop {
            books: self.ledger_of(client.merchant),
            client,
            operator,
            accounts,
        }
    }

    /// The same, with a programme: one point a euro, a hundred points pay one euro.
    pub async fn shop_with_program(&self, instance: &Instance) -> Shop {
        let shop = self.shop(instance).await;
        shop.client.publish(&new_key(), program(0)).await.unwrap();
        shop
    }

    /// A card of the shop, worth `value`, with its code and PIN.
    pub async fn card(&self, shop: &Shop, value: i64) -> Card {
        let account = shop.books.open("EUR", ledger::AccountType::GiftCard).await;
        shop.books
            .post(
                [(&shop.accounts.external_account_id, -value), (&account, value)],
                "EUR",
            )
            .await;
        let card = Card {
            merchant: shop.client.merchant.to_string(),
            code: lp_test::servers::unique("SECRET-CODE-"),
            pin: lp_test::servers::unique("SECRET-PIN-"),
            account,
            asset: "EUR".to_owned(),
        };
        self.cards.add(card.clone());
        card
    }

    /// A wallet of the shop that holds `points`.
    pub async fn wallet(&self, shop: &Shop, points: i64) -> wallet::Wallet {
        let wallet = self.open_wallet(shop.client.merchant, "PTS").await;
        if points > 0 {
            let issuance = &shop.accounts.issuance_account_id;
            shop.books
                .post([(issuance, -points), (&wallet.account_id, points)], "PTS")
                .await;
        }
        wallet
    }
}

/// A merchant that trades.
pub struct Shop {
    pub client: Client,
    pub operator: Client,
    pub accounts: v1::MerchantAccounts,
    pub books: Books,
}

/// Somebody at one instance.
#[derive(Clone)]
pub struct Client {
    caller: Caller,
    pub grpc: MerchantServiceClient<Channel>,
}

impl From<Caller> for Client {
    fn from(caller: Caller) -> Self {
        Self {
            grpc: MerchantServiceClient::new(caller.channel.clone()),
            caller,
        }
    }
}

impl Deref for Client {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Client {
    /// The same, with less patience.
    pub fn within(&self, deadline: Duration) -> Self {
        self.caller.within(deadline).into()
    }

    pub async fn apply(&self, key: &str, wanted: v1::ApplyMerchantRequest) -> Result<v1::Merchant, Status> {
        let applied = self
            .grpc
            .clone()
            .apply_merchant(self.request(key, wanted))
            .await?;
        Ok(applied.into_inner().merchant.unwrap())
    }

    pub async fn change(&self, key: &str, to: v1::MerchantState) -> Result<v1::Merchant, Status> {
        self.change_for(key, to, "because").await
    }

    pub async fn change_for(
        &self,
        key: &str,
        to: v1::MerchantState,
        reason: &str,
    ) -> Result<v1::Merchant, Status> {
        let wanted = v1::ChangeMerchantStateRequest {
            to_state: to.into(),
            reason: reason.to_owned(),
        };
        let request = self.request(key, wanted);
        let changed = self.grpc.clone().change_merchant_state(request).await?;
        Ok(changed.into_inner().merchant.unwrap())
    }

    pub async fn merchant(&self) -> Result<v1::Merchant, Status> {
        let request = self.request("", v1::GetMerchantRequest {});
        let found = self.grpc.clone().get_merchant(request).await?;
        Ok(found.into_inner().merchant.unwrap())
    }

    pub async fn events(&self, page: PageRequest) -> Result<v1::ListMerchantEventsResponse, Status> {
        let request = self.request("", v1::ListMerchantEventsRequest { page: Some(page) });
        self.grpc
            .clone()
            .list_merchant_events(request)
            .await
            .map(Response::into_inner)
    }

    pub async fn publish(&self, key: &str, wanted: v1::PublishProgramRequest) -> Result<v1::Program, Status> {
        let published = self
            .grpc
            .clone()
            .publish_program(self.request(key, wanted))
            .await?;
        Ok(published.into_inner().program.unwrap())
    }

    pub async fn program(&self, version: i32) -> Result<v1::Program, Status> {
        let request = self.request("", v1::GetProgramRequest { version });
        let found = self.grpc.clone().get_program(request).await?;
        Ok(found.into_inner().program.unwrap())
    }

    pub async fn submit(
        &self,
        key: &str,
        wanted: v1::SubmitPurchaseRequest,
    ) -> Result<v1::SubmitPurchaseResponse, Status> {
        let request = self.request(key, wanted);
        self.grpc
            .clone()
            .submit_purchase(request)
            .await
            .map(Response::into_inner)
    }

    pub async fn purchase(&self, purchase_id: &str) -> Result<v1::Purchase, Status> {
        let purchase_id = purchase_id.to_owned();
        let request = self.request("", v1::GetPurchaseRequest { purchase_id });
        let found = self.grpc.clone().get_purchase(request).await?;
        Ok(found.into_inner().purchase.unwrap())
    }
}

/// A bakery's.
pub fn application() -> v1::ApplyMerchantRequest {
    v1::ApplyMerchantRequest {
        name: "Boulangerie Ô Blé".to_owned(),
        currency_code: "EUR".to_owned(),
        currency_exponent: 2,
        points_code: "PTS".to_owned(),
        time_zone: "Europe/Paris".to_owned(),
    }
}

/// The same as [`application`], as JSON.
pub fn application_json() -> Value {
    json!({
        "name": "Boulangerie Ô Blé",
        "currencyCode": "EUR",
        "currencyExponent": 2,
        "pointsCode": "PTS",
        "timeZone": "Europe/Paris",
    })
}

/// One point a euro; a hundred points pay one euro.
pub fn program(based_on_version: i32) -> v1::PublishProgramRequest {
    v1::PublishProgramRequest {
        based_on_version,
        earn_points: 1,
        earn_per: 100,
        burn_points: 100,
        burn_value: 100,
    }
}

fn tender(kind: v1::TenderKind, minor_units: i64) -> v1::Tender {
    v1::Tender {
        kind: kind.into(),
        minor_units,
        ..v1::Tender::default()
    }
}

pub fn external(minor_units: i64) -> v1::Tender {
    tender(v1::TenderKind::External, minor_units)
}

pub fn points(minor_units: i64) -> v1::Tender {
    tender(v1::TenderKind::Points, minor_units)
}

pub fn by_card(card: &Card, minor_units: i64) -> v1::Tender {
    v1::Tender {
        card_code: card.code.clone(),
        card_pin: card.pin.clone(),
        ..tender(v1::TenderKind::GiftCard, minor_units)
    }
}

/// A purchase for what `tenders` add up to; an empty wallet is none.
pub fn purchase<const N: usize>(wallet_id: &str, tenders: [v1::Tender; N]) -> v1::SubmitPurchaseRequest {
    v1::SubmitPurchaseRequest {
        amount: Some(Money {
            minor_units: tenders.iter().map(|tender| tender.minor_units).sum(),
            asset_code: "EUR".to_owned(),
        }),
        tenders: tenders.into(),
        wallet_id: wallet_id.to_owned(),
        reference: String::new(),
    }
}

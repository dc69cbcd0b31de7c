//! A notification service of one test: its database, its fleet's prefix on Kafka, the ledger that publishes, the
//! wallet that it asks, the mail server, and the instances that run on them.

pub mod gate;
pub mod wallet;

use std::{ops::Deref, sync::Arc};

use jiff::Timestamp;
use lp_config::SecretUrl;
use lp_contracts::{
    ledger::v1::{AccountType, Direction, PostedEntry, TransactionKind, TransactionPosted},
    notification::v1::{self, notification_service_client::NotificationServiceClient},
    time::to_wire,
    topics::LEDGER_TRANSACTIONS,
};
use lp_kafka::{Leg, Record};
use lp_test::{mail::Mail, servers, time::ManualClock};
use lp_test_service::{Caller, new_merchant};
use lp_types::{AccountId, IdSource as _, MerchantId, SystemIds, TransactionId, time::Ambient};
use prost::Message as _;
use svc_notification::{Service, config::Config};
use tonic::{Response, Status, transport::Channel};
use url::Url;

use self::{gate::Gate, wallet::Wallet};

pub use lp_test_service::until;

pub type Instance = lp_test_service::Instance<Client>;
pub type Mortal = lp_test_service::Mortal<Client>;

#[derive(Clone)]
pub struct Ground {
    pub base: lp_test_service::Ground<Service>,
    pub wallet: Wallet,
    /// Between the service and svc-wallet.
    pub wallet_gate: Gate,
    /// Between the service and the mail server.
    pub mail_gate: Gate,
}

impl Deref for Ground {
    type Target = lp_test_service::Ground<Service>;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

impl Ground {
    pub async fn new() -> Self {
        Self::on(lp_test_service::Ground::new().await).await
    }

    /// With a clock that stands until the test moves it.
    pub async fn with_clock(clock: Arc<ManualClock>) -> Self {
        Self::on(lp_test_service::Ground::new().await.with_clock(clock)).await
    }

    async fn on(base: lp_test_service::Ground<Service>) -> Self {
        let wallet = Wallet::default();
        let wallet_gate = Gate::to(wallet.start().await).await;
        let smtp = Url::parse(servers::smtp_url().expose()).unwrap();
        let smtp = format!("{}:{}", smtp.host_str().unwrap(), smtp.port().unwrap());
        Self {
            base: base.with_topics([LEDGER_TRANSACTIONS]).await,
            wallet,
            wallet_gate,
            mail_gate: Gate::to(smtp.parse().unwrap()).await,
        }
    }

    fn config(&self) -> Config {
        let smtp_url: SecretUrl = format!("smtp://{}", self.mail_gate.address).parse().unwrap();
        Config {
            common: self.common(),
            client: self.client(),
            svc_wallet_url: format!("http://{}", self.wallet_gate.address).parse().unwrap(),
            smtp_url,
            mail_from: "Local-Plus <points@localplus.example>".parse().unwrap(),
        }
    }

    pub async fn start(&self) -> Instance {
        self.base.start(self.config()).await
    }

    /// Starts an instance that can be killed.
    pub async fn start_mortal(&self) -> Mortal {
        self.base.start_mortal(self.config()).await
    }

    /// Publishes as svc-ledger does.
    pub async fn publish(&self, records: Vec<Record>) {
        self.base.publish("svc-ledger", records).await;
    }

    /// A customer of a new merchant, whom svc-wallet knows.
    pub fn customer(&self, language: &str) -> Customer {
        let customer = Customer {
            merchant: new_merchant(),
            account: AccountId::from_uuid(SystemIds.uuid()),
            email: format!("{}@example.com", servers::unique("marie.")),
        };
        self.wallet.knows(&customer, language, true);
        customer
    }

    /// Notifications of all merchants.
    pub async fn notifications(&self) -> i64 {
        self.count("notifications").await
    }

    /// How many attempts the merchant's one notification has behind it; 0 while one is under way.
    pub async fn attempts_ended(&self, merchant: MerchantId) -> i32 {
        sqlx::query_scalar(
            "SELECT attempts FROM notifications WHERE merchant_id = $1 AND leased_until IS NULL",
        )
        .bind(merchant.uuid())
        .fetch_optional(&mut self.owner().await)
        .await
        .unwrap()
        .unwrap_or_default()
    }

    pub async fn run(&self, statement: &str) {
        lp_test_service::run(&mut self.owner().await, statement).await;
    }
}

/// A merchant at one instance.
#[derive(Clone)]
pub struct Client {
    caller: Caller,
    pub grpc: NotificationServiceClient<Channel>,
}

impl From<Caller> for Client {
    fn from(caller: Caller) -> Self {
        Self {
            grpc: NotificationServiceClient::new(caller.channel.clone()),
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
    pub async fn notification(&self, id: &str) -> Result<v1::Notification, Status> {
        let wanted = v1::GetNotificationRequest {
            notification_id: id.to_owned(),
        };
        let request = self.request("", wanted);
        let found = self.grpc.clone().get_notification(request).await?;
        Ok(found.into_inner().notification.unwrap())
    }

    pub async fn list(
        &self,
        wanted: v1::ListNotificationsRequest,
    ) -> Result<v1::ListNotificationsResponse, Status> {
        let request = self.request("", wanted);
        self.grpc
            .clone()
            .list_notifications(request)
            .await
            .map(Response::into_inner)
    }

    /// Waits until the merchant's newest notification is as `expected`, and gives it.
    pub async fn newest(&self, what: &str, expected: impl Fn(&v1::Notification) -> bool) -> v1::Notification {
        let mut newest = None;
        until(what, async || {
            newest = self
                .list(v1::ListNotificationsRequest::default())
                .await
                .unwrap()
                .notifications
                .into_iter()
                .next();
            newest.as_ref().is_some_and(&expected)
        })
        .await;
        newest.unwrap()
    }
}

/// A customer and where their points stand.
#[derive(Debug, Clone)]
pub struct Customer {
    pub merchant: MerchantId,
    pub account: AccountId,
    pub email: String,
}

impl Customer {
    pub fn earns(&self, amount: i64, balance_after: i64) -> Record {
        self.record(TransactionKind::Earn, amount, balance_after)
    }

    pub fn burns(&self, amount: i64, balance_after: i64) -> Record {
        self.record(TransactionKind::Burn, amount, balance_after)
    }

    /// The record of a new transaction between this customer and the merchant.
    pub fn record(&self, kind: TransactionKind, amount: i64, balance_after: i64) -> Record {
        let transaction = TransactionId::from_uuid(SystemIds.uuid());
        let occurred_at = Ambient::system().clock.now();
        let entry = |account: AccountId, account_type: AccountType, direction: Direction, balance_after| {
            PostedEntry {
                account_id: account.to_string(),
                account_type: account_type.into(),
                direction: direction.into(),
                minor_units: amount,
                asset_code: "PTS".to_owned(),
                asset_exponent: 0,
                account_sequence: 1,
                balance_after,
            }
        };
        let other = AccountId::from_uuid(SystemIds.uuid());
        // Whom the customer moves them with, and the customer's own side.
        let (with, others, own) = match kind {
            TransactionKind::Earn => (AccountType::Issuance, Direction::Debit, Direction::Credit),
            TransactionKind::Burn => (AccountType::Redemption, Direction::Credit, Direction::Debit),
            _ => (AccountType::Customer, Direction::Debit, Direction::Credit),
        };
        let posted = TransactionPosted {
            transaction_id: transaction.to_string(),
            merchant_id: self.merchant.to_string(),
            kind: kind.into(),
            posted_at: Some(to_wire(occurred_at)),
            epoch: 1,
            entries: vec![
                entry(other, with, others, 9_999_999),
                entry(self.account, AccountType::Customer, own, balance_after),
            ],
        };
        Record {
            topic: LEDGER_TRANSACTIONS.to_owned(),
            key: self.account.to_string(),
            id: format!("{transaction}:{}", self.account),
            event_type: "localplus.ledger.v1.TransactionPosted".to_owned(),
            source: "svc-ledger".to_owned(),
            merchant: self.merchant,
            occurred_at,
            traceparent: None,
            leg: Leg { index: 1, count: 1 },
            payload: posted.encode_to_vec().into(),
        }
    }

    /// The record of a purchase that spends points and earns others.
    pub fn exchanges(&self, burned: i64, earned: i64, balance_after: i64) -> Record {
        let burn = self.burns(burned, balance_after.saturating_sub(earned));
        let entries = |record: &Record| {
            let posted = TransactionPosted::decode(record.payload.clone()).unwrap();
            posted.entries
        };
        let mut both = TransactionPosted::decode(burn.payload.clone()).unwrap();
        both.kind = TransactionKind::General.into();
        for mut entry in entries(&self.earns(earned, balance_after)) {
            entry.account_sequence += 1;
            both.entries.push(entry);
        }
        Record {
            payload: both.encode_to_vec().into(),
            ..burn
        }
    }

    /// Every mail to them so far.
    pub async fn mails(&self) -> Vec<Mail> {
        lp_test::mail::received(&servers::mail_api_url(), &self.email).await
    }

    /// Waits for their mails.
    pub async fn gets(&self, count: usize) -> Vec<Mail> {
        lp_test::mail::wait_for(&servers::mail_api_url(), &self.email, count).await
    }
}

pub fn now() -> Timestamp {
    Ambient::system().clock.now()
}

pub fn list_of(account: &str, status: v1::NotificationStatus) -> v1::ListNotificationsRequest {
    v1::ListNotificationsRequest {
        account_id: account.to_owned(),
        status: status.into(),
        page: None,
    }
}

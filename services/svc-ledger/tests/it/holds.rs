//! Holds as clients meet them: reserved at once, exact under concurrency, over at their time.

use std::time::Duration;

use futures::future::join_all;
use lp_contracts::{ledger::v1, time::to_wire};
use lp_types::time::Ambient;
use tonic::{Response, Status};

use crate::{
    audit::audit,
    support::{Client, Ground, credit, debit, new_key, points, reason, until},
};

const HOUR: Duration = Duration::from_hours(1);

impl Client {
    fn lasting(account: &str, amount: i64, pause: Duration) -> v1::PlaceHoldRequest {
        let now = Ambient::system().clock.now();
        v1::PlaceHoldRequest {
            account_id: account.to_owned(),
            amount: points(amount),
            expires_at: Some(to_wire(now + pause)),
            ..Default::default()
        }
    }
}

impl Client {
    pub async fn place(
        &self,
        key: &str,
        account: &str,
        amount: i64,
    ) -> Result<v1::PlaceHoldResponse, Status> {
        self.place_until(key, account, amount, HOUR).await
    }

    async fn place_until(
        &self,
        key: &str,
        account: &str,
        amount: i64,
        pause: Duration,
    ) -> Result<v1::PlaceHoldResponse, Status> {
        let wanted = Self::lasting(account, amount, pause);
        self.place_as(key, wanted).await
    }

    async fn place_as(
        &self,
        key: &str,
        wanted: v1::PlaceHoldRequest,
    ) -> Result<v1::PlaceHoldResponse, Status> {
        let request = self.request(key, wanted);
        self.grpc
            .clone()
            .place_hold(request)
            .await
            .map(Response::into_inner)
    }

    /// Places a hold, and tells its id.
    pub async fn held(&self, account: &str, amount: i64) -> String {
        let placed = self.place(&new_key(), account, amount).await.unwrap();
        placed.hold.unwrap().hold_id
    }

    pub async fn capture(
        &self,
        key: &str,
        hold: &str,
        amount: Option<i64>,
        destination: &str,
        last: bool,
    ) -> Result<v1::CaptureHoldResponse, Status> {
        let wanted = v1::CaptureHoldRequest {
            hold_id: hold.to_owned(),
            amount: amount.and_then(points),
            destination_account_id: destination.to_owned(),
            r#final: last,
            reference: String::new(),
            ..Default::default()
        };
        let request = self.request(key, wanted);
        self.grpc
            .clone()
            .capture_hold(request)
            .await
            .map(Response::into_inner)
    }

    pub async fn void(&self, key: &str, hold: &str) -> Result<v1::VoidHoldResponse, Status> {
        let wanted = v1::VoidHoldRequest {
            hold_id: hold.to_owned(),
        };
        let request = self.request(key, wanted);
        self.grpc
            .clone()
            .void_hold(request)
            .await
            .map(Response::into_inner)
    }

    pub async fn hold(&self, hold: &str) -> v1::Hold {
        let wanted = v1::GetHoldRequest {
            hold_id: hold.to_owned(),
        };
        let found = self
            .grpc
            .clone()
            .get_hold(self.request("", wanted))
            .await
            .unwrap();
        found.into_inner().hold.unwrap()
    }

    pub async fn available(&self, account: &str) -> i64 {
        self.balance(account).await.available.unwrap()
    }

    pub async fn shop(&self) -> String {
        self.account("PTS", v1::AccountType::Redemption).await
    }
}

#[tokio::test]
async fn value_is_reserved_captured_in_parts_and_given_back() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let shop = client.shop().await;

    let placed = client.place("place", &account, 60).await.unwrap();
    let hold = placed.hold.clone().unwrap();
    assert_eq!((hold.remaining, hold.state()), (60, v1::HoldState::Open));
    assert_eq!(hold.direction(), v1::Direction::Debit);
    let balance = placed.balance.clone().unwrap();
    assert_eq!(
        (balance.balance.unwrap().minor_units, balance.available),
        (100, Some(40))
    );
    assert_eq!(
        reason(&client.burn(&new_key(), &account, 41).await.unwrap_err()),
        "INSUFFICIENT_FUNDS"
    );
    assert_eq!(
        reason(&client.place(&new_key(), &account, 41).await.unwrap_err()),
        "INSUFFICIENT_FUNDS"
    );

    let id = hold.hold_id.as_str();
    let first = client.capture("first", id, Some(25), &shop, false).await.unwrap();
    assert_eq!(first.hold.as_ref().unwrap().remaining, 35);
    let posted = first.transaction.clone().unwrap();
    assert_eq!(posted.kind(), v1::TransactionKind::Capture);
    assert_eq!(posted.entries[0].hold_id, id);
    assert_eq!(
        (client.units(&account).await, client.available(&account).await),
        (75, 40)
    );
    let exceeded = client
        .capture(&new_key(), id, Some(36), &shop, false)
        .await
        .unwrap_err();
    assert_eq!(reason(&exceeded), "HOLD_EXCEEDED");

    let ended = client.void("void", id).await.unwrap();
    assert_eq!(ended.hold.as_ref().unwrap().state(), v1::HoldState::Voided);
    assert_eq!(
        (client.units(&account).await, client.available(&account).await),
        (75, 75)
    );
    assert_eq!(
        reason(&client.void(&new_key(), id).await.unwrap_err()),
        "HOLD_NOT_OPEN"
    );

    // The first answers, for ever.
    assert_eq!(
        client.place("place", &account, 60).await.unwrap_err().code(),
        tonic::Code::Aborted
    );
    assert_eq!(
        client.capture("first", id, Some(25), &shop, false).await.unwrap(),
        first
    );
    assert_eq!(client.void("void", id).await.unwrap(), ended);
    assert_eq!(client.hold(id).await, ended.hold.unwrap());
    audit(&ground).await;
}

#[tokio::test]
async fn the_same_placing_is_answered_as_at_first() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let wanted = v1::PlaceHoldRequest {
        reference: "order/1".to_owned(),
        ..Client::lasting(&account, 60, HOUR)
    };
    let first = client.place_as("key", wanted.clone()).await.unwrap();
    client.burn(&new_key(), &account, 10).await.unwrap();
    client
        .void(&new_key(), &first.hold.as_ref().unwrap().hold_id)
        .await
        .unwrap();
    assert_eq!(client.place_as("key", wanted.clone()).await.unwrap(), first);
    assert_eq!(ground.count("holds").await, 1);
    let taken = client.place_as(&new_key(), wanted).await.unwrap_err();
    assert_eq!(reason(&taken), "REFERENCE_TAKEN");
}

#[tokio::test]
async fn several_tenders_are_captured_in_one_transaction() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let (other, shop) = (client.customer("PTS").await, client.shop().await);
    client.earn(&new_key(), &other, 50).await.unwrap();
    let (one, two) = (client.held(&account, 60).await, client.held(&other, 50).await);
    let drawing = |hold: &str, entry: v1::NewEntry| v1::NewEntry {
        hold_id: hold.to_owned(),
        ..entry
    };
    let wanted = v1::CreateTransactionRequest {
        entries: vec![
            drawing(&one, debit(&account, points(60))),
            drawing(&two, debit(&other, points(20))),
            credit(&shop, points(80)),
        ],
        releases_hold_ids: vec![two.clone()],
        ..Default::default()
    };
    let request = client.request("purchase", wanted.clone());
    let posted = client
        .grpc
        .clone()
        .create_transaction(request)
        .await
        .unwrap()
        .into_inner();
    let states: Vec<_> = posted
        .holds
        .iter()
        .map(|hold| (hold.captured, hold.state()))
        .collect();
    assert_eq!(
        states,
        [(60, v1::HoldState::Captured), (20, v1::HoldState::Voided)]
    );
    assert_eq!(
        (client.available(&account).await, client.available(&other).await),
        (40, 30)
    );
    let again = client.request("purchase", wanted.clone());
    assert_eq!(
        client
            .grpc
            .clone()
            .create_transaction(again)
            .await
            .unwrap()
            .into_inner(),
        posted
    );

    let request = client.request(&new_key(), wanted);
    let refused = client.grpc.clone().create_transaction(request).await.unwrap_err();
    assert_eq!(reason(&refused), "HOLD_NOT_OPEN");
    audit(&ground).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_reserved_is_exact_however_many_want_it() {
    let ground = Ground::new().await;
    let (one, two) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let there = two.client(client.merchant);
    let account = client.customer_with(100).await;
    let shop = client.shop().await;
    let side = |n: usize| {
        if n.is_multiple_of(2) {
            client.clone()
        } else {
            there.clone()
        }
    };

    let placed = join_all((0..64).map(|n| {
        let (client, account) = (side(n), account.clone());
        async move { client.place(&new_key(), &account, 7).await }
    }))
    .await;
    let holds: Vec<_> = placed
        .into_iter()
        .flatten()
        .map(|placed| placed.hold.unwrap().hold_id)
        .collect();
    assert_eq!(holds.len(), 14, "14 times 7 are 98");
    assert_eq!(client.available(&account).await, 2);

    // Of each hold: captured twice in parts that do not both fit, and voided, all at once.
    let ends = holds.iter().enumerate().flat_map(|(n, hold)| {
        let (client, shop) = (side(n), shop.clone());
        (0..3).map(move |which| {
            let (client, hold, shop) = (client.clone(), hold.clone(), shop.clone());
            async move {
                match which {
                    2 => client.void(&new_key(), &hold).await.map(|_| 0),
                    _ => client
                        .capture(&new_key(), &hold, Some(4), &shop, false)
                        .await
                        .map(|_| 4),
                }
            }
        })
    });
    let captured: i64 = join_all(ends.collect::<Vec<_>>())
        .await
        .into_iter()
        .flatten()
        .sum();
    for hold in &holds {
        // A capture of 4 may have come before the void; two never fit.
        let hold = client.hold(hold).await;
        assert_eq!(hold.state(), v1::HoldState::Voided, "{hold:?}");
        assert!(hold.captured == 0 || hold.captured == 4, "{hold:?}");
    }
    assert_eq!(client.units(&account).await, 100 - captured);
    assert_eq!(client.available(&account).await, 100 - captured);
    audit(&ground).await;
}

#[tokio::test]
async fn at_its_time_a_hold_is_over_at_once_and_its_row_soon() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let placed = client
        .place_until(&new_key(), &account, 60, Duration::from_millis(700))
        .await
        .unwrap();
    let id = placed.hold.unwrap().hold_id;
    let shop = client.shop().await;
    assert_eq!(client.available(&account).await, 40);
    let mut row = ground.hold(&account).await;
    until("the hold is over", async || {
        client.available(&account).await == 100
    })
    .await;
    assert_eq!(client.hold(&id).await.state(), v1::HoldState::Expired);
    // Nobody could have written that: the account's row was held.
    row.run("SELECT 1").await;
    row.release().await;
    let open = "SELECT count(*) FROM holds WHERE state = 1";
    until("its row says so", async || {
        let mut owner = ground.owner().await;
        sqlx::query_scalar::<_, i64>(open)
            .fetch_one(&mut owner)
            .await
            .unwrap()
            == 0
    })
    .await;
    let late = client
        .capture(&new_key(), &id, None, &shop, false)
        .await
        .unwrap_err();
    assert_eq!(reason(&late), "HOLD_NOT_OPEN");
    client.burn(&new_key(), &account, 100).await.unwrap();
    audit(&ground).await;
}

#[tokio::test]
async fn holds_are_listed_newest_first() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let mut ids = Vec::new();
    for amount in 1..=3 {
        ids.push(client.held(&account, amount).await);
    }
    client.void(&new_key(), &ids[1]).await.unwrap();
    let list = async |open_only, page| {
        let wanted = v1::ListHoldsRequest {
            account_id: account.clone(),
            open_only,
            page,
        };
        let found = client.grpc.clone().list_holds(client.request("", wanted)).await;
        found.unwrap().into_inner()
    };
    let of = |found: &v1::ListHoldsResponse| {
        found
            .holds
            .iter()
            .map(|hold| hold.hold_id.clone())
            .collect::<Vec<_>>()
    };
    let newest_first = [&ids[2], &ids[1], &ids[0]].map(Clone::clone);
    assert_eq!(of(&list(false, None).await), newest_first);
    assert_eq!(of(&list(true, None).await), [ids[2].clone(), ids[0].clone()]);
    let stranger = instance.merchant();
    let wanted = v1::GetHoldRequest {
        hold_id: ids[0].clone(),
    };
    let unknown = stranger
        .grpc
        .clone()
        .get_hold(stranger.request("", wanted))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
}

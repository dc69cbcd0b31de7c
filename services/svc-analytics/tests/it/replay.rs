//! The topics once more, from their beginning.

use std::sync::{Arc, Mutex};

use lp_kafka::{Consumer, Event, HandleError, Handler};
use lp_pg::{Database, UnitOfWork};
use lp_telemetry::Metrics;
use lp_test::TestDatabase;
use lp_types::time::Ambient;
use sqlx::PgConnection;
use svc_analytics::{Service, TOPICS, infrastructure::consumers::Rollup};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    records::{burn, earn, earn_thrice, onboarded, sell_card, transaction},
    support::{Ground, new_merchant, run, until},
};

/// What was done, in the order of its commits.
type Done = Arc<Mutex<Vec<Event>>>;

/// The service's own handler, watched; or nobody's, to read a topic.
struct Watched(Option<Rollup>, Done);

impl Handler for Watched {
    async fn handle(&self, work: &mut UnitOfWork, event: &Event) -> Result<(), HandleError> {
        match &self.0 {
            Some(rollup) => rollup.handle(work, event).await,
            None => Ok(()),
        }
    }

    async fn committed(&self, event: &Event) {
        self.1.lock().unwrap().push(event.clone());
    }
}

/// A consumer in a group that has read nothing yet.
pub struct Reader {
    done: Done,
    _stop: DropGuard,
}

impl Reader {
    fn new(
        ground: &Ground,
        name: &str,
        topics: &[&str],
        database: Database,
        handler: Option<Rollup>,
    ) -> Self {
        let done = Done::default();
        let handler = Watched(handler, Arc::clone(&done));
        let (metrics, ambient) = (Metrics::new(), Ambient::system());
        let consumer = Consumer::new(&ground.kafka, name, topics, database, handler, &metrics, ambient);
        let cancel = CancellationToken::new();
        tokio::spawn(consumer.run(cancel.clone()));
        Self {
            done,
            _stop: cancel.drop_guard(),
        }
    }

    /// Reads what a topic holds.
    pub fn start(ground: &Ground, topic: &str) -> Self {
        Self::new(ground, "test-reader", &[topic], ground.database.open(), None)
    }

    /// Waits for the first `count` records.
    pub async fn first(&self, count: usize) -> Vec<Event> {
        until(&format!("{count} records"), async || {
            self.done.lock().unwrap().len() >= count
        })
        .await;
        self.done.lock().unwrap().clone()
    }
}

/// Every row of the service's tables.
async fn rows(session: &mut PgConnection) -> String {
    let rows = "SELECT string_agg(row, E'\\n' ORDER BY row) FROM (
                  SELECT merchants::text AS row FROM merchants
                  UNION ALL SELECT quarter_hours::text FROM quarter_hours
                  UNION ALL SELECT asset_figures::text FROM asset_figures) AS rows";
    sqlx::query_scalar(rows).fetch_one(session).await.unwrap()
}

#[tokio::test]
async fn a_replay_gives_the_same_tables() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let merchants = [new_merchant(), new_merchant()];
    let mut all = Vec::new();
    for (n, merchant) in (0_i64..).zip(merchants) {
        for hour in 10..20 {
            let at = format!("2026-06-0{}T{hour}:1{n}:00Z", hour % 7 + 1);
            all.extend(transaction(merchant, &at, earn(i64::from(hour) + n)));
            all.extend(transaction(merchant, &at, [burn(2), sell_card(300)].concat()));
            all.extend(earn_thrice(merchant, &at));
        }
    }
    // One is onboarded before its transactions, the other never.
    all.push(onboarded(merchants[0], "Asia/Kathmandu"));
    ground.told(all.clone()).await;
    instance.stop().await;
    let mut owner = ground.owner().await;
    let before = rows(&mut owner).await;
    assert!(before.lines().count() > 40, "{before}");

    // The group begins again, and the inbox knows all of it: nothing changes.
    run(&mut owner, "UPDATE inbox SET consumer = 'again'").await;
    let known = ground.count("inbox").await;
    assert_eq!(known, i64::try_from(all.len()).unwrap());
    // With the markers behind them.
    let count = all.len() + 2;
    let again = Reader::new(&ground, "again", &TOPICS, ground.database.open(), Some(Rollup));
    let done = again.first(count).await;
    let rows_again = rows(&mut owner).await;
    let without_marker = |rows: &str| {
        let lines = rows
            .lines()
            .filter(|line| !line.contains("1970-01-01"))
            .map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    assert_eq!(done.len(), count);
    assert_eq!(without_marker(&rows_again), without_marker(&before));

    // From nothing: another database, and a group that has read nothing.
    let fresh = TestDatabase::create("analytics", &<Service as lp_chassis::Service>::migrator()).await;
    let other = Reader::new(&ground, "elsewhere", &TOPICS, fresh.open(), Some(Rollup));
    other.first(count).await;
    let made = rows(&mut fresh.owner_session().await).await;
    assert_eq!(without_marker(&made), without_marker(&before));
}

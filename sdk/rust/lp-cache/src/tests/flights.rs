//! Single flight.

use futures::future::join_all;
use tokio::time::sleep;

use super::*;

const LOAD: Duration = Duration::from_millis(200);

/// Counts loads; each takes a while.
#[derive(Default)]
struct Database(AtomicU32);

impl Database {
    async fn load<T>(&self, result: T) -> T {
        self.0.fetch_add(1, Ordering::Relaxed);
        sleep(LOAD).await;
        result
    }

    fn loads(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_misses_load_once() {
    let process = Fleet::new().process().await;
    let database = Arc::new(Database::default());
    let reads = (0..200).map(|_| {
        let (cache, database) = (Arc::clone(&process.cache), Arc::clone(&database));
        tokio::spawn(async move {
            let load = || database.load(Ok::<_, Infallible>(Some(thing(1))));
            cache
                .get_or_load(&key(), None, load)
                .await
                .unwrap()
                .unwrap()
                .value
        })
    });
    for read in join_all(reads).await {
        assert_eq!(read.unwrap(), thing(1));
    }
    assert_eq!(database.loads(), 1);
    assert!(!process.cache.has_flights());
}

#[tokio::test]
async fn what_the_local_level_has_no_room_for_is_loaded_once_all_the_same() {
    let key = key();
    let valkey = Fleet::at("redis://127.0.0.1:1").unconnected(TTL, TTL).valkey;
    let options = Options {
        local_ttl: TTL,
        shared_ttl: TTL,
        local_bytes: 0,
        seed: 1,
    };
    let cache = VersionedCache::new("things", valkey, options, &Metrics::new());
    let database = Database::default();
    let load = || database.load(Ok::<_, Infallible>(Some(thing(1))));
    join_all((0..50).map(|_| cache.get_or_load(&key, None, load))).await;
    assert_eq!(database.loads(), 1);
}

#[tokio::test]
async fn absence_is_not_cached_and_costs_two_loads_at_most() {
    let key = key();
    let process = Fleet::new().process().await;
    let database = Database::default();
    let read = async |after| {
        sleep(after).await;
        let load = || database.load(Ok::<_, Infallible>(None));
        process.cache.get_or_load(&key, None, load).await
    };
    let together = join_all((0..20).map(|_| read(Duration::ZERO)));
    let meanwhile = join_all((0..20).map(|_| read(LOAD / 2)));
    let (together, meanwhile) = tokio::join!(together, meanwhile);
    assert!(together.into_iter().chain(meanwhile).all(|read| read == Ok(None)));
    assert_eq!(
        database.loads(),
        2,
        "those who came while one loaded could have made it themselves before"
    );
    assert_eq!(process.sees(1).await, (Source::Loader, 1));
}

#[tokio::test]
async fn an_error_goes_to_its_caller_and_the_next_one_loads() {
    let key = key();
    let process = Fleet::new().process().await;
    let database = Database::default();
    let load = || async {
        database.load(()).await;
        if database.loads() < 3 {
            Err("database down")
        } else {
            Ok(Some(thing(1)))
        }
    };
    let reads = join_all((0..50).map(|_| process.cache.get_or_load(&key, None, load))).await;
    assert_eq!(reads.iter().filter(|read| read.is_err()).count(), 2);
    assert_eq!(database.loads(), 3);
    assert!(!process.cache.has_flights());
}

#[tokio::test]
async fn a_caller_that_gives_up_hands_over() {
    let key = key();
    let process = Fleet::new().process().await;
    let database = Database::default();
    let load = || database.load(Ok::<_, Infallible>(Some(thing(1))));
    let impatient = tokio::time::timeout(LOAD / 2, process.cache.get_or_load(&key, None, load));
    let (gave_up, patient) = tokio::join!(impatient, process.cache.get_or_load(&key, None, load));
    assert!(gave_up.is_err());
    assert_eq!(patient.unwrap().unwrap().value, thing(1));
    assert_eq!(database.loads(), 2);
    assert!(!process.cache.has_flights());
}

#[tokio::test]
async fn callers_whose_version_a_load_does_not_reach_share_one_more() {
    let key = key();
    let process = Fleet::new().process().await;
    let database = Database::default();
    let read = async |after, at_least| {
        sleep(after).await;
        let load = || database.load(Ok::<_, Infallible>(Some(thing(1))));
        process
            .cache
            .get_or_load(&key, Some(at_least), load)
            .await
            .unwrap()
            .unwrap()
            .value
    };
    let meanwhile = join_all((0..20).map(|n| read(LOAD / 2, at(1, n))));
    let (first, meanwhile) = tokio::join!(read(Duration::ZERO, at(1, 1)), meanwhile);
    assert_eq!(first, thing(1));
    assert!(
        meanwhile.iter().all(|value| *value == thing(1)),
        "the truth, though below"
    );
    assert_eq!(database.loads(), 2);
}

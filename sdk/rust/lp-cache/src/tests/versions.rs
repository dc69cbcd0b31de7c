//! Upwards only.

use futures::future::join_all;
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use tokio::sync::oneshot;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_concurrent_writes_the_highest_stays_and_no_reader_goes_back() {
    const PROCESSES: usize = 4;
    const WRITES: i64 = 200;
    let fleet = Fleet::new();
    let processes = join_all((0..PROCESSES).map(|_| fleet.process())).await;

    let mut tasks = Vec::new();
    for (number, process) in processes.iter().enumerate() {
        for writer in 0..4 {
            let mut sequences: Vec<i64> = (1..=WRITES).collect();
            sequences.shuffle(&mut StdRng::seed_from_u64(number as u64 * 10 + writer));
            let cache = Arc::clone(&process.cache);
            tasks.push(tokio::spawn(async move {
                for sequence in sequences {
                    cache.put(&key(), thing(sequence)).await;
                }
            }));
        }
        let cache = Arc::clone(&process.cache);
        tasks.push(tokio::spawn(async move {
            let mut last = 0;
            while last < WRITES {
                let hit = cache
                    .get_or_load(&key(), None, || async { Ok::<_, Infallible>(None) })
                    .await;
                let sequence = hit.unwrap().map_or(0, |hit| hit.value.sequence);
                assert!(sequence >= last, "{sequence} after {last}");
                last = sequence;
                tokio::task::yield_now().await;
            }
        }));
    }
    for ended in join_all(tasks).await {
        ended.unwrap();
    }

    for process in &processes {
        assert_eq!(process.sees(0).await, (Source::Local, WRITES));
    }
    assert_eq!(fleet.process().await.sees(0).await, (Source::Shared, WRITES));
}

#[tokio::test]
async fn a_slow_fill_does_not_overwrite() {
    let fleet = Fleet::new();
    let (slow, writer) = (fleet.process().await, fleet.process().await);
    let (begun, has_begun) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();

    let cache = Arc::clone(&slow.cache);
    let fill = tokio::spawn(async move {
        let load = || async {
            begun.send(()).unwrap();
            may_go_on.await.unwrap();
            Ok::<_, Infallible>(Some(thing(5)))
        };
        cache.get_or_load(&key(), None, load).await.unwrap().unwrap()
    });
    has_begun.await.unwrap();
    slow.cache.put(&key(), thing(8)).await;
    writer.cache.put(&key(), thing(9)).await;
    go_on.send(()).unwrap();

    assert_eq!(
        fill.await.unwrap().value,
        thing(8),
        "the filler learns of the newer value"
    );
    assert_eq!(slow.sees(0).await, (Source::Local, 8));
    assert_eq!(fleet.process().await.sees(0).await, (Source::Shared, 9));
}

#[tokio::test]
async fn versions_are_compared_exactly_and_by_epoch_first() {
    let fleet = Fleet::new();
    let process = fleet.process().await;
    let beyond_doubles = 1 << 53;
    let ascending = [
        at(i64::MIN, i64::MAX),
        at(-1, 3),
        at(1, beyond_doubles),
        at(1, beyond_doubles + 1),
        at(2, i64::MIN),
        at(i64::MAX, 0),
    ];
    for (low, high) in ascending.iter().zip(&ascending[1..]) {
        for version in [low, high, low] {
            let Version { epoch, sequence } = *version;
            process.cache.put(&key(), Thing { epoch, sequence }).await;
        }
        let hit = fleet.process().await.read(&key(), None, None).await.unwrap();
        assert_eq!((hit.source, hit.value.version()), (Source::Shared, *high));
    }
}

#[tokio::test]
async fn at_least_forces_a_load() {
    let fleet = Fleet::new();
    let (process, other) = (fleet.process().await, fleet.process().await);
    process.cache.put(&key(), thing(5)).await;

    let hit = process.read(&key(), Some(at(1, 5)), Some(9)).await.unwrap();
    assert_eq!((hit.source, hit.value), (Source::Local, thing(5)));
    let hit = other.read(&key(), Some(at(1, 6)), Some(6)).await.unwrap();
    assert_eq!((hit.source, hit.value), (Source::Loader, thing(6)));
    let hit = process.read(&key(), Some(at(1, 6)), Some(9)).await.unwrap();
    assert_eq!(
        (hit.source, hit.value),
        (Source::Shared, thing(6)),
        "Valkey has what was asked for"
    );
    let hit = process.read(&key(), Some(at(2, 1)), Some(7)).await.unwrap();
    assert_eq!(
        (hit.source, hit.value),
        (Source::Loader, thing(7)),
        "the truth, though below"
    );
    assert_eq!(
        process.metric(r#"cache_requests_total{cache="things",result="local"}"#),
        1
    );
    assert_eq!(
        process.metric(r#"cache_requests_total{cache="things",result="shared"}"#),
        1
    );
    assert_eq!(
        process.metric(r#"cache_requests_total{cache="things",result="miss"}"#),
        1
    );
}

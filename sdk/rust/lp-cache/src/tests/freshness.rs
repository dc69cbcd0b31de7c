//! Time limits and invalidation.

use tokio::time::sleep;

use super::*;

const SHORT: Duration = Duration::from_millis(1_200);

#[tokio::test]
async fn nothing_is_served_older_than_the_shared_ttl_over_both_levels() {
    let fleet = Fleet::new();
    let (writer, reader) = (
        fleet.process_with(SHORT, SHORT).await,
        fleet.process_with(SHORT, SHORT).await,
    );
    writer.cache.put(&key(), thing(1)).await;
    sleep(SHORT / 2).await;
    let hit = reader.read(&key(), None, Some(2)).await.unwrap();
    assert_eq!((hit.source, &hit.value), (Source::Shared, &thing(1)));
    assert!(hit.age >= SHORT / 2, "{:?}", hit.age);

    loop {
        let hit = reader.read(&key(), None, Some(2)).await.unwrap();
        if hit.source == Source::Loader {
            break;
        }
        assert!(hit.age <= SHORT + Duration::from_millis(100), "{:?}", hit.age);
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(reader.sees(0).await, (Source::Local, 2));
}

#[tokio::test]
async fn the_age_counts_from_before_the_load() {
    let fleet = Fleet::new();
    let process = fleet.process().await;
    let slow = || async {
        sleep(Duration::from_millis(200)).await;
        Ok::<_, Infallible>(Some(thing(1)))
    };
    process.cache.get_or_load(&key(), None, slow).await.unwrap();
    for process in [process, fleet.process().await] {
        let hit = process.read(&key(), None, None).await.unwrap();
        assert_ne!(hit.source, Source::Loader);
        assert!(hit.age >= Duration::from_millis(195), "{hit:?}");
    }
}

#[tokio::test]
async fn valkey_keeps_a_value_for_nine_tenths_of_the_ttl_to_the_whole() {
    let process = Fleet::new().process().await;
    process.cache.put(&key(), thing(1)).await;
    let left: u64 = process.lua("return redis.call('PTTL', KEYS[1])", "").await;
    let left = Duration::from_millis(left);
    assert!(
        left <= TTL && left > TTL * 9 / 10 - Duration::from_secs(1),
        "{left:?}"
    );
}

#[tokio::test]
async fn a_value_that_was_read_before_an_invalidation_is_not_cached_after_it() {
    let fleet = Fleet::new();
    let (process, other) = (fleet.process().await, fleet.process().await);
    for invalidating in [&process, &other] {
        let load = || async {
            sleep(Duration::from_millis(5)).await;
            invalidating.cache.invalidate(&key()).await;
            Ok::<_, Infallible>(Some(thing(5)))
        };
        let hit = process
            .cache
            .get_or_load(&key(), Some(at(1, 5)), load)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (hit.source, hit.value),
            (Source::Loader, thing(5)),
            "answered all the same"
        );
        assert_eq!(
            fleet.process().await.sees(1).await,
            (Source::Loader, 1),
            "also with a lower version"
        );
    }
    process.cache.invalidate(&key()).await;
    assert_eq!(process.sees(2).await, (Source::Loader, 2));
    assert_eq!(process.sees(3).await, (Source::Local, 2));
}

#[tokio::test]
async fn an_invalidation_holds_in_its_process_when_valkey_does_not_hear_it() {
    let fleet = Fleet::new();
    let proxy = proxy::Proxy::start().await;
    let process = fleet.via(&proxy.url).process().await;
    process.cache.put(&key(), thing(5)).await;
    proxy.set(proxy::Mode::Cut);
    process.cache.invalidate(&key()).await;
    proxy.set(proxy::Mode::Pass);
    while process.valkey.read(&key()).await.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(process.sees(4).await, (Source::Loader, 4));
}

#[tokio::test]
async fn the_local_level_is_bounded_by_bytes() {
    let process = Fleet::new().process().await;
    for id in 0..10_000 {
        process.cache.put(&KEYS.key(id), thing(1)).await;
    }
    let evicted = process.metric(r#"cache_evictions_total{cache="things"}"#);
    assert!((6_000..10_000).contains(&evicted), "{evicted}");
}

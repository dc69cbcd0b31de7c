//! Without Valkey.

use std::time::Instant;

use tokio::time::sleep;

use super::{
    proxy::{Mode, Proxy},
    *,
};

/// Reads `count` keys that nobody has cached; gives the time of the whole and of the slowest.
async fn read_new_keys(process: &Process, what: &str, count: u32) -> (Duration, Duration) {
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for id in 0..count {
        let started = Instant::now();
        let hit = process
            .read(&KEYS.key(format_args!("{what}-{id}")), None, Some(1))
            .await
            .unwrap();
        assert_eq!(hit.source, Source::Loader);
        slowest = slowest.max(started.elapsed());
    }
    (began.elapsed(), slowest)
}

/// Until a read of the one key comes from Valkey.
async fn uses_valkey_again(process: &Process, what: &str) {
    let began = Instant::now();
    while process.sees(1).await.0 != Source::Shared {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{what}: Valkey is back, and is not used"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn cut_slow_or_refusing_valkey_costs_little_and_is_used_again_when_it_is_back() {
    let fleet = Fleet::new();
    let proxy = Proxy::start().await;
    // What is in process does not stay, so that each read asks Valkey.
    let process = fleet.via(&proxy.url).process_with(Duration::ZERO, TTL).await;
    let faults = [
        ("cut", Mode::Cut),
        ("slow", Mode::Delay(Duration::from_millis(500))),
        ("dead", Mode::Delay(Duration::from_secs(3600))),
        ("refusing", Mode::Refuse),
    ];
    for (what, mode) in faults {
        proxy.set(mode);
        let errors = process.metric(r#"cache_errors_total{cache="things",operation="read"}"#);
        let (all, slowest) = read_new_keys(&process, what, 1_000).await;
        assert!(all < Duration::from_secs(3), "{what}: 1,000 reads took {all:?}");
        assert!(
            slowest < Duration::from_millis(500),
            "{what}: the slowest read took {slowest:?}"
        );
        let counted = process.metric(r#"cache_errors_total{cache="things",operation="read"}"#) - errors;
        assert!(counted >= 990, "{what}: {counted} errors counted");

        proxy.set(Mode::Pass);
        uses_valkey_again(&process, what).await;
    }
}

#[tokio::test]
async fn starts_and_reads_without_valkey() {
    for url in [
        "redis://127.0.0.1:1",
        "redis://no-such-host.invalid",
        "rediss://127.0.0.1:1",
    ] {
        let process = Fleet::at(url).unconnected(TTL, TTL);
        let (all, _) = read_new_keys(&process, "new", 1_000).await;
        assert!(all < Duration::from_secs(3), "{url}: {all:?}");
        assert_eq!(process.sees(1).await, (Source::Loader, 1));
        assert_eq!(
            process.sees(2).await,
            (Source::Local, 1),
            "the local level still works"
        );
    }
}

#[tokio::test]
async fn tls_does_not_fall_back_to_plain_text() {
    let plain = Fleet::new();
    let url = plain.0.valkey_url.expose().replacen("redis://", "rediss://", 1);
    let process = plain.via(&url).unconnected(TTL, TTL);
    for _ in 0..10 {
        assert!(process.valkey.read(&key()).await.is_err());
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn malformed_bytes_are_a_miss_and_are_overwritten() {
    let fleet = Fleet::new();
    let writer = fleet.process().await;
    let highest = "9".repeat(Version::DIGITS);
    let string = "redis.call('SET', KEYS[1], ARGV[1])";
    let other_type = "redis.call('DEL', KEYS[1]) redis.call('HSET', KEYS[1], 'field', ARGV[1])";
    let cases = [
        (string, "\u{0}\u{1}nonsense".to_owned()),
        (string, String::new()),
        (string, format!("{highest} 1 {{\"another\": \"format\"}}")),
        (string, format!("{highest} 1 ")),
        (string, format!("{highest} {} {{}}", "9".repeat(400))),
        (other_type, "value".to_owned()),
    ];
    for (lua, bytes) in cases {
        let () = writer.lua(lua, &bytes).await;
        assert_eq!(
            fleet.process().await.sees(3).await,
            (Source::Loader, 3),
            "{bytes:?}"
        );
        assert_eq!(
            fleet.process().await.sees(0).await,
            (Source::Shared, 3),
            "{bytes:?}"
        );
    }
}

#[tokio::test]
async fn scripts_that_valkey_forgot_are_sent_again() {
    let fleet = Fleet::new();
    let process = fleet.process().await;
    process.cache.put(&key(), thing(1)).await;
    let () = process.valkey.command("SCRIPT", vec!["FLUSH".into()]).await;
    process.cache.put(&key(), thing(2)).await;
    let () = process.valkey.command("SCRIPT", vec!["FLUSH".into()]).await;
    assert_eq!(fleet.process().await.sees(0).await, (Source::Shared, 2));
}

//! A write under a key: it is done once, and its answer stays.

use futures::future::join_all;
use lp_error::Result;
use lp_pg::idempotency::{FirstTime, Once};

use crate::support::{Ground, effect};

fn first(once: Result<Once<String>>) -> FirstTime {
    match once.unwrap() {
        Once::FirstTime(first) => first,
        Once::Again(answer) => panic!("answered before: {answer}"),
    }
}

fn again(once: Result<Once<String>>) -> String {
    match once.unwrap() {
        Once::Again(answer) => answer,
        Once::FirstTime(first) => panic!("the first time: {first:?}"),
    }
}

fn reused(once: Result<Once<String>>) -> bool {
    once.unwrap_err().reason() == "IDEMPOTENCY_KEY_REUSED"
}

#[tokio::test]
async fn a_key_gives_its_first_answer_for_ever() {
    let ground = Ground::new().await;
    let mut work = first(ground.begin("key", 1).await);
    assert!(!work.resumed);
    effect(&mut work.work, "done").await;
    work.finish(&"the answer".to_owned()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(again(ground.begin("key", 1).await), "the answer");
    }
    assert!(reused(ground.begin("key", 2).await));
    assert_eq!(again(ground.begin("key", 1).await), "the answer");
    assert_eq!(
        (ground.effects().await, ground.keys().await),
        (vec!["done".to_owned()], 1)
    );
}

#[tokio::test]
async fn what_is_dropped_leaves_neither_effect_nor_key() {
    let ground = Ground::new().await;
    let mut work = first(ground.begin("key", 1).await);
    effect(&mut work.work, "half").await;
    drop(work);
    // Another request may have the key now.
    let work = first(ground.begin("key", 2).await);
    assert!(!work.resumed);
    work.finish(&"later".to_owned()).await.unwrap();
    assert_eq!(ground.effects().await, Vec::<String>::new());
    assert!(reused(ground.begin("key", 1).await));
}

#[tokio::test]
async fn a_refusal_drops_the_effect_and_keeps_the_answer() {
    let ground = Ground::new().await;
    let mut work = first(ground.begin("key", 1).await);
    effect(&mut work.work, "no").await;
    let answer = work.refuse(&ground.database, "refused".to_owned()).await.unwrap();
    assert_eq!(answer, "refused");
    assert_eq!(again(ground.begin("key", 1).await), "refused");
    assert_eq!((ground.effects().await, ground.keys().await), (Vec::new(), 1));
}

#[tokio::test]
async fn a_write_of_several_steps_is_paused_and_taken_up() {
    let ground = Ground::new().await;
    let mut work = first(ground.begin("key", 1).await);
    effect(&mut work.work, "step 1").await;
    work.pause().await.unwrap();
    assert!(reused(ground.begin("key", 2).await), "also while it is under way");

    let mut work = first(ground.begin("key", 1).await);
    assert!(work.resumed);
    effect(&mut work.work, "lost").await;
    drop(work);
    let mut work = first(ground.begin("key", 1).await);
    assert!(work.resumed, "a step that was dropped may be tried again");
    effect(&mut work.work, "step 2").await;
    work.finish(&"both".to_owned()).await.unwrap();
    assert_eq!(again(ground.begin("key", 1).await), "both");
    assert_eq!(ground.effects().await, ["step 1", "step 2"]);
}

#[tokio::test]
async fn a_refusal_after_a_pause_keeps_the_steps_before() {
    let ground = Ground::new().await;
    let mut work = first(ground.begin("key", 1).await);
    effect(&mut work.work, "step 1").await;
    work.pause().await.unwrap();
    let work = first(ground.begin("key", 1).await);
    let answer = work.refuse(&ground.database, "refused".to_owned()).await.unwrap();
    assert_eq!(answer, "refused");
    assert_eq!(again(ground.begin("key", 1).await), "refused");
    assert_eq!(ground.effects().await, ["step 1"]);
}

/// 64 callers with one key, of whom one does the work; returns how often it was done.
async fn sixty_four(ground: &Ground) -> usize {
    let calls = (0..64).map(|n| async move {
        match ground.begin("key", 1).await.unwrap() {
            Once::Again(answer) => (0, answer),
            Once::FirstTime(mut first) => {
                effect(&mut first.work, "done").await;
                let answer = format!("of caller {n}");
                first.finish(&answer).await.unwrap();
                (1, answer)
            }
        }
    });
    let outcomes = join_all(calls).await;
    assert!(
        outcomes.iter().all(|(_, answer)| *answer == outcomes[0].1),
        "{outcomes:?}"
    );
    outcomes.iter().map(|(done, _)| done).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_at_once_one_writes() {
    let ground = Ground::new().await;
    assert_eq!(sixty_four(&ground).await, 1);
    assert_eq!(ground.effects().await, ["done"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_at_once_one_takes_up_what_was_paused() {
    let ground = Ground::new().await;
    first(ground.begin("key", 1).await).pause().await.unwrap();
    assert_eq!(sixty_four(&ground).await, 1);
    assert_eq!(ground.effects().await, ["done"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_at_once_all_get_one_refusal() {
    let ground = Ground::new().await;
    let calls = (0..64).map(|n| {
        let ground = &ground;
        async move {
            match ground.begin("key", 1).await.unwrap() {
                Once::Again(answer) => answer,
                Once::FirstTime(first) => first
                    .refuse(&ground.database, format!("of caller {n}"))
                    .await
                    .unwrap(),
            }
        }
    });
    let answers = join_all(calls).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(ground.keys().await, 1);
}

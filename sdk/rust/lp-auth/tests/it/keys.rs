//! How keys come, change and stay.

use std::time::Duration;

use futures::{FutureExt as _, future::join_all};
use lp_error::Code;
use serde_json::json;

use crate::support::{Mood, Scene, Signer, eventually, refusal};

#[tokio::test]
async fn without_keys_nobody_can_tell() {
    let signer = Signer::es256("a");
    let scene = Scene::of(&[&signer]).await;
    let token = signer.token(&scene.claims(json!({})));
    scene.issuer.becomes(Mood::Away);
    let error = refusal(&scene.verifier, &token).await;
    assert_eq!(
        (error.code(), error.reason()),
        (Code::Unavailable, "DEPENDENCY_UNAVAILABLE")
    );
    assert_eq!(
        error.internal_text().as_deref(),
        Some("the issuer answered 503 Service Unavailable")
    );
    // Back at once, but asked again only after 5 s.
    scene.issuer.becomes(Mood::Well);
    assert_eq!(scene.refused(&token).await, Code::Unavailable);
    assert_eq!(scene.issuer.asked(), 1);
    scene.advance(5);
    scene.good(&token).await;
    assert_eq!(scene.count("auth_jwks_refreshes", "failed"), 1);
    assert_eq!(scene.count("auth_jwks_refreshes", "ok"), 1);
    assert_eq!(scene.count("auth_verifications", "keys_away"), 2);
}

#[tokio::test]
async fn rotation_overlaps() {
    let (old, new) = (Signer::es256("old"), Signer::eddsa("new"));
    let scene = Scene::of(&[&old]).await;
    let claims = scene.claims(json!({}));
    let (by_old, by_new) = (old.token(&claims), new.token(&claims));
    scene.good(&by_old).await;
    scene.issuer.show(&[&old, &new]);
    // The keys are a moment old: the unknown one waits for the next fetch.
    assert_eq!(scene.refused(&by_new).await, Code::Unauthenticated);
    scene.advance(5);
    scene.good(&by_new).await;
    scene.good(&by_old).await;
    scene.issuer.show(&[&new]);
    scene.advance(300);
    // Remembered until the background has fetched; then gone with its key.
    scene.good(&by_old).await;
    eventually(|| scene.count("auth_jwks_refreshes", "ok") == 3).await;
    assert_eq!(scene.refused(&by_old).await, Code::Unauthenticated);
    scene.good(&by_new).await;
}

#[tokio::test]
async fn fetches_are_single_and_rare() {
    let (signer, stranger) = (Signer::eddsa("a"), Signer::eddsa("z"));
    let scene = Scene::of(&[&signer]).await;
    scene.issuer.answers_slowly();
    let claims = scene.claims(json!({}));
    let (token, unknown) = (signer.token(&claims), stranger.token(&claims));
    join_all((0..50).map(|_| scene.good(&token))).await;
    assert_eq!(scene.issuer.asked(), 1);
    scene.advance(4);
    join_all((0..50).map(|_| scene.refused(&unknown))).await;
    assert_eq!(scene.issuer.asked(), 1);
    scene.advance(1);
    join_all((0..50).map(|_| scene.refused(&unknown))).await;
    assert_eq!(scene.issuer.asked(), 2);
    // Every five minutes, and nobody waits for it.
    scene.advance(299);
    scene.good(&token).await;
    assert_eq!(scene.issuer.asked(), 2);
    scene.advance(1);
    join_all((0..50).map(|_| scene.good(&token))).await;
    assert_eq!(scene.count("auth_jwks_refreshes", "ok"), 2);
    eventually(|| scene.count("auth_jwks_refreshes", "ok") == 3).await;
    assert_eq!(scene.issuer.asked(), 3);
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_end_the_fetch() {
    let signer = Signer::eddsa("a");
    let scene = Scene::of(&[&signer]).await;
    scene.issuer.answers_slowly();
    let token = signer.token(&scene.claims(json!({})));
    assert!(scene.verifier.verify(&token).now_or_never().is_none());
    scene.good(&token).await;
    assert_eq!(scene.issuer.asked(), 1);
}

#[tokio::test]
async fn an_issuer_that_hangs_is_given_up() {
    let signer = Signer::eddsa("a");
    let scene = Scene::of(&[&signer]).await;
    scene.issuer.becomes(Mood::Hangs);
    let token = signer.token(&scene.claims(json!({})));
    let refused = tokio::time::timeout(Duration::from_secs(30), scene.refused(&token));
    assert_eq!(refused.await.unwrap(), Code::Unavailable);
}

#[tokio::test]
async fn keys_stay_for_an_hour_when_the_issuer_is_away() {
    let (signer, stranger) = (Signer::es256("a"), Signer::es256("z"));
    let scene = Scene::of(&[&signer]).await;
    let claims = scene.claims(json!({"exp": scene.seconds(86_400)}));
    let token = signer.token(&claims);
    scene.good(&token).await;
    let moods = [
        Mood::Away,
        Mood::Redirects,
        Mood::Says("{}".to_owned()),
        Mood::Says(r#"{"keys":[]}"#.to_owned()),
        Mood::Says("<html>".to_owned()),
        Mood::Says("x".repeat(1 << 20)),
    ];
    for (number, mood) in (1..).zip(moods) {
        scene.issuer.becomes(mood);
        scene.advance(300);
        scene.good(&token).await;
        eventually(|| scene.count("auth_jwks_refreshes", "failed") == number).await;
    }
    scene.advance(5);
    // The issuer may have a key that we do not know.
    assert_eq!(scene.refused(&stranger.token(&claims)).await, Code::Unavailable);
    scene.advance(3_600 - 6 * 300 - 5 - 1);
    scene.good(&token).await;
    scene.advance(1);
    assert_eq!(scene.refused(&token).await, Code::Unavailable);
    scene.issuer.becomes(Mood::Well);
    scene.advance(5);
    scene.good(&token).await;
}

//! Our own token.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::join_all;
use lp_auth::TokenSource;
use lp_config::Client;
use lp_error::Code;
use lp_types::time::Ambient;

use crate::support::{CLIENT_SECRET, Mood, Scene, eventually};

async fn bearer(scene: &Scene) -> Result<String, Code> {
    let value = scene.tokens.bearer().await;
    let shown = format!("{value:?} {:?}", scene.tokens);
    assert!(
        !shown.contains("secret-token") && !shown.contains("hunter2"),
        "{shown}"
    );
    value
        .map(|v| v.to_str().unwrap().to_owned())
        .map_err(|e| e.code())
}

#[tokio::test]
async fn the_grant_is_as_the_rfc_says() {
    let scene = Scene::of(&[]).await;
    assert_eq!(bearer(&scene).await.unwrap(), "Bearer secret-token-1");
    let (body, authorization) = scene.issuer.grant();
    assert_eq!(body, "grant_type=client_credentials");
    let given = STANDARD
        .decode(authorization.strip_prefix("Basic ").unwrap())
        .unwrap();
    assert_eq!(given, b"svc-test:hunter2%3Awith+%2Bsigns%2F");
    assert_eq!(CLIENT_SECRET, "hunter2:with +signs/");
}

#[tokio::test]
async fn what_the_issuer_knows_beyond_the_grant_goes_along() {
    let scene = Scene::of(&[]).await;
    let config = Client {
        auth_token_url: format!("{}/token", scene.issuer.url).parse().unwrap(),
        auth_client_id: "till".to_owned(),
        auth_client_secret: CLIENT_SECRET.to_owned().into(),
    };
    let asked = [("merchant_id", "mer_1"), ("why", "a&b=c d")];
    let tokens = TokenSource::asking(config, &asked, Ambient::system()).unwrap();
    tokens.bearer().await.unwrap();
    let (body, _) = scene.issuer.grant();
    assert_eq!(
        body,
        "grant_type=client_credentials&merchant_id=mer_1&why=a%26b%3Dc+d"
    );
}

#[tokio::test]
async fn it_is_kept_for_four_fifths_of_its_life_and_renewed_aside() {
    let scene = Scene::of(&[]).await;
    scene.issuer.answers_slowly();
    for given in join_all((0..50).map(|_| bearer(&scene))).await {
        assert_eq!(given.unwrap(), "Bearer secret-token-1");
    }
    scene.advance(79);
    assert_eq!(bearer(&scene).await.unwrap(), "Bearer secret-token-1");
    assert_eq!(scene.issuer.asked(), 1);
    scene.advance(1);
    for given in join_all((0..50).map(|_| bearer(&scene))).await {
        assert_eq!(given.unwrap(), "Bearer secret-token-1");
    }
    eventually(|| scene.issuer.asked() == 2).await;
    while bearer(&scene).await.unwrap() != "Bearer secret-token-2" {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.issuer.asked(), 2);
}

#[tokio::test]
async fn it_is_kept_while_valid_when_the_issuer_is_away() {
    let scene = Scene::of(&[]).await;
    bearer(&scene).await.unwrap();
    scene.issuer.becomes(Mood::Away);
    scene.advance(99);
    assert_eq!(bearer(&scene).await.unwrap(), "Bearer secret-token-1");
    eventually(|| scene.issuer.asked() == 2).await;
    scene.advance(1);
    assert_eq!(bearer(&scene).await, Err(Code::Unavailable));
    let asked = scene.issuer.asked();
    assert_eq!(bearer(&scene).await, Err(Code::Unavailable));
    assert_eq!(scene.issuer.asked(), asked, "not twice a second");
    scene.issuer.becomes(Mood::Well);
    scene.advance(1);
    let number = asked + 1;
    assert_eq!(
        bearer(&scene).await.unwrap(),
        format!("Bearer secret-token-{number}")
    );
}

#[tokio::test]
async fn one_that_was_refused_is_given_to_nobody_again() {
    let scene = Scene::of(&[]).await;
    let refused = scene.tokens.bearer().await.unwrap();
    scene.tokens.withdraw(&refused);
    assert_eq!(
        bearer(&scene).await,
        Err(Code::Unavailable),
        "a second has not passed"
    );
    scene.advance(1);
    assert_eq!(bearer(&scene).await.unwrap(), "Bearer secret-token-2");
    // A refusal that comes late does not touch the one that came after it.
    scene.tokens.withdraw(&refused);
    assert_eq!(bearer(&scene).await.unwrap(), "Bearer secret-token-2");
    assert_eq!(scene.issuer.asked(), 2);
}

#[tokio::test]
async fn an_answer_that_is_no_token_is_not_used() {
    let scene = Scene::of(&[]).await;
    for answer in [
        "",
        "{}",
        r#"{"access_token":"secret-token","token_type":"mac","expires_in":100}"#,
        r#"{"access_token":"secret-token\n","token_type":"bearer","expires_in":100}"#,
        r#"{"access_token":"secret-token","token_type":"bearer","expires_in":-1}"#,
        r#"{"access_token":"secret-token","token_type":"bearer","expires_in":0}"#,
        r#"{"access_token":7,"token_type":"bearer"}"#,
    ] {
        scene.issuer.becomes(Mood::Says(answer.to_owned()));
        scene.advance(1);
        assert_eq!(bearer(&scene).await, Err(Code::Unavailable), "{answer}");
    }
    let unsaid = r#"{"access_token":"secret-token","token_type":"Bearer"}"#;
    scene.issuer.becomes(Mood::Says(unsaid.to_owned()));
    scene.advance(1);
    assert_eq!(bearer(&scene).await.unwrap(), "Bearer secret-token");
}

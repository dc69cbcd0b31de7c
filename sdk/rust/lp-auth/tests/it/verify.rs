//! Which tokens are believed.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use lp_auth::bearer_of;
use lp_error::Code;
use serde_json::{Value, json};

use crate::support::{MERCHANT, Scene, Signer, encode, refusal, signed};

#[tokio::test]
async fn a_good_token_says_who_calls() {
    let signers = [Signer::es256("a"), Signer::eddsa("b"), Signer::rs256("c")];
    let scene = Scene::of(&signers.each_ref()).await;
    for signer in &signers {
        let token = signer.token(&scene.claims(json!({"aud": ["other", "localplus"]})));
        for _ in 0..2 {
            let identity = scene.good(&token).await;
            assert_eq!(identity.actor().as_str(), "till-7", "{}", signer.algorithm());
            assert_eq!(
                identity.merchant().map(|m| m.to_string()).as_deref(),
                Some(MERCHANT)
            );
            assert!(identity.has_scope("ledger.accounts.read"));
            for other in [
                "ledger",
                "ledger.accounts",
                "ledger.accounts.*",
                "",
                "LEDGER.ACCOUNTS.READ",
            ] {
                assert!(!identity.has_scope(other), "{other}");
            }
        }
    }
    assert_eq!(scene.count("auth_verifications", "verified"), 3);
    assert_eq!(scene.count("auth_verifications", "remembered"), 3);
}

#[tokio::test]
async fn claims_that_are_not_for_us_are_refused() {
    let signer = Signer::es256("a");
    let scene = Scene::of(&[&signer]).await;
    let cases = [
        (json!({"iss": "https://other.test"}), "wrong_issuer"),
        (json!({"iss": "https://issuer.test/"}), "wrong_issuer"),
        (json!({"iss": ["https://issuer.test"]}), "wrong_claims"),
        (json!({"iss": null}), "wrong_claims"),
        (json!({"aud": "other"}), "wrong_audience"),
        (json!({"aud": ["other", "localplus2"]}), "wrong_audience"),
        (json!({"aud": []}), "wrong_audience"),
        (json!({"aud": null}), "wrong_claims"),
        (json!({"exp": scene.seconds(-31)}), "expired"),
        (json!({"exp": null}), "wrong_claims"),
        (json!({"exp": "2036-01-01"}), "wrong_claims"),
        (json!({"exp": -1}), "wrong_claims"),
        (json!({"exp": 1e300}), "wrong_claims"),
        (json!({"nbf": scene.seconds(31)}), "not_yet_valid"),
        (json!({"nbf": "soon"}), "wrong_claims"),
        (json!({"sub": null}), "wrong_claims"),
        (json!({"sub": ""}), "wrong_claims"),
        (json!({"sub": "claire@example.com"}), "wrong_claims"),
        (json!({"sub": "x".repeat(65)}), "wrong_claims"),
        (json!({"scope": ["ledger.accounts.read"]}), "wrong_claims"),
        (json!({"merchant_id": "acme"}), "wrong_claims"),
        (
            json!({"merchant_id": "wal_0199f0c1d2e37a4b8c5d6e7f80912a3b"}),
            "wrong_claims",
        ),
    ];
    for (changes, outcome) in cases {
        let before = scene.count("auth_verifications", outcome);
        let token = signer.token(&scene.claims(changes.clone()));
        let error = refusal(&scene.verifier, &token).await;
        assert_eq!(
            (error.code(), error.reason()),
            (Code::Unauthenticated, "UNAUTHENTICATED"),
            "{changes}"
        );
        assert_eq!(
            scene.count("auth_verifications", outcome),
            before + 1,
            "{changes}: {error:?}"
        );
    }
    // Clocks may differ a little.
    for changes in [
        json!({"exp": scene.seconds(-29)}),
        json!({"nbf": scene.seconds(30)}),
        json!({"nbf": null, "scope": null, "merchant_id": null}),
    ] {
        scene.good(&signer.token(&scene.claims(changes))).await;
    }
}

#[tokio::test]
async fn only_the_keys_own_algorithm_is_believed() {
    let (ec, rsa, stranger) = (Signer::es256("a"), Signer::rs256("r"), Signer::es256("a"));
    let scene = Scene::of(&[&ec, &rsa]).await;
    let claims = scene.claims(json!({}));
    let header = |alg: &str, kid: Value| json!({"alg": alg, "kid": kid});
    let jwk_of_stranger = json!({"alg": "ES256", "kid": "a", "jwk": stranger.jwk()});
    let no_signature = |alg: &str| signed(&json!({"alg": alg, "kid": "a"}), &claims, |_| Vec::new());
    let cases = [
        (no_signature("none"), "malformed"),
        (no_signature("None"), "malformed"),
        (no_signature("ES256"), "wrong_signature"),
        (ec.confused(&ec.public(), &claims), "wrong_algorithm"),
        (
            ec.confused(ec.jwk().to_string().as_bytes(), &claims),
            "wrong_algorithm",
        ),
        (rsa.confused(&rsa.public(), &claims), "wrong_algorithm"),
        (
            ec.token_with(&header("EdDSA", json!("a")), &claims),
            "wrong_algorithm",
        ),
        (
            ec.token_with(&header("ES384", json!("a")), &claims),
            "wrong_algorithm",
        ),
        (
            rsa.token_with(&header("PS256", json!("r")), &claims),
            "wrong_algorithm",
        ),
        (
            ec.token_with(&header("ES256", json!("r")), &claims),
            "wrong_algorithm",
        ),
        (
            ec.token_with(&header("ES256", json!("z")), &claims),
            "unknown_key",
        ),
        (ec.token_with(&header("ES256", Value::Null), &claims), "malformed"),
        (ec.token_with(&json!({"alg": "ES256"}), &claims), "malformed"),
        (
            ec.token_with(&json!({"alg": "ES256", "kid": "a", "crit": ["b64"]}), &claims),
            "malformed",
        ),
        (stranger.token(&claims), "wrong_signature"),
        (stranger.token_with(&jwk_of_stranger, &claims), "wrong_signature"),
    ];
    for (number, (token, outcome)) in cases.into_iter().enumerate() {
        let before = scene.count("auth_verifications", outcome);
        assert_eq!(scene.refused(&token).await, Code::Unauthenticated, "{number}");
        assert_eq!(
            scene.count("auth_verifications", outcome),
            before + 1,
            "case {number}, {outcome}"
        );
    }
    scene.good(&ec.token(&claims)).await;
}

#[tokio::test]
async fn only_signing_keys_of_known_kinds_are_used() {
    let (good, other) = (Signer::es256("a"), Signer::es256("b"));
    let rsa = Signer::rs256("b");
    let scene = Scene::of(&[]).await;
    let claims = scene.claims(json!({}));
    let changed = |signer: &Signer, name: &str, value: &str| {
        let mut jwk = signer.jwk();
        jwk[name] = json!(value);
        jwk
    };
    let secret = json!({"kty": "oct", "k": encode("hunter2"), "kid": "b", "alg": "HS256"});
    let cases = [
        (changed(&other, "use", "enc"), other.token(&claims)),
        (changed(&other, "alg", "ES384"), other.token(&claims)),
        (changed(&other, "crv", "P-384"), other.token(&claims)),
        (changed(&other, "x", "!"), other.token(&claims)),
        (changed(&rsa, "alg", "PS256"), rsa.token(&claims)),
        (secret, other.confused(b"hunter2", &claims)),
        (json!({"kty": "lattice", "kid": "b"}), other.token(&claims)),
        (json!(["not", "a", "key"]), other.token(&claims)),
    ];
    for (jwk, token) in cases {
        scene.issuer.show_raw(vec![jwk.clone(), good.jwk()]);
        scene.advance(5);
        // An unknown key makes the verifier look again.
        assert_eq!(scene.refused(&token).await, Code::Unauthenticated, "{jwk}");
        // What is odd does not hide what is good.
        scene.good(&good.token(&claims)).await;
    }
    assert_eq!(scene.count("auth_verifications", "unknown_key"), 8);
}

#[tokio::test]
async fn nonsense_is_refused() {
    let signer = Signer::es256("a");
    let scene = Scene::of(&[&signer]).await;
    let claims = scene.claims(json!({}));
    let good = signer.token(&claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let long = signer.token(&scene.claims(json!({"scope": "s".repeat(8 << 10)})));
    for token in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "e30.e30.",
        "\u{e9}\u{0}",
        message,
        long.as_str(),
        &format!("Bearer {good}"),
        &format!("{good}.{signature}"),
        &format!(" {good}"),
    ] {
        assert_eq!(scene.refused(token).await, Code::Unauthenticated, "{token}");
    }
    assert_eq!(scene.issuer.asked(), 0, "nonsense costs no fetch");
    assert_eq!(scene.refused(&format!("{good}=")).await, Code::Unauthenticated);
    scene.good(&good).await;
}

#[tokio::test]
async fn a_remembered_token_expires() {
    let signer = Signer::eddsa("a");
    let scene = Scene::of(&[&signer]).await;
    let token = signer.token(&scene.claims(json!({"exp": scene.seconds(60)})));
    scene.good(&token).await;
    scene.advance(89);
    scene.good(&token).await;
    scene.advance(1);
    let error = refusal(&scene.verifier, &token).await;
    assert_eq!(error.message(), "the token has expired");
    scene.advance(-400);
    assert_eq!(scene.refused(&token).await, Code::Unauthenticated);
    assert_eq!(scene.count("auth_verifications", "not_yet_valid"), 1);
}

#[test]
fn the_bearer_is_the_one_authorization() {
    let bearer = |values: &[&str]| {
        let value = |v: &&str| (AUTHORIZATION, HeaderValue::from_bytes(v.as_bytes()).unwrap());
        let values = values.iter().map(value);
        bearer_of(&values.collect::<HeaderMap>())
            .map(str::to_owned)
            .map_err(|e| e.code())
    };
    assert_eq!(bearer(&["Bearer a.b.c"]).unwrap(), "a.b.c");
    assert_eq!(bearer(&["bearer  a.b.c"]).unwrap(), "a.b.c");
    for bad in [
        &[][..],
        &["Bearer"],
        &["Basic a.b.c"],
        &["a.b.c"],
        &["Bearer a", "Bearer b"],
        &["Bearer \u{e9}"],
    ] {
        assert_eq!(bearer(bad), Err(Code::Unauthenticated), "{bad:?}");
    }
}

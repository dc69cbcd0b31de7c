//! Whatever comes as a token: nothing panics, nothing is believed that the issuer did not sign, and nothing
//! of it is told ([`refusal`] looks).

use std::sync::LazyLock;

use lp_error::Code;
use proptest::prelude::*;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::{Scene, Signer, encode, refusal};

struct Stage {
    runtime: Runtime,
    scene: Scene,
    good: String,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let signer = Signer::es256("a");
    let scene = runtime.block_on(Scene::of(&[&signer]));
    let good = signer.token(&scene.claims(json!({})));
    runtime.block_on(scene.good(&good));
    Stage { runtime, scene, good }
});

fn is_refused(token: &str) {
    let stage = &*STAGE;
    let error = stage.runtime.block_on(refusal(&stage.scene.verifier, token));
    assert_eq!(error.code(), Code::Unauthenticated);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..2_048)) {
        is_refused(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_parts_are_refused(
        header in prop::sample::select(vec!["ES256", "EdDSA", "RS256", "HS256", "none", "x"]),
        claims in prop::collection::vec(any::<u8>(), 0..512),
        signature in prop::collection::vec(any::<u8>(), 0..128),
    ) {
        let header = encode(json!({"alg": header, "kid": "a"}).to_string());
        is_refused(&format!("{header}.{}.{}", encode(claims), encode(signature)));
    }

    #[test]
    fn another_character_anywhere_is_refused(at in any::<prop::sample::Index>(), by in "[A-Za-z0-9_.=-]") {
        let good = &STAGE.good;
        let at = at.index(good.len());
        prop_assume!(good[at..=at] != by);
        is_refused(&format!("{}{by}{}", &good[..at], &good[at + 1..]));
    }

    #[test]
    fn a_part_of_a_token_is_refused(to in any::<prop::sample::Index>()) {
        let good = &STAGE.good;
        is_refused(&good[..to.index(good.len())]);
    }
}

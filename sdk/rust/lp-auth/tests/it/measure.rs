//! What a verification costs: `cargo test --release -p lp-auth measure -- --ignored --nocapture`.

use std::time::Instant;

use serde_json::json;

use crate::support::{Scene, Signer};

const TOKENS: usize = 2_000;
const ROUNDS: usize = 50;

#[tokio::test]
#[ignore = "measures, and proves nothing"]
async fn measure() {
    let signers = [Signer::es256("a"), Signer::eddsa("b"), Signer::rs256("c")];
    let scene = Scene::of(&signers.each_ref()).await;
    for signer in &signers {
        let token = |n: usize| signer.token(&scene.claims(json!({"jti": format!("{n:032}")})));
        let tokens: Vec<_> = (0..TOKENS).map(token).collect();
        scene.good(&token(TOKENS)).await;
        let started = Instant::now();
        for token in &tokens {
            scene.good(token).await;
        }
        let first = started.elapsed().as_secs_f64() * 1e6 / TOKENS as f64;
        let started = Instant::now();
        for _ in 0..ROUNDS {
            for token in &tokens {
                scene.good(token).await;
            }
        }
        let again = started.elapsed().as_secs_f64() * 1e6 / (TOKENS * ROUNDS) as f64;
        println!(
            "{}, {} bytes: first {first:.1} us, again {again:.2} us",
            signer.algorithm(),
            tokens[0].len()
        );
    }
    println!("remembered {}", scene.count("auth_verifications", "remembered"));
}

//! What the database refuses, though the domain let it through, fails alone.

use crate::{
    audit::audit,
    queue::{Stage, burn, earn, posted, wanted},
    support::{Ground, run},
};

/// Makes the database refuse transactions whose reference begins with `poison`.
async fn refuse_poison(ground: &Ground) {
    run(
        &mut ground.owner().await,
        "CREATE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           IF NEW.reference LIKE 'poison%' THEN
             RAISE EXCEPTION 'poison' USING ERRCODE = 'check_violation';
           END IF;
           RETURN NEW;
         END $$;
         CREATE TRIGGER refuse_poison BEFORE INSERT ON transactions
           FOR EACH ROW EXECUTE FUNCTION refuse_poison()",
    )
    .await;
}

#[tokio::test]
async fn a_poison_row_fails_alone() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    refuse_poison(&ground).await;
    let batch: Vec<_> = (0..100_i64)
        .map(|n| {
            let mut one = wanted(&client, &n.to_string(), earn(&account, n + 1));
            if n % 33 == 7 {
                one.orders[0].terms.reference = Some(format!("poison/{n}").try_into().unwrap());
            }
            one
        })
        .collect();
    let stage = Stage::new(&ground);
    let metrics = stage.metrics.clone();
    let verdicts = stage.post(batch).await;
    for (n, verdict) in verdicts.iter().enumerate() {
        if n % 33 == 7 {
            assert_eq!(verdict.as_ref().unwrap_err().reason(), "INTERNAL");
        } else {
            assert!(posted(verdict), "{n}: {verdict:?}");
        }
    }
    let measured = metrics.render().unwrap();
    assert!(
        measured.contains("ledger_poster_batch_size_sum{} 100.0"),
        "{measured}"
    );
    assert!(
        measured.contains("ledger_poster_batch_size_count{} 1\n"),
        "{measured}"
    );
    let poison = 8 + 41 + 74;
    assert_eq!(client.units(&account).await, 10 + 5_050 - poison);
    audit(&ground).await;

    // A fault of ours is no answer: when it is mended, the same key posts.
    run(
        &mut ground.owner().await,
        "DROP TRIGGER refuse_poison ON transactions",
    )
    .await;
    let mut mended = wanted(&client, "7", earn(&account, 8));
    mended.orders[0].terms.reference = Some("poison/7".to_owned().try_into().unwrap());
    assert!(posted(&Stage::new(&ground).post(vec![mended]).await[0]));
}

#[tokio::test]
async fn the_database_has_the_last_word_on_a_limit() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    let neighbour = client.customer("PTS").await;
    // A stricter limit than the one that the service knows of.
    let mut owner = ground.owner().await;
    run(
        &mut owner,
        "ALTER TABLE accounts ADD CONSTRAINT stricter CHECK (type <> 1 OR posted_debits < 5)",
    )
    .await;
    let verdicts = Stage::new(&ground)
        .post(vec![
            wanted(&client, "1", burn(&account, 4)),
            wanted(&client, "2", burn(&account, 4)),
            wanted(&client, "3", earn(&neighbour, 1)),
        ])
        .await;
    let outcome: Vec<_> = verdicts.iter().map(posted).collect();
    assert_eq!(outcome, [true, false, true]);
    assert_eq!(client.units(&account).await, 6);
    assert_eq!(client.units(&neighbour).await, 1);
    audit(&ground).await;
}

use lp_kafka::{
    MIGRATOR,
    topics::{self, Topic},
};

use crate::support::{Ground, TOPIC};

#[tokio::test]
async fn topics_are_made_once_and_kept_as_declared() {
    let ground = Ground::new(&[&MIGRATOR]).await;
    let topic = Topic { name: TOPIC, partitions: 3, retention_days: 7 };
    topics::ensure(&ground.kafka, &[topic.clone()]).await.unwrap();

    let more = Topic { partitions: 12, ..topic };
    let refused = topics::ensure(&ground.kafka, &[more]).await.unwrap_err().to_string();
    assert!(refused.ends_with(&format!("{TOPIC}: has 3 partitions, and 12 are declared")), "{refused}");
}

use std::slice;

use lp_kafka::{
    MIGRATOR,
    topics::{self, Topic},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
};

use crate::support::{Ground, TOPIC};

#[tokio::test]
async fn topics_are_made_once_and_kept_as_declared() {
    let ground = Ground::new(&[&MIGRATOR]).await;
    let topic = Topic {
        name: TOPIC,
        partitions: 3,
        retention_days: 7,
    };
    topics::ensure(&ground.kafka, slice::from_ref(&topic))
        .await
        .unwrap();
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &ground.kafka.kafka_brokers)
        .create()
        .unwrap();
    for name in [TOPIC, "things.happened.v1.dlt"] {
        let name = format!("{}{name}", ground.kafka.kafka_prefix);
        let topic = [ResourceSpecifier::Topic(&name)];
        let described = admin
            .describe_configs(&topic, &AdminOptions::new())
            .await
            .unwrap()
            .remove(0)
            .unwrap();
        let retention = described.get("retention.ms").unwrap().value.as_deref();
        assert_eq!(
            retention,
            Some("604800000"),
            "one day when it was made, seven days now"
        );
    }

    let more = Topic {
        partitions: 12,
        ..topic
    };
    let refused = topics::ensure(&ground.kafka, &[more])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.ends_with(&format!("{TOPIC}: has 3 partitions, and 12 are declared")),
        "{refused}"
    );
}

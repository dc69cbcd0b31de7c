//! The topics on the cluster.

use std::{sync::Arc, time::Duration};

use lp_config::Kafka;
use rdkafka::{
    admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
};

use crate::{
    client::{KafkaError, failed, settings},
    dead_letters,
};

const PATIENCE: Duration = Duration::from_secs(15);

/// A topic as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic<'a> {
    /// Its name, without the fleet's prefix.
    pub name: &'a str,
    /// How many partitions it has.
    pub partitions: i32,
    /// How long its records stay.
    pub retention_days: i64,
}

struct Declared {
    name: String,
    partitions: i32,
    settings: [(&'static str, String); 2],
}

/// Makes the cluster as `topics` say: creates what is missing, with `{topic}.dlt` for the dead letters of each
/// (one partition, the same retention), and sets the settings of what is there. May run again.
///
/// # Errors
/// When Kafka cannot be reached or refuses it; or a topic has another number of partitions, which is not
/// changed here, since its keys would move to other partitions and lose their order.
pub async fn ensure(config: &Kafka, topics: &[Topic<'_>]) -> Result<(), KafkaError> {
    let declared = declared(config, topics);
    if declared.is_empty() {
        return Ok(());
    }
    let admin: AdminClient<DefaultClientContext> = settings(config, "topics")
        .create()
        .map_err(failed("the admin client"))?;
    let admin = Arc::new(admin);
    let existing = create(&admin, config, &declared).await?;
    if existing.is_empty() {
        return Ok(());
    }
    for topic in &existing {
        check_partitions(&admin, topic).await?;
    }
    configure(&admin, &existing).await
}

fn declared(config: &Kafka, topics: &[Topic<'_>]) -> Vec<Declared> {
    // With three copies or more, one of them may be away.
    let in_sync = if config.kafka_replication > 2 { 2 } else { 1 };
    let declare = |topic: &Topic<'_>, name: String, partitions| Declared {
        name: format!("{}{name}", config.kafka_prefix),
        partitions,
        settings: [
            (
                "retention.ms",
                topic.retention_days.saturating_mul(86_400_000).to_string(),
            ),
            ("min.insync.replicas", in_sync.to_string()),
        ],
    };
    let both = |topic: &Topic<'_>| {
        [
            declare(topic, topic.name.to_owned(), topic.partitions),
            declare(topic, dead_letters::topic_of(topic.name), 1),
        ]
    };
    topics.iter().flat_map(both).collect()
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE))
}

/// Creates what is missing and returns what was there.
async fn create<'d>(
    admin: &AdminClient<DefaultClientContext>,
    config: &Kafka,
    declared: &'d [Declared],
) -> Result<Vec<&'d Declared>, KafkaError> {
    let new = |topic: &'d Declared| {
        let replication = TopicReplication::Fixed(config.kafka_replication);
        let new = NewTopic::new(&topic.name, topic.partitions, replication);
        topic
            .settings
            .iter()
            .fold(new, |new, (key, value)| new.set(key, value))
    };
    let new: Vec<_> = declared.iter().map(new).collect();
    let results = admin
        .create_topics(&new, &options())
        .await
        .map_err(failed("creating topics"))?;
    let mut existing = Vec::new();
    for result in results {
        match result {
            Ok(_) => {}
            Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => {
                existing.extend(declared.iter().filter(|topic| topic.name == name));
            }
            Err((name, error)) => return Err(KafkaError::new(format!("creating the topic {name}"), error)),
        }
    }
    Ok(existing)
}

async fn check_partitions(
    admin: &Arc<AdminClient<DefaultClientContext>>,
    topic: &Declared,
) -> Result<(), KafkaError> {
    let (admin, name) = (admin.clone(), topic.name.clone());
    let count = move || {
        let metadata = admin.inner().fetch_metadata(Some(&name), PATIENCE)?;
        Ok(metadata
            .topics()
            .iter()
            .map(|topic| topic.partitions().len())
            .sum())
    };
    let found: Result<usize, rdkafka::error::KafkaError> = tokio::task::spawn_blocking(count)
        .await
        .map_err(failed("reading metadata"))?;
    let found = found.map_err(failed("reading metadata"))?;
    if usize::try_from(topic.partitions) == Ok(found) {
        return Ok(());
    }
    Err(KafkaError::new(
        format!("the topic {}", topic.name),
        format!("has {found} partitions, and {} are declared", topic.partitions),
    ))
}

async fn configure(
    admin: &AdminClient<DefaultClientContext>,
    topics: &[&Declared],
) -> Result<(), KafkaError> {
    // This sets what stands here and resets everything else: a topic's settings are declared in one place.
    let changes: Vec<AlterConfig<'_>> = topics
        .iter()
        .map(|topic| {
            let change = AlterConfig::new(ResourceSpecifier::Topic(&topic.name));
            topic
                .settings
                .iter()
                .fold(change, |change, (key, value)| change.set(key, value))
        })
        .collect();
    let results = admin
        .alter_configs(&changes, &options())
        .await
        .map_err(failed("setting up topics"))?;
    for result in results {
        if let Err((topic, error)) = result {
            return Err(KafkaError::new(format!("setting up {topic:?}"), error));
        }
    }
    Ok(())
}

//! A member of a consumer group: which partitions are ours, and a lane for each.
//!
//! Each partition has a queue of its own, so that a lane reads at its own pace: librdkafka stops fetching
//! when a queue is full, and the group stays served while lanes work or wait. A partition is given back only
//! when its lane has ended; its offset is committed then.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Message, Statistics, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, StreamConsumer},
    error::KafkaError as ClientError,
    types::RDKafkaRespErr,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    Handler,
    client::{KafkaError, failed},
    lane::{self, Worker},
};

/// Longest wait for the group to be left.
const LEAVE: Duration = Duration::from_secs(10);

enum Change {
    Assigned(TopicPartitionList),
    Revoked(TopicPartitionList),
}

/// Hands rebalances over to [`take_part`], which can wait for lanes; a callback cannot.
pub(crate) struct Membership {
    changes: mpsc::UnboundedSender<Change>,
    closing: AtomicBool,
    prefix: String,
    lag: lp_telemetry::Gauge,
}

impl ClientContext for Membership {
    fn stats(&self, statistics: Statistics) {
        for topic in statistics.topics.values() {
            let name = topic.topic.strip_prefix(&self.prefix).unwrap_or(&topic.topic);
            for partition in topic.partitions.values().filter(|p| p.fetch_state == "active") {
                let partition_name = partition.partition.to_string();
                self.lag.set(lag(partition), &[("topic", name), ("partition", &partition_name)]);
            }
        }
    }
}

/// Records that are not done. Markers of transactions take offsets too but never arrive: where everything that
/// arrived is done, the position of the fetcher counts, which is behind them.
fn lag(partition: &rdkafka::statistics::Partition) -> i64 {
    let done = if partition.fetchq_cnt == 0 && partition.stored_offset == partition.app_offset {
        partition.next_offset
    } else {
        partition.stored_offset.max(partition.committed_offset).max(partition.lo_offset)
    };
    partition.ls_offset.saturating_sub(done).max(0)
}

impl ConsumerContext for Membership {
    fn rebalance(&self, client: &BaseConsumer<Self>, kind: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let assigned = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let change = if assigned { Change::Assigned } else { Change::Revoked }(partitions.clone());
        if self.closing.load(Ordering::Acquire) {
            answer(client, &change);
        } else {
            let _ = self.changes.send(change);
        }
    }
}

/// Agrees to a change when there are no lanes any more: the client waits for it.
fn answer<C: rdkafka::consumer::Consumer<Membership>>(client: &C, change: &Change) {
    let answered = match change {
        Change::Assigned(partitions) => client.incremental_assign(partitions),
        Change::Revoked(partitions) => client.incremental_unassign(partitions),
    };
    if let Err(error) = answered {
        tracing::warn!(%error, "a rebalance at the end");
    }
}

struct Lane {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Member<H> {
    worker: Arc<Worker<H>>,
    client: Arc<StreamConsumer<Membership>>,
    lanes: HashMap<(String, i32), Lane>,
    cancel: CancellationToken,
}

/// Takes part in the group until it is cancelled, and leaves it.
///
/// # Errors
/// When the client is spent; another one may work.
pub(crate) async fn take_part<H: Handler>(
    settings: &ClientConfig,
    topics: &[String],
    lag: &lp_telemetry::Gauge,
    worker: &Arc<Worker<H>>,
    cancel: &CancellationToken,
) -> Result<(), KafkaError> {
    let (sender, mut changes) = mpsc::unbounded_channel();
    let membership = Membership {
        changes: sender,
        closing: AtomicBool::new(false),
        prefix: worker.prefix.clone(),
        lag: lag.clone(),
    };
    let client: StreamConsumer<Membership> =
        settings.create_with_context(membership).map_err(failed("the consumer"))?;
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    client.subscribe(&topics).map_err(failed("subscribing"))?;
    let cancel = cancel.child_token();
    let mut member =
        Member { worker: worker.clone(), client: Arc::new(client), lanes: HashMap::new(), cancel };
    let outcome = member.serve(&mut changes).await;
    member.leave(changes).await;
    outcome
}

impl<H: Handler> Member<H> {
    async fn serve(&mut self, changes: &mut mpsc::UnboundedReceiver<Change>) -> Result<(), KafkaError> {
        let client = self.client.clone();
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Ok(()),
                Some(change) = changes.recv() => match change {
                    Change::Assigned(partitions) => self.take(&partitions)?,
                    Change::Revoked(partitions) => self.give_back(&partitions).await?,
                },
                received = client.recv() => match received {
                    // Its lane would never see it.
                    Ok(message) => {
                        let place = format!("{} {}", message.topic(), message.partition());
                        return Err(KafkaError::new(place, "a record came past its lane"));
                    }
                    Err(error @ ClientError::MessageConsumptionFatal(_)) => return Err(failed("consuming")(error)),
                    // The client goes on by itself.
                    Err(error) => tracing::warn!(%error, "consuming"),
                },
            }
        }
    }

    fn take(&mut self, partitions: &TopicPartitionList) -> Result<(), KafkaError> {
        for partition in partitions.elements() {
            let place = (partition.topic().to_owned(), partition.partition());
            // Before the partition is assigned, or its first records would come past the lane.
            let queue = self
                .client
                .split_partition_queue(&place.0, place.1)
                .ok_or_else(|| KafkaError::new(place.0.clone(), "the partition has no queue"))?;
            let stop = self.cancel.child_token();
            let lane = lane::run(self.worker.clone(), self.client.clone(), queue, stop.clone());
            tracing::info!(topic = place.0, partition = place.1, "partition taken");
            self.lanes.insert(place, Lane { stop, task: tokio::spawn(lane) });
        }
        self.client.incremental_assign(partitions).map_err(failed("taking partitions"))
    }

    async fn give_back(&mut self, partitions: &TopicPartitionList) -> Result<(), KafkaError> {
        let places = partitions.elements().into_iter().map(|p| (p.topic().to_owned(), p.partition()));
        let lanes: Vec<Lane> = places.filter_map(|place| self.lanes.remove(&place)).collect();
        end(lanes).await;
        tracing::info!(?partitions, "partitions given back");
        self.client.incremental_unassign(partitions).map_err(failed("giving partitions back"))
    }

    /// Ends the lanes and leaves the group, which commits what they stored.
    async fn leave(self, mut changes: mpsc::UnboundedReceiver<Change>) {
        let Self { client, lanes, .. } = self;
        end(lanes.into_values().collect()).await;
        client.context().closing.store(true, Ordering::Release);
        while let Ok(change) = changes.try_recv() {
            answer(&*client, &change);
        }
        // In a thread of its own: leaving waits for the network, and a thread of the runtime's pool would hold
        // up the process's end.
        let (left, leaving) = tokio::sync::oneshot::channel();
        let leave = move || {
            drop(client);
            let _ = left.send(());
        };
        let started = std::thread::Builder::new().name("kafka-leave".into()).spawn(leave);
        if started.is_err() || tokio::time::timeout(LEAVE, leaving).await.is_err() {
            tracing::warn!("the group was not left in time; it will notice");
        }
    }
}

async fn end(lanes: Vec<Lane>) {
    for lane in &lanes {
        lane.stop.cancel();
    }
    for lane in lanes {
        if let Err(error) = lane.task.await {
            tracing::error!(%error, "a lane ended badly");
        }
    }
}

//! A member of a consumer group: which partitions are ours, and a lane for each.
//!
//! Each partition has a queue of its own, so that a lane reads at its own pace: librdkafka stops fetching
//! when a queue is full, and the group stays served while lanes work or wait. A partition is given back only
//! when its lane has ended; its offset is committed then.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Message, Statistics, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext, StreamConsumer},
    error::KafkaError as ClientError,
    statistics::Partition,
    types::RDKafkaRespErr,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Handler,
    client::{KafkaError, failed},
    lane::{self, Worker},
};

/// Longest wait for the group to be left.
const LEAVE: Duration = Duration::from_secs(10);

/// Topic and partition.
type Place = (String, i32);

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
    /// Of each lane, whether it is at work.
    busy: Mutex<HashMap<Place, Arc<AtomicBool>>>,
}

impl Membership {
    fn busy(&self) -> MutexGuard<'_, HashMap<Place, Arc<AtomicBool>>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lag of a partition that is given back is another member's to tell.
    fn forget(&self, place: &Place) {
        self.busy().remove(place);
        let topic = place.0.strip_prefix(&self.prefix).unwrap_or(&place.0);
        self.lag
            .set(0, &[("topic", topic), ("partition", &place.1.to_string())]);
    }
}

impl ClientContext for Membership {
    fn stats(&self, statistics: Statistics) {
        for ((topic, number), busy) in &*self.busy() {
            let partition = statistics
                .topics
                .get(topic)
                .and_then(|topic| topic.partitions.get(number));
            let Some(partition) = partition.filter(|p| p.fetch_state == "active") else {
                continue;
            };
            let lag = lag(partition, busy.load(Ordering::Relaxed));
            let topic = topic.strip_prefix(&self.prefix).unwrap_or(topic);
            self.lag
                .set(lag, &[("topic", topic), ("partition", &number.to_string())]);
        }
    }
}

/// Records that are not done. Markers of transactions take offsets too but never arrive: where everything that
/// arrived is done, the position of the fetcher counts, which is behind them.
fn lag(partition: &Partition, busy: bool) -> i64 {
    let done = if partition.fetchq_cnt == 0 && !busy {
        partition.next_offset
    } else {
        partition
            .stored_offset
            .max(partition.committed_offset)
            .max(partition.lo_offset)
    };
    partition.ls_offset.saturating_sub(done).max(0)
}

impl ConsumerContext for Membership {
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigned = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let change = if assigned {
            Change::Assigned
        } else {
            Change::Revoked
        }(partitions.clone());
        if self.closing.load(Ordering::Acquire) {
            answer(client, &change);
        } else {
            let _ = self.changes.send(change);
        }
    }
}

/// Agrees to a change when there are no lanes any more: the client waits for it.
fn answer<C: Consumer<Membership>>(client: &C, change: &Change) {
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
    changes: mpsc::UnboundedReceiver<Change>,
    lanes: HashMap<Place, Lane>,
    cancel: CancellationToken,
}

impl<H> Drop for Member<H> {
    /// From here on changes are agreed to at once: the client's destructor waits for that.
    fn drop(&mut self) {
        self.cancel.cancel();
        self.client.context().closing.store(true, Ordering::Release);
        while let Ok(change) = self.changes.try_recv() {
            answer(&*self.client, &change);
        }
    }
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
    let (sender, changes) = mpsc::unbounded_channel();
    let membership = Membership {
        changes: sender,
        closing: AtomicBool::new(false),
        prefix: worker.prefix.clone(),
        lag: lag.clone(),
        busy: Mutex::default(),
    };
    let client: StreamConsumer<Membership> = settings
        .create_with_context(membership)
        .map_err(failed("the consumer"))?;
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    client.subscribe(&topics).map_err(failed("subscribing"))?;
    let mut member = Member {
        worker: worker.clone(),
        client: Arc::new(client),
        changes,
        lanes: HashMap::new(),
        cancel: cancel.child_token(),
    };
    let outcome = member.serve().await;
    member.leave().await;
    outcome
}

impl<H: Handler> Member<H> {
    async fn serve(&mut self) -> Result<(), KafkaError> {
        let client = self.client.clone();
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Ok(()),
                Some(change) = self.changes.recv() => match change {
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
            let (stop, busy) = (self.cancel.child_token(), Arc::<AtomicBool>::default());
            self.client.context().busy().insert(place.clone(), busy.clone());
            let lane = lane::run(
                self.worker.clone(),
                self.client.clone(),
                queue,
                busy,
                stop.clone(),
            );
            tracing::info!(topic = place.0, partition = place.1, "partition taken");
            self.lanes.insert(
                place,
                Lane {
                    stop,
                    task: tokio::spawn(lane),
                },
            );
        }
        self.client
            .incremental_assign(partitions)
            .map_err(failed("taking partitions"))
    }

    async fn give_back(&mut self, partitions: &TopicPartitionList) -> Result<(), KafkaError> {
        let mut lanes = Vec::new();
        for partition in partitions.elements() {
            let place = (partition.topic().to_owned(), partition.partition());
            lanes.extend(self.lanes.remove(&place));
            self.client.context().forget(&place);
        }
        end(lanes).await;
        tracing::info!(?partitions, "partitions given back");
        self.client
            .incremental_unassign(partitions)
            .map_err(failed("giving partitions back"))
    }

    /// Ends the lanes and leaves the group, which commits what they stored.
    async fn leave(mut self) {
        end(std::mem::take(&mut self.lanes).into_values().collect()).await;
        // In a thread of its own: leaving waits for the network, and a thread of the runtime's pool would hold
        // up the process's end.
        let (left, leaving) = oneshot::channel();
        let leave = move || {
            drop(self);
            let _ = left.send(());
        };
        let started = std::thread::Builder::new()
            .name("kafka-leave".into())
            .spawn(leave);
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

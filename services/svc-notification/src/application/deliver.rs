//! Delivery: claim what is due and commit, ask svc-wallet for the contact, write, send, settle. No transaction is
//! open while the network is used; a lease keeps others away, and what a crash leaves behind is taken up when its
//! lease has run out.

use std::{sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use jiff::{SignedDuration, Timestamp};
use lp_pg::Database;
use lp_telemetry::{Counter, Histogram, Metrics};
use lp_types::time::Ambient;
use tokio::{sync::Notify, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, warn};

use crate::{
    domain::{
        notification::Language,
        retry::{self, ATTEMPTS, ATTEMPTS_WITHOUT_CONTACT},
    },
    infrastructure::{
        clients::wallet::Wallet,
        mail::Mailer,
        postgres::notifications::{self, Due, Settlement},
        templates::Templates,
    },
};

/// Deliveries under way at once, and so connections to the mail server at most.
const PARALLEL: usize = 16;
/// How often the table is read when nobody wakes the courier: for retries, and as a net.
const POLL: Duration = Duration::from_secs(1);
/// Above the limits of svc-wallet's answer (3 s) and the mail server's (20 s), so that only a courier that died, or
/// slept, loses its lease.
pub const LEASE: SignedDuration = SignedDuration::from_secs(30);

/// From seconds, as it should be, to the hour of the last attempt.
const DELIVERY_SECONDS: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0,
];

/// Delivers what is due. Each replica of the service runs one; leases keep them apart.
#[derive(Debug)]
pub struct Courier {
    delivery: Arc<Delivery>,
    wake: Arc<Notify>,
}

/// What one delivery needs.
#[derive(Debug)]
struct Delivery {
    database: Database,
    ambient: Ambient,
    wallet: Wallet,
    mailer: Mailer,
    templates: Templates,
    notifications: Counter,
    seconds: Histogram,
}

/// Why an attempt sent nothing.
enum Unsent {
    /// It is not to be sent.
    Suppressed(&'static str),
    /// It failed, for a reason that is worth so many attempts.
    Failed { reason: String, attempts: i32 },
}

impl Courier {
    /// Works when it is woken by `wake`, and every second.
    pub fn new(
        database: Database,
        ambient: Ambient,
        wallet: Wallet,
        mailer: Mailer,
        templates: Templates,
        wake: Arc<Notify>,
        metrics: &Metrics,
    ) -> Self {
        let delivery = Delivery {
            database,
            ambient,
            wallet,
            mailer,
            templates,
            notifications: metrics.counter(
                "notifications_total",
                "Attempts at notifications, by template and outcome",
            ),
            seconds: metrics.histogram(
                "notification_delivery_seconds",
                "Time from the cause of a notification until the mail server took it",
                DELIVERY_SECONDS,
            ),
        };
        Self {
            delivery: Arc::new(delivery),
            wake,
        }
    }

    /// Delivers until it is cancelled; what is under way then is finished.
    pub async fn run(self, cancel: CancellationToken) {
        let mut under_way = JoinSet::new();
        while !cancel.is_cancelled() {
            let room = PARALLEL.saturating_sub(under_way.len());
            match self.delivery.claim(room).await {
                Ok(claimed) => {
                    for due in claimed {
                        under_way.spawn(Arc::clone(&self.delivery).deliver(due));
                    }
                }
                Err(error) => warn!(%error, "what is due cannot be read"),
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = self.wake.notified(), if under_way.len() < PARALLEL => {}
                Some(_) = under_way.join_next() => {}
                () = sleep(POLL) => {}
            }
        }
        while under_way.join_next().await.is_some() {}
    }
}

impl Delivery {
    async fn claim(&self, limit: usize) -> lp_pg::Result<Vec<Due>> {
        let limit = i64::try_from(limit).unwrap_or(0);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let now = self.ambient.clock.now();
        let mut connection = self.database.acquire().await?;
        notifications::claim(&mut connection, now, after(now, LEASE), limit).await
    }

    async fn deliver(self: Arc<Self>, due: Due) {
        let template = due.template.name();
        let span = tracing::info_span!("deliver", otel.kind = "consumer", notification = %due.id, template);
        if let Some(traceparent) = &due.traceparent {
            lp_telemetry::set_parent(&span, traceparent);
        }
        async {
            let settlement = self.settlement(&due, self.attempt(&due).await);
            let outcome = settlement.outcome();
            self.notifications
                .add(1, &[("template", template), ("outcome", outcome)]);
            if let Settlement::Sent { at, .. } = &settlement {
                let took = at.duration_since(due.created_at).as_secs_f64();
                self.seconds.record(took.max(0.0), &[("template", template)]);
            }
            info!(
                notification = %due.id, merchant = %due.merchant, template, outcome, attempts = due.attempts,
                reason = settlement.reason(), "notification"
            );
            self.settle(&due, &settlement).await;
        }
        .instrument(span)
        .await;
    }

    async fn attempt(&self, due: &Due) -> Result<Language, Unsent> {
        let failed = |reason: String| Unsent::Failed {
            reason,
            attempts: ATTEMPTS,
        };
        if due.attempts > ATTEMPTS {
            return Err(failed("the last attempt did not end".to_owned()));
        }
        let contact = match self.wallet.contact(due.merchant, due.account).await {
            Ok(Some(contact)) => contact,
            Ok(None) => {
                return Err(Unsent::Failed {
                    reason: "svc-wallet knows nobody who holds the account".to_owned(),
                    attempts: ATTEMPTS_WITHOUT_CONTACT,
                });
            }
            Err(code) => return Err(failed(format!("svc-wallet answered {code:?}"))),
        };
        if !contact.messages_allowed {
            return Err(Unsent::Suppressed("the customer did not agree to messages"));
        }
        let address = contact
            .address
            .ok_or(Unsent::Suppressed("the customer has no usable e-mail address"))?;
        let content = self
            .templates
            .render(due.template, contact.language, &due.facts, due.transaction);
        let content = content.map_err(|error| {
            error!(%error, "a template cannot be written");
            failed("the template cannot be written".to_owned())
        })?;
        let sent = self
            .mailer
            .send(due.id, &address, content, self.ambient.clock.now())
            .await;
        sent.map_err(|error| failed(error.to_string()))?;
        Ok(contact.language)
    }

    fn settlement(&self, due: &Due, attempt: Result<Language, Unsent>) -> Settlement {
        let now = self.ambient.clock.now();
        match attempt {
            Ok(language) => Settlement::Sent { language, at: now },
            Err(Unsent::Suppressed(reason)) => Settlement::Suppressed(reason),
            Err(Unsent::Failed { reason, attempts }) if due.attempts >= attempts => {
                Settlement::Failed(reason)
            }
            Err(Unsent::Failed { reason, .. }) => {
                // The id comes from the injected source, and so the jitter does.
                let (_, seed) = due.id.uuid().as_u64_pair();
                let at = after(now, retry::delay(due.attempts, seed));
                Settlement::Again { reason, at }
            }
        }
    }

    /// Tried for a while: what was sent and not settled is sent again when the lease has run out.
    async fn settle(&self, due: &Due, settlement: &Settlement) {
        let write = || async {
            let mut connection = self.database.acquire().await?;
            notifications::settle(&mut connection, due, settlement).await
        };
        let policy = ExponentialBuilder::default()
            .with_max_times(5)
            .with_min_delay(Duration::from_millis(100));
        if let Err(error) = write.retry(policy).await {
            error!(%error, "an attempt was not settled; it is made again when its lease has run out");
        }
    }
}

fn after(now: Timestamp, delay: SignedDuration) -> Timestamp {
    now.checked_add(delay).unwrap_or(Timestamp::MAX)
}

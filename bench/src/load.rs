//! Requests at a fixed arrival rate.
//!
//! Arrivals do not wait for answers: a request that is sent late because others are slow counts from the moment at
//! which it was due, so that a stall is seen by everybody who would have waited in it (Tene, "How NOT to Measure
//! Latency": coordinated omission).

use std::{
    collections::BTreeMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::{sync::Semaphore, task::JoinSet, time};
use tonic::Code;

use crate::processors::{PerTransaction, Used};

/// Requests under way at once; what would be more is not sent, and counted.
const ROOM: usize = 20_000;

/// What was measured at one arrival rate.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    /// What the requests did.
    pub(crate) scenario: String,
    /// Arrivals a second that were asked for; absent: as fast as `callers` got answers.
    pub(crate) offered_per_second: Option<u32>,
    /// Callers at once, where the rate was not fixed.
    pub(crate) callers: Option<u32>,
    pub(crate) seconds: f64,
    /// Transactions of each request.
    pub(crate) each: u32,
    /// Requests that were answered OK.
    pub(crate) ok: u64,
    /// Others, by gRPC code.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Arrivals for which the generator had no room.
    pub(crate) not_sent: u64,
    /// Transactions a second.
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// Of the answers that were not OK.
    pub(crate) refused_p99_ms: f64,
    /// Microseconds of processor time for each transaction.
    pub(crate) processor_us: PerTransaction,
}

/// What the requests do, and how many transactions each is.
pub(crate) type Scenario<'a> = (&'a str, u32);

/// Collects the answers of one measurement.
struct Answers {
    latencies: Histogram<u64>,
    refusals: Histogram<u64>,
    failed: BTreeMap<String, u64>,
    used: Used,
}

impl Answers {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            // From a microsecond to two minutes, three digits.
            latencies: Histogram::new_with_bounds(1, 120_000_000, 3)?,
            refusals: Histogram::new_with_bounds(1, 120_000_000, 3)?,
            failed: BTreeMap::new(),
            used: Used::now(),
        })
    }

    fn take(&mut self, (took, answer): (Duration, Result<(), Code>)) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match answer {
            Ok(()) => self.latencies.saturating_record(took),
            Err(code) => {
                self.refusals.saturating_record(took);
                let count = self.failed.entry(format!("{code:?}")).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    fn measured(
        self,
        (scenario, each): Scenario<'_>,
        offered_per_second: Option<u32>,
        callers: Option<u32>,
        took: Duration,
        not_sent: u64,
    ) -> Measured {
        let ms = |microseconds: u64| Duration::from_micros(microseconds).as_secs_f64() * 1e3;
        let ok = self.latencies.len();
        let transactions = ok.saturating_mul(u64::from(each));
        Measured {
            scenario: scenario.to_owned(),
            offered_per_second,
            callers,
            seconds: took.as_secs_f64(),
            each,
            ok,
            failed: self.failed,
            not_sent,
            per_second: rate(transactions, took),
            p50_ms: ms(self.latencies.value_at_quantile(0.5)),
            p99_ms: ms(self.latencies.value_at_quantile(0.99)),
            max_ms: ms(self.latencies.max()),
            refused_p99_ms: ms(self.refusals.value_at_quantile(0.99)),
            processor_us: Used::now().since(&self.used, transactions),
        }
    }
}

/// Events a second.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark stay far below 2^52"
)]
fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// Sends `per_second` requests a second for `lasting`, each at its own moment, and waits for all answers.
///
/// # Errors
/// When a request's task panicked.
pub(crate) async fn at_rate<F, O>(
    scenario: Scenario<'_>,
    per_second: u32,
    lasting: Duration,
    request: F,
) -> anyhow::Result<Measured>
where
    F: Fn(u64) -> O,
    O: Future<Output = Result<(), Code>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(ROOM));
    let (mut answers, mut not_sent, mut under_way) = (Answers::new()?, 0_u64, JoinSet::new());
    let apart = Duration::from_secs(1)
        .checked_div(per_second)
        .context("a rate of 0")?;
    let begun = Instant::now();
    let mut due = begun;
    let mut number = 0;
    while begun.elapsed() < lasting {
        // The timer wakes every millisecond: whatever has become due since is sent together.
        while due <= Instant::now() {
            match Arc::clone(&room).try_acquire_owned() {
                Ok(permit) => {
                    let (answer, due) = (request(number), due);
                    under_way.spawn(async move {
                        let answer = answer.await;
                        drop(permit);
                        (due.elapsed(), answer)
                    });
                }
                Err(_full) => not_sent += 1,
            }
            number += 1;
            due += apart;
        }
        while let Some(answer) = under_way.try_join_next() {
            answers.take(answer?);
        }
        time::sleep_until(due.into()).await;
    }
    while let Some(answer) = under_way.join_next().await {
        answers.take(answer?);
    }
    Ok(answers.measured(scenario, Some(per_second), None, begun.elapsed(), not_sent))
}

/// Lets `callers` send one request after the other for `lasting`: the most that can be had.
///
/// # Errors
/// When a caller's task panicked.
pub(crate) async fn at_most<F, O>(
    scenario: Scenario<'_>,
    callers: u32,
    lasting: Duration,
    request: F,
) -> anyhow::Result<Measured>
where
    F: Fn(u64) -> O + Clone + Send + 'static,
    O: Future<Output = Result<(), Code>> + Send + 'static,
{
    let mut under_way = JoinSet::new();
    let begun = Instant::now();
    for caller in 0..callers {
        let request = request.clone();
        under_way.spawn(async move {
            let mut answers = Vec::new();
            let mut number = u64::from(caller);
            while begun.elapsed() < lasting {
                let sent = Instant::now();
                let answer = request(number).await;
                answers.push((sent.elapsed(), answer));
                number += u64::from(callers);
            }
            answers
        });
    }
    let mut all = Answers::new()?;
    while let Some(answers) = under_way.join_next().await {
        answers?.into_iter().for_each(|answer| all.take(answer));
    }
    Ok(all.measured(scenario, None, Some(callers), begun.elapsed(), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stall_is_seen_by_everybody_who_was_due_in_it() {
        let stall = Duration::from_millis(200);
        let until = Instant::now() + stall;
        let measured = at_rate(("stall", 1), 500, Duration::from_millis(400), |_| async move {
            time::sleep_until(until.into()).await;
            Ok(())
        });
        let measured = measured.await.unwrap();
        // Half of the arrivals came during the stall, and waited 100 ms on average.
        assert!(measured.ok >= 150, "{measured:?}");
        assert!(
            measured.max_ms >= 150.0 && measured.p99_ms > 100.0,
            "{measured:?}"
        );
    }

    #[tokio::test]
    async fn refusals_are_counted_apart() {
        let refuse = |number: u64| async move {
            if number.is_multiple_of(2) {
                Ok(())
            } else {
                Err(Code::ResourceExhausted)
            }
        };
        let measured = at_rate(("half", 1), 1_000, Duration::from_millis(100), refuse)
            .await
            .unwrap();
        let refused = measured.failed.get("ResourceExhausted").copied().unwrap();
        assert!(
            measured.ok > 0 && measured.ok.abs_diff(refused) <= 1,
            "{measured:?}"
        );
    }
}

//! Takes every call down, with its times.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use history_checker::{Operation, Outcome, Request};

/// The calls of a run. A call that is begun must be waited for: one that is dropped is missing in the history.
#[derive(Debug)]
pub(crate) struct Recorder {
    origin: Instant,
    operations: Mutex<Vec<Operation>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            operations: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Makes a call and takes it down.
    pub(crate) async fn call(
        &self,
        process: u32,
        merchant: &str,
        key: &str,
        request: Request,
        call: impl Future<Output = Outcome>,
    ) -> Outcome {
        let start = self.now();
        let outcome = call.await;
        let end = self.now();
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let id = u64::try_from(operations.len()).unwrap_or(u64::MAX);
        let (merchant, key) = (merchant.to_owned(), key.to_owned());
        let outcome_there = outcome.clone();
        operations.push(Operation {
            id,
            process,
            start,
            end,
            merchant,
            key,
            request,
            outcome: outcome_there,
        });
        outcome
    }

    /// All of them; none is left here.
    pub(crate) fn take(&self) -> Vec<Operation> {
        std::mem::take(&mut *self.operations.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

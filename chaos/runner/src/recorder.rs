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

    /// Now, on the clock of the calls.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Makes a call and takes it down. `given_up` is the start of the first try, where this one is the last, however
    /// it ends.
    pub(crate) async fn call(
        &self,
        process: u32,
        merchant: &str,
        key: &str,
        request: Request,
        given_up: Option<u64>,
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
            given_up,
        });
        outcome
    }

    /// How many so far.
    pub(crate) fn count(&self) -> usize {
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        operations.len()
    }

    /// All of them so far.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        operations.clone()
    }
}

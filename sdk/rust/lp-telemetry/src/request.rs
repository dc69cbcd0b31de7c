//! What one request cost, kept in a task-local so that the database layer need not be handed a collector.

use std::{cell::Cell, future::Future, time::Duration};

/// The cost of one request so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCost {
    /// Time spent waiting for the database.
    pub database: Duration,
    /// Calls of [`add_database_time`], one per round trip.
    pub queries: u32,
}

tokio::task_local! {
    static COST: Cell<RequestCost>;
}

/// Runs `f` and returns its output with what it cost. Work in tasks that `f` spawns is not counted.
pub async fn measured<F: Future>(f: F) -> (F::Output, RequestCost) {
    COST.scope(Cell::default(), async {
        let output = f.await;
        (output, COST.with(Cell::get))
    })
    .await
}

/// Adds one database round trip to the current request. Outside of [`measured`] it does nothing.
pub fn add_database_time(d: Duration) {
    let _ = COST.try_with(|cost| {
        let RequestCost { database, queries } = cost.get();
        cost.set(RequestCost {
            database: database.saturating_add(d),
            queries: queries.saturating_add(1),
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nested_and_parallel_requests_are_counted_apart() {
        add_database_time(Duration::from_secs(1));
        let one = measured(async {
            add_database_time(Duration::from_millis(2));
            tokio::task::yield_now().await;
            add_database_time(Duration::from_millis(3));
            "done"
        });
        let other = measured(async {
            measured(async { add_database_time(Duration::from_secs(9)) })
                .await
                .1
        });
        let ((output, cost), (inner, outer)) = tokio::join!(one, other);
        assert_eq!(output, "done");
        assert_eq!(
            cost,
            RequestCost {
                database: Duration::from_millis(5),
                queries: 2
            }
        );
        assert_eq!(inner.queries, 1);
        assert_eq!(outer, RequestCost::default());
    }
}

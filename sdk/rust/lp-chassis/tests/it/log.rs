//! One line a request.

use std::{
    io,
    sync::{Arc, Mutex},
};

use crate::support::{Instance, MERCHANT, wanted};
use serde_json::Value;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    /// The lines of requests so far, which are taken out.
    fn requests(&self) -> Vec<Value> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["message"] == "request").collect()
    }
}

// On one thread, so that the subscriber of this test hears the whole service.
#[tokio::test]
async fn each_request_has_one_line_that_says_who_what_and_how_it_ended() {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(move || writer.clone())
        .finish();
    let _in_force = tracing::subscriber::set_default(subscriber);
    let instance = Instance::start().await;
    let line = || {
        let mut lines = written.requests();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    };

    let answer = instance.call("ok").await.unwrap();
    let said = line();
    assert_eq!(
        (&said["level"], &said["rpc"]),
        (&"INFO".into(), &"LedgerService/GetBalance".into())
    );
    assert_eq!((&said["code"], &said["outcome"]), (&"OK".into(), &"OK".into()));
    assert_eq!(
        (&said["merchant"], &said["actor"]),
        (&MERCHANT.into(), &"till-7".into())
    );
    assert_eq!(said["request_id"], answer.consistency_token);
    assert!(said["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(said["database_ms"].is_number() && said["queries"].is_number());

    instance.get("nothing").await;
    let said = line();
    assert_eq!(
        (&said["level"], &said["outcome"]),
        (&"INFO".into(), &"NOT_FOUND".into())
    );

    instance.call("panic").await.unwrap_err();
    let said = line();
    assert_eq!(
        (&said["level"], &said["outcome"]),
        (&"ERROR".into(), &"INTERNAL".into())
    );
    assert_eq!(said["cause"], "the handler panicked");

    instance.grpc.clone().get_balance(wanted("ok")).await.unwrap_err();
    assert_eq!(line()["outcome"], "UNAUTHENTICATED");

    let gone = instance.spawn("never");
    instance.under_way(1).await;
    gone.abort();
    instance.under_way(0).await;
    assert_eq!(line()["outcome"], "CANCELLED");
}

//! An OTLP receiver that keeps what it is sent, so that tests can read back traces, logs and metrics of
//! several processes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A span as it arrived. Ids are in hexadecimal, as in `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace that it belongs to.
    pub trace_id: String,
    /// Its own id.
    pub span_id: String,
    /// The span that caused it; `None` at the root of a trace.
    pub parent_span_id: Option<String>,
    /// Its name.
    pub name: String,
    /// The `service.name` of its process.
    pub service: String,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
}

/// A log record as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The trace that was current.
    pub trace_id: Option<String>,
    /// The span that was current.
    pub span_id: Option<String>,
    /// `INFO`, `WARN` and so on.
    pub level: String,
    /// Its message.
    pub message: String,
    /// The `service.name` of its process.
    pub service: String,
    /// Its fields, as text.
    pub attributes: BTreeMap<String, String>,
}

/// An OTLP receiver on a free loopback port; it ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    endpoint: String,
    kept: Arc<Kept>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

#[derive(Debug, Default)]
struct Kept {
    spans: watch::Sender<Vec<Span>>,
    logs: watch::Sender<Vec<Log>>,
    metrics: watch::Sender<BTreeSet<String>>,
}

impl Receiver {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free loopback port");
        let endpoint = format!(
            "http://{}",
            listener.local_addr().expect("the listener's address")
        );
        let kept = Arc::new(Kept::default());
        let server = Server::builder()
            .add_service(TraceServiceServer::from_arc(kept.clone()))
            .add_service(LogsServiceServer::from_arc(kept.clone()))
            .add_service(MetricsServiceServer::from_arc(kept.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        Self {
            endpoint,
            kept,
            server: tokio::spawn(server),
        }
    }

    /// Its address, as an OTLP endpoint is configured.
    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.kept.spans.borrow().clone()
    }

    /// The spans as soon as they are `enough`; panics with what came instead.
    pub async fn wait_for_spans(
        &self,
        mut enough: impl FnMut(&[Span]) -> bool,
        within: Duration,
    ) -> Vec<Span> {
        let mut spans = self.kept.spans.subscribe();
        match timeout(within, spans.wait_for(|spans| enough(spans))).await {
            Ok(Ok(spans)) => spans.clone(),
            _ => panic!("after {within:?} these spans had come: {:#?}", self.spans()),
        }
    }

    /// All log records so far.
    pub fn logs(&self) -> Vec<Log> {
        self.kept.logs.borrow().clone()
    }

    /// The names of all metrics so far.
    pub fn metric_names(&self) -> BTreeSet<String> {
        self.kept.metrics.borrow().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.spans.send_modify(|spans| {
            for of_process in request.into_inner().resource_spans {
                let service = service(of_process.resource);
                for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    spans.push(Span {
                        trace_id: hex(&span.trace_id).unwrap_or_default(),
                        span_id: hex(&span.span_id).unwrap_or_default(),
                        parent_span_id: hex(&span.parent_span_id),
                        name: span.name,
                        service: service.clone(),
                        attributes: attributes(span.attributes),
                    });
                }
            }
        });
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Kept {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.logs.send_modify(|logs| {
            for of_process in request.into_inner().resource_logs {
                let service = service(of_process.resource);
                for record in of_process
                    .scope_logs
                    .into_iter()
                    .flat_map(|scope| scope.log_records)
                {
                    logs.push(Log {
                        trace_id: hex(&record.trace_id),
                        span_id: hex(&record.span_id),
                        level: record.severity_text,
                        message: text(record.body),
                        service: service.clone(),
                        attributes: attributes(record.attributes),
                    });
                }
            }
        });
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Kept {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let of_processes = request.into_inner().resource_metrics.into_iter();
        let scopes = of_processes.flat_map(|of_process| of_process.scope_metrics);
        let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.metrics.send_modify(|kept| kept.extend(names));
        Ok(Response::new(Default::default()))
    }
}

/// `None` for an id that is not set, which OTLP sends as no bytes.
fn hex(id: &[u8]) -> Option<String> {
    (!id.is_empty()).then(|| {
        id.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    })
}

fn service(resource: Option<Resource>) -> String {
    attributes(resource.unwrap_or_default().attributes)
        .remove("service.name")
        .unwrap_or_default()
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|pair| (pair.key, text(pair.value)))
        .collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(other) => format!("{other:?}"),
    }
}

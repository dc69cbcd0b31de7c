//! An OTLP receiver for proofs: it takes what services export and counts it, nothing more.

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use opentelemetry_proto::tonic::collector::{
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
};
use serde::Serialize;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::interval,
};
use tonic::{
    Request, Response, Status, codec::CompressionEncoding, transport::Server, transport::server::TcpIncoming,
};

/// Between two lines, while something comes.
const TELL: Duration = Duration::from_secs(10);

/// Takes OTLP over gRPC and prints, as lines of JSON, how much came. Ends on SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "collector")]
struct Arguments {
    /// Where it listens
    #[arg(long, default_value = "0.0.0.0:4317")]
    listen: SocketAddr,
}

#[derive(Debug, Default)]
struct Counts {
    spans: AtomicUsize,
    log_records: AtomicUsize,
    metrics: AtomicUsize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Told {
    spans: usize,
    log_records: usize,
    metrics: usize,
}

impl Counts {
    fn now(&self) -> Told {
        Told {
            spans: self.spans.load(Ordering::Relaxed),
            log_records: self.log_records.load(Ordering::Relaxed),
            metrics: self.metrics.load(Ordering::Relaxed),
        }
    }
}

#[tonic::async_trait]
impl TraceService for Counts {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        let scopes = request.resource_spans.iter().flat_map(|one| &one.scope_spans);
        let came = scopes.map(|one| one.spans.len()).sum();
        self.spans.fetch_add(came, Ordering::Relaxed);
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Counts {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let request = request.into_inner();
        let scopes = request.resource_logs.iter().flat_map(|one| &one.scope_logs);
        let came = scopes.map(|one| one.log_records.len()).sum();
        self.log_records.fetch_add(came, Ordering::Relaxed);
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Counts {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let request = request.into_inner();
        let scopes = request.resource_metrics.iter().flat_map(|one| &one.scope_metrics);
        let came = scopes.map(|one| one.metrics.len()).sum();
        self.metrics.fetch_add(came, Ordering::Relaxed);
        Ok(Response::new(Default::default()))
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let served = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind(arguments.listen).await;
            let listener = listener.with_context(|| format!("{} cannot be listened on", arguments.listen))?;
            collect(listener, Arc::default()).await
        })
    };
    match served() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn collect(listener: TcpListener, counts: Arc<Counts>) -> anyhow::Result<()> {
    let (gzip, zstd) = (CompressionEncoding::Gzip, CompressionEncoding::Zstd);
    let traces = TraceServiceServer::from_arc(Arc::clone(&counts));
    let logs = LogsServiceServer::from_arc(Arc::clone(&counts));
    let metrics = MetricsServiceServer::from_arc(Arc::clone(&counts));
    let serving = Server::builder()
        .add_service(traces.accept_compressed(gzip).accept_compressed(zstd))
        .add_service(logs.accept_compressed(gzip).accept_compressed(zstd))
        .add_service(metrics.accept_compressed(gzip).accept_compressed(zstd))
        .serve_with_incoming(TcpIncoming::from(listener));
    let telling = async {
        let (mut tick, mut told) = (interval(TELL), Told::default());
        loop {
            tick.tick().await;
            let now = counts.now();
            if now != told {
                tell(now);
                told = now;
            }
        }
    };
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        served = serving => served?,
        () = telling => {}
        _ = terminated.recv() => tell(counts.now()),
    }
    Ok(())
}

fn tell(counts: Told) {
    println!("{}", serde_json::json!(counts));
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::trace::v1::trace_service_client::TraceServiceClient,
        trace::v1::{ResourceSpans, ScopeSpans, Span},
    };
    use tonic::transport::Endpoint;

    use super::*;

    #[tokio::test]
    async fn what_comes_is_counted_compressed_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counts = Arc::<Counts>::default();
        let serving = tokio::spawn(collect(listener, Arc::clone(&counts)));
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        let spans = vec![Span::default(); 3];
        let scope_spans = vec![ScopeSpans {
            spans,
            ..Default::default()
        }];
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans,
                ..Default::default()
            }],
        };
        for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
            let client = TraceServiceClient::new(channel.clone());
            client
                .send_compressed(encoding)
                .export(request.clone())
                .await
                .unwrap();
        }
        serving.abort();
        let told = Told {
            spans: 6,
            ..Told::default()
        };
        assert_eq!(counts.now(), told);
    }
}

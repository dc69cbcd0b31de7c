//! A service that runs in this process.

use std::marker::PhantomData;

use lp_chassis::serve::Running;
use lp_telemetry::Metrics;
use lp_types::MerchantId;
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use crate::{Caller, new_merchant};

/// A service that runs in this process; `C` is the client that its callers have.
#[derive(Debug)]
pub struct Instance<C = Caller> {
    /// Where REST is, `http://host:port`.
    pub base: String,
    /// The way to its gRPC server.
    pub channel: Channel,
    /// For REST.
    pub http: reqwest::Client,
    /// What it measures.
    pub metrics: Metrics,
    /// Its addresses, and its end.
    pub running: Running,
    clients: PhantomData<fn() -> C>,
}

impl<C: From<Caller>> Instance<C> {
    /// What was started, whoever did it.
    pub fn of(running: Running, metrics: Metrics) -> Self {
        let grpc = format!("http://{}", running.grpc);
        Self {
            base: format!("http://{}", running.http),
            channel: Channel::from_shared(grpc).expect("a URL").connect_lazy(),
            http: reqwest::Client::new(),
            metrics,
            running,
            clients: PhantomData,
        }
    }

    /// The till of a merchant whom nobody has seen before, with every scope of the contract.
    pub fn merchant(&self) -> C {
        self.client(new_merchant())
    }

    /// A merchant's till, with every scope of the contract.
    pub fn client(&self, merchant: MerchantId) -> C {
        self.caller(merchant).into()
    }

    /// The platform's operator, who acts for `merchant`.
    pub fn operator(&self, merchant: MerchantId) -> C {
        self.caller(merchant).as_operator("mara").into()
    }

    /// A merchant's till, before it is a client of this service: to change its scopes, its token, its patience.
    pub fn caller(&self, merchant: MerchantId) -> Caller {
        Caller::new(
            merchant,
            self.channel.clone(),
            self.http.clone(),
            self.base.clone(),
        )
    }

    /// True when the page of metrics holds `line`.
    pub fn measured(&self, line: &str) -> bool {
        self.metrics.render().expect("metrics").contains(line)
    }

    /// Stops it, and waits until everything under way is done.
    pub async fn stop(self) {
        self.running.stop();
        self.running.ended().await.expect("a clean end");
    }
}

/// An instance on a runtime of its own, which can be killed.
#[derive(Debug)]
pub struct Mortal<C = Caller> {
    pub(crate) runtime: Runtime,
    /// The instance.
    pub instance: Instance<C>,
}

impl<C> Mortal<C> {
    /// Ends everything where it stands, as a crash does.
    pub fn kill(self) {
        self.runtime.shutdown_background();
    }
}

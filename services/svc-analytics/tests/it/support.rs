//! An analytics service of one test, and a merchant at it.

use std::ops::Deref;

use lp_contracts::{
    analytics::v1::{self, analytics_service_client::AnalyticsServiceClient},
    http_body::HttpBody,
};
use lp_test_service::Caller;
use svc_analytics::{Service, TOPICS, config::Config};
use tonic::{Response, Status, transport::Channel};

pub use lp_test_service::{fields, new_merchant, reason, run, until};

pub type Instance = lp_test_service::Instance<Client>;

pub struct Ground(lp_test_service::Ground<Service>);

impl Deref for Ground {
    type Target = lp_test_service::Ground<Service>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Ground {
    /// For tests without events.
    pub async fn new() -> Self {
        Self(lp_test_service::Ground::new().await)
    }

    pub async fn with_topics() -> Self {
        Self(lp_test_service::Ground::new().await.with_topics(TOPICS).await)
    }

    pub fn config(&self) -> Config {
        Config {
            common: self.common(),
        }
    }

    pub async fn start(&self) -> Instance {
        self.0.start(self.config()).await
    }
}

/// A merchant at one instance.
#[derive(Clone)]
pub struct Client {
    caller: Caller,
    pub grpc: AnalyticsServiceClient<Channel>,
}

impl From<Caller> for Client {
    fn from(caller: Caller) -> Self {
        Self {
            grpc: AnalyticsServiceClient::new(caller.channel.clone()),
            caller,
        }
    }
}

impl Deref for Client {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Client {
    pub async fn list(&self, from_day: &str, to_day: &str) -> Result<v1::ListDailyFiguresResponse, Status> {
        let (from_day, to_day) = (from_day.to_owned(), to_day.to_owned());
        let request = self.request("", v1::ListDailyFiguresRequest { from_day, to_day });
        let answer = self.grpc.clone().list_daily_figures(request).await;
        answer.map(Response::into_inner)
    }

    pub async fn export(&self, from_day: &str, to_day: &str) -> Result<HttpBody, Status> {
        let (from_day, to_day) = (from_day.to_owned(), to_day.to_owned());
        let request = self.request("", v1::ExportDailyFiguresRequest { from_day, to_day });
        let answer = self.grpc.clone().export_daily_figures(request).await;
        answer.map(Response::into_inner)
    }

    /// All that there is of 2026.
    pub async fn year(&self) -> v1::ListDailyFiguresResponse {
        self.list("2026-01-01", "2026-12-31").await.unwrap()
    }

    /// How many transactions count in 2026.
    pub async fn counted(&self) -> i64 {
        self.year().await.days.iter().map(|day| day.transactions).sum()
    }
}

/// How many records of a topic ended so at one instance.
pub fn ended(instance: &Instance, outcome: &str, topic: &str) -> usize {
    let start = format!("consumer_events_total{{outcome=\"{outcome}\",topic=\"{topic}\"}} ");
    let page = instance.metrics.render().unwrap();
    let counted = page.lines().find_map(|line| line.strip_prefix(&start));
    counted.map_or(0, |count| count.parse().unwrap())
}

//! The rpcs of `AnalyticsService`.

use lp_chassis::Call;
use lp_contracts::{
    analytics::v1::{self, analytics_service_server::AnalyticsService},
    http_body::HttpBody,
};
use lp_pg::Database;
use tonic::{Request, Response, Status};

use super::{convert, csv};
use crate::application::daily_figures::{DailyFigures, daily_figures};

/// The handlers.
#[derive(Debug)]
pub struct AnalyticsApi {
    database: Database,
}

impl AnalyticsApi {
    /// Reads figures from `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    async fn figures<M>(
        &self,
        request: &Request<M>,
        from_day: &str,
        to_day: &str,
    ) -> lp_error::Result<DailyFigures> {
        let merchant = Call::of(request)?.caller.merchant;
        let range = convert::range(from_day, to_day)?;
        daily_figures(&self.database, merchant, range).await
    }
}

#[tonic::async_trait]
impl AnalyticsService for AnalyticsApi {
    async fn list_daily_figures(
        &self,
        request: Request<v1::ListDailyFiguresRequest>,
    ) -> Result<Response<v1::ListDailyFiguresResponse>, Status> {
        let wanted = request.get_ref();
        let figures = self.figures(&request, &wanted.from_day, &wanted.to_day).await?;
        Ok(Response::new(convert::answer(figures)))
    }

    async fn export_daily_figures(
        &self,
        request: Request<v1::ExportDailyFiguresRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        let wanted = request.get_ref();
        let figures = self.figures(&request, &wanted.from_day, &wanted.to_day).await?;
        Ok(Response::new(HttpBody {
            content_type: csv::CONTENT_TYPE.to_owned(),
            data: csv::file(&figures.days).into_bytes(),
            extensions: Vec::new(),
        }))
    }
}

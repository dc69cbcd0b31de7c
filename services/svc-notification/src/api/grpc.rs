//! The rpcs of `NotificationService`.

use lp_chassis::{Call, call::optional, page::Page};
use lp_contracts::notification::v1::{self, notification_service_server::NotificationService};
use lp_error::{Error, InField as _};
use lp_pg::Database;
use lp_types::NotificationId;
use tonic::{Request, Response, Status};

use super::convert;
use crate::application::read::{self, Filter};

type Answer<T> = Result<Response<T>, Status>;

/// The handlers.
#[derive(Debug)]
pub struct NotificationApi {
    database: Database,
}

impl NotificationApi {
    /// Reads from `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[tonic::async_trait]
impl NotificationService for NotificationApi {
    async fn get_notification(
        &self,
        request: Request<v1::GetNotificationRequest>,
    ) -> Answer<v1::GetNotificationResponse> {
        let merchant = Call::of(&request)?.caller.merchant;
        let id: NotificationId = request
            .get_ref()
            .notification_id
            .parse()
            .in_field("notificationId")?;
        let found = read::notification(&self.database, merchant, id).await?;
        let found =
            found.ok_or_else(|| Error::not_found(id).with_field("notificationId", "no such notification"))?;
        Ok(Response::new(v1::GetNotificationResponse {
            notification: Some(convert::notification(&found)),
        }))
    }

    async fn list_notifications(
        &self,
        request: Request<v1::ListNotificationsRequest>,
    ) -> Answer<v1::ListNotificationsResponse> {
        let merchant = Call::of(&request)?.caller.merchant;
        let mut wanted = request.into_inner();
        let page = Page::open(wanted.page.take(), "ListNotifications", &wanted)?;
        let filter = Filter {
            account: optional(wanted.account_id, "accountId")?,
            status: convert::status_filter(wanted.status)?,
            before: page.cursor()?,
        };
        let mut rows = read::notifications(&self.database, merchant, filter, page.limit()).await?;
        let next = page.close(&mut rows, |row| row.id.to_string());
        Ok(Response::new(v1::ListNotificationsResponse {
            notifications: rows.iter().map(convert::notification).collect(),
            page: Some(next),
        }))
    }
}

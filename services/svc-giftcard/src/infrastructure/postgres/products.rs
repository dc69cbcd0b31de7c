//! Rows of `products`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_types::{AssetCode, CallerContext, MerchantId, ids::ProductId};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::corrupt;
use crate::domain::product::{Denominations, ProductName};

/// What a merchant sells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// The name that customers see.
    pub name: ProductName,
    /// The currency of its cards.
    pub currency: AssetCode,
    /// The amounts that can be bought.
    pub denominations: Denominations,
    /// True when its cards have a PIN.
    pub has_pin: bool,
    /// When it was added.
    pub created_at: Timestamp,
}

struct Row {
    product_id: Uuid,
    name: String,
    currency_code: String,
    denominations: Vec<i64>,
    has_pin: bool,
    created_at: jiff_sqlx::Timestamp,
}

impl Row {
    fn into_product(self) -> lp_pg::Result<Product> {
        Ok(Product {
            id: ProductId::from_uuid(self.product_id),
            name: ProductName::try_from(self.name).map_err(corrupt)?,
            currency: AssetCode::try_from(self.currency_code).map_err(corrupt)?,
            denominations: Denominations::try_from(self.denominations).map_err(corrupt)?,
            has_pin: self.has_pin,
            created_at: self.created_at.to_jiff(),
        })
    }
}

/// Inserts a product of the caller's merchant.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn insert(
    connection: &mut PgConnection,
    caller: &CallerContext,
    product: &Product,
) -> lp_pg::Result<()> {
    sqlx::query!(
        "INSERT INTO products (product_id, merchant_id, name, currency_code, denominations, has_pin, actor, request_id,
                               created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        product.id.uuid(),
        caller.merchant.uuid(),
        product.name.as_str(),
        product.currency.as_str(),
        product.denominations.as_slice(),
        product.has_pin,
        caller.actor.as_str(),
        caller.request.uuid(),
        product.created_at.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One product of the merchant.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: ProductId,
) -> lp_pg::Result<Option<Product>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT product_id, name, currency_code, denominations, has_pin, created_at
         FROM products WHERE merchant_id = $1 AND product_id = $2",
        merchant.uuid(),
        id.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::into_product).transpose()
}

/// The merchant's products before `before`, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(
    connection: &mut PgConnection,
    merchant: MerchantId,
    before: Option<ProductId>,
    limit: i64,
) -> lp_pg::Result<Vec<Product>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT product_id, name, currency_code, denominations, has_pin, created_at
         FROM products WHERE merchant_id = $1 AND ($2::uuid IS NULL OR product_id < $2)
         ORDER BY product_id DESC LIMIT $3",
        merchant.uuid(),
        before.map(ProductId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Row::into_product).collect()
}

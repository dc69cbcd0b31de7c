//! Permanent idempotency keys, claimed in the transaction of their effect.
//!
//! Every write has one shape: [`begin_once`] opens the unit of work and claims the key; then lock, load,
//! decide and write; then [`FirstTime::finish`], or [`FirstTime::refuse`] for a business refusal, stores
//! the answer and commits. The same key and request then give that answer for ever. Failures that are no
//! answers (an unreachable database, a full queue) store nothing: the unit of work is dropped.
//!
//! A batch claims many keys at once: [`claim_all`] and [`record_all`], or [`claim_answered`] and [`correct_all`].

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_error::Code;
use lp_types::{CallerContext, IdempotencyKey};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::{PgConnection, Row, postgres::PgRow, types::Json};

use crate::{Database, PgError, Result, UnitOfWork};

/// SHA-256 of what was asked.
pub type Fingerprint = [u8; 32];

/// A key that somebody wants to use.
#[derive(Debug, Clone)]
pub struct Claim {
    /// For whom.
    pub caller: CallerContext,
    /// For which rpc.
    pub rpc: &'static str,
    /// The key.
    pub key: IdempotencyKey,
    /// Of the request.
    pub fingerprint: Fingerprint,
    /// When.
    pub at: Timestamp,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// It is ours: the first.
    First,
    /// It was claimed before with the same request, and the write of several steps that claimed it has not
    /// ended. Each of its steps is idempotent: go on with it.
    Pending,
    /// It was answered before.
    Answered(Value),
    /// It was used with another request.
    Reused,
}

/// The refusal of a key that was used with another request.
pub fn reused() -> lp_error::Error {
    lp_error::Error::new(
        Code::Aborted,
        lp_error::DOMAIN,
        "IDEMPOTENCY_KEY_REUSED",
        "this idempotency key was used before with another request",
    )
    .with_field("idempotency-key", "was used before with another request")
}

/// Claims keys, all different, and tells of each what became of it, in order. Waits for a transaction that
/// holds one of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn claim_all(connection: &mut PgConnection, claims: &[Claim]) -> Result<Vec<Claimed>> {
    let columns = claims.iter().collect();
    claim(connection, columns, &vec![None; claims.len()]).await
}

/// As [`claim_all`], with the answer, as JSON, that each will have if nothing comes in between: a row written once
/// instead of twice. What comes in between, and what has no answer yet, is told by [`correct_all`] in the same
/// transaction.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn claim_answered(
    connection: &mut PgConnection,
    claims: &[(&Claim, Option<String>)],
) -> Result<Vec<Claimed>> {
    let columns = claims.iter().map(|(claim, _)| *claim).collect();
    let answers: Vec<_> = claims.iter().map(|(_, answer)| answer.as_deref()).collect();
    claim(connection, columns, &answers).await
}

async fn claim(
    connection: &mut PgConnection,
    columns: Columns<'_>,
    answers: &[Option<&str>],
) -> Result<Vec<Claimed>> {
    // Sorted, so that two batches with the same keys wait for each other and do not deadlock.
    let inserted = sqlx::query(
        "INSERT INTO idempotency_keys (merchant_id, rpc, key, fingerprint, actor, request_id, created_at, answer)
         SELECT merchant_id, rpc, key, fingerprint, actor, request_id, created_at, answer::json
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::uuid[], $7::timestamptz[],
                     $8::text[])
              AS c (merchant_id, rpc, key, fingerprint, actor, request_id, created_at, answer)
         ORDER BY merchant_id, rpc, key
         ON CONFLICT DO NOTHING",
    )
    .bind(&columns.merchants)
    .bind(&columns.rpcs)
    .bind(&columns.keys)
    .bind(&columns.fingerprints)
    .bind(&columns.actors)
    .bind(&columns.requests)
    .bind(&columns.times)
    .bind(answers)
    .execute(&mut *connection)
    .await?;
    let count = columns.keys.len();
    if usize::try_from(inserted.rows_affected()).is_ok_and(|inserted| inserted == count) {
        return Ok(vec![Claimed::First; count]);
    }
    // In a statement of its own: the one above cannot see what it waited for.
    let standing = sqlx::query(
        "SELECT i.xmin = pg_current_xact_id()::xid AS ours, i.fingerprint = c.fingerprint AS same, i.answer
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[])
              WITH ORDINALITY AS c (merchant_id, rpc, key, fingerprint, position)
         JOIN idempotency_keys i USING (merchant_id, rpc, key)
         ORDER BY c.position",
    )
    .bind(&columns.merchants)
    .bind(&columns.rpcs)
    .bind(&columns.keys)
    .bind(&columns.fingerprints)
    .fetch_all(&mut *connection)
    .await?;
    if standing.len() != count {
        return Err(PgError::from(sqlx::Error::RowNotFound));
    }
    let outcome = |row: &PgRow| {
        let answer: Option<Json<Value>> = row.try_get("answer")?;
        Ok(match (row.try_get("ours")?, row.try_get("same")?, answer) {
            (true, ..) => Claimed::First,
            (false, false, _) => Claimed::Reused,
            (false, true, Some(Json(answer))) => Claimed::Answered(answer),
            (false, true, None) => Claimed::Pending,
        })
    };
    standing.iter().map(outcome).collect()
}

/// Stores the answers of claims that this transaction holds.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn record_all(connection: &mut PgConnection, answers: &[(&Claim, Value)]) -> Result<()> {
    let columns: Columns<'_> = answers.iter().map(|(claim, _)| *claim).collect();
    sqlx::query(
        "UPDATE idempotency_keys i SET answer = c.answer
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::json[]) AS c (merchant_id, rpc, key, answer)
         WHERE (i.merchant_id, i.rpc, i.key) = (c.merchant_id, c.rpc, c.key) AND i.answer IS NULL",
    )
    .bind(&columns.merchants)
    .bind(&columns.rpcs)
    .bind(&columns.keys)
    .bind(answers.iter().map(|(_, answer)| Json(answer)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores other answers, as JSON, than those with which this transaction claimed. An older claim keeps its own.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn correct_all(connection: &mut PgConnection, answers: &[(&Claim, String)]) -> Result<()> {
    let columns: Columns<'_> = answers.iter().map(|(claim, _)| *claim).collect();
    sqlx::query(
        "UPDATE idempotency_keys i SET answer = c.answer::json
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS c (merchant_id, rpc, key, answer)
         WHERE (i.merchant_id, i.rpc, i.key) = (c.merchant_id, c.rpc, c.key)
           AND i.xmin = pg_current_xact_id()::xid",
    )
    .bind(&columns.merchants)
    .bind(&columns.rpcs)
    .bind(&columns.keys)
    .bind(
        answers
            .iter()
            .map(|(_, answer)| answer.as_str())
            .collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[derive(Default)]
struct Columns<'c> {
    merchants: Vec<uuid::Uuid>,
    rpcs: Vec<&'static str>,
    keys: Vec<&'c str>,
    fingerprints: Vec<&'c [u8]>,
    actors: Vec<&'c str>,
    requests: Vec<uuid::Uuid>,
    times: Vec<jiff_sqlx::Timestamp>,
}

impl<'c> FromIterator<&'c Claim> for Columns<'c> {
    fn from_iter<I: IntoIterator<Item = &'c Claim>>(claims: I) -> Self {
        let mut columns = Self::default();
        for claim in claims {
            columns.merchants.push(claim.caller.merchant.uuid());
            columns.rpcs.push(claim.rpc);
            columns.keys.push(claim.key.as_str());
            columns.fingerprints.push(&claim.fingerprint);
            columns.actors.push(claim.caller.actor.as_str());
            columns.requests.push(claim.caller.request.uuid());
            columns.times.push(claim.at.to_sqlx());
        }
        columns
    }
}

/// What [`begin_once`] found. `A` is the answer: a value, or a recorded refusal.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is matched where it is made")]
pub enum Once<A> {
    /// The key is ours, and the unit of work is open.
    FirstTime(FirstTime),
    /// It was answered before.
    Again(A),
}

/// An open unit of work that holds its key.
#[derive(Debug)]
pub struct FirstTime {
    claim: Claim,
    /// True when an earlier attempt claimed the key and did not end.
    pub resumed: bool,
    /// Where the effect is written.
    pub work: UnitOfWork,
}

/// Opens a unit of work and claims the key.
///
/// # Errors
/// `IDEMPOTENCY_KEY_REUSED`; or PostgreSQL fails.
pub async fn begin_once<A: DeserializeOwned>(database: &Database, claim: Claim) -> lp_error::Result<Once<A>> {
    let mut work = database.begin().await?;
    let claimed = claim_all(&mut work, std::slice::from_ref(&claim)).await?.pop();
    match claimed {
        Some(Claimed::Answered(answer)) => again(answer),
        Some(Claimed::Reused) => Err(reused()),
        Some(Claimed::Pending) => {
            // Another attempt may be at the same step: one at a time, and it may have ended meanwhile.
            match lock(&mut work, &claim).await? {
                Some(answer) => again(answer),
                None => Ok(Once::FirstTime(FirstTime {
                    claim,
                    resumed: true,
                    work,
                })),
            }
        }
        Some(Claimed::First) => Ok(Once::FirstTime(FirstTime {
            claim,
            resumed: false,
            work,
        })),
        None => Err(lp_error::Error::internal("a claim without outcome")),
    }
}

fn again<A: DeserializeOwned>(answer: Value) -> lp_error::Result<Once<A>> {
    Ok(Once::Again(
        serde_json::from_value(answer).map_err(lp_error::Error::internal)?,
    ))
}

async fn lock(connection: &mut PgConnection, claim: &Claim) -> Result<Option<Value>> {
    let row = sqlx::query(
        "SELECT answer FROM idempotency_keys WHERE merchant_id = $1 AND rpc = $2 AND key = $3
         FOR NO KEY UPDATE",
    )
    .bind(claim.caller.merchant.uuid())
    .bind(claim.rpc)
    .bind(claim.key.as_str())
    .fetch_one(connection)
    .await?;
    Ok(row
        .try_get::<Option<Json<Value>>, _>("answer")?
        .map(|Json(answer)| answer))
}

impl FirstTime {
    /// Stores the answer and commits.
    ///
    /// # Errors
    /// When PostgreSQL fails, or the answer cannot be stored as JSON.
    pub async fn finish<A: Serialize>(mut self, answer: &A) -> lp_error::Result<()> {
        let answer = serde_json::to_value(answer).map_err(lp_error::Error::internal)?;
        record_all(&mut self.work, &[(&self.claim, answer)]).await?;
        Ok(self.work.commit().await?)
    }

    /// Drops what was written and stores only the key with its answer, a business refusal.
    ///
    /// # Errors
    /// As [`begin_once`] and [`FirstTime::finish`].
    pub async fn refuse<A: Serialize + DeserializeOwned>(
        self,
        database: &Database,
        answer: A,
    ) -> lp_error::Result<A> {
        let Self { claim, work, .. } = self;
        drop(work);
        // Somebody may have taken the key in between; then theirs is the answer.
        match begin_once(database, claim).await? {
            Once::Again(theirs) => Ok(theirs),
            Once::FirstTime(first) => {
                first.finish(&answer).await?;
                Ok(answer)
            }
        }
    }

    /// Commits the claim with what was written so far, without an answer: the end of one step of several.
    ///
    /// # Errors
    /// When PostgreSQL fails.
    pub async fn pause(self) -> lp_error::Result<()> {
        Ok(self.work.commit().await?)
    }
}

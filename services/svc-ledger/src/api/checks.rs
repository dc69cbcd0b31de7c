//! The check of a merchant's ledger, a slice a call.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ledger_domain::{Finding, Rule};
use lp_chassis::Call;
use lp_contracts::ledger::v1;
use lp_error::{Error, InField, Result};
use tonic::Request;

use super::grpc::LedgerApi;
use crate::application::check::{self, Position};

pub(super) async fn check(
    api: &LedgerApi,
    request: Request<v1::CheckLedgerRequest>,
) -> Result<v1::CheckLedgerResponse> {
    let merchant = Call::of(&request)?.caller.merchant;
    let position = position(&request.get_ref().position)?;
    let checked = check::check(&api.database, merchant, position).await?;
    Ok(v1::CheckLedgerResponse {
        findings: checked.findings.into_iter().map(finding).collect(),
        accounts: checked.accounts,
        entries: checked.entries,
        next_position: checked
            .next
            .as_ref()
            .map(encoded)
            .transpose()?
            .unwrap_or_default(),
    })
}

/// What a caller hands back. Whoever makes one up reads nothing but the merchant's own ledger.
fn position(text: &str) -> Result<Position> {
    if text.is_empty() {
        return Ok(Position::Accounts(None));
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let position = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    position
        .ok_or("is no position that a check gave")
        .in_field("position")
}

fn encoded(position: &Position) -> Result<String> {
    let bytes = serde_json::to_vec(position).map_err(Error::internal)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn finding(of: Finding) -> v1::Finding {
    let rule = match of.rule {
        Rule::Conservation => v1::Rule::Conservation,
        Rule::Sums => v1::Rule::Sums,
        Rule::Sequence => v1::Rule::Sequence,
        Rule::Chain => v1::Rule::Chain,
        Rule::Holds => v1::Rule::Holds,
        Rule::Captures => v1::Rule::Captures,
    };
    v1::Finding {
        rule: rule.into(),
        subject: of.subject,
        detail: of.detail,
    }
}

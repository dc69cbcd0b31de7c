//! One request over both wires, and what a client learns of its refusal.

use lp_contracts::{common, ledger::v1};
use prost::Message;
use prost_reflect::DynamicMessage;
use serde_json::Value;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::support::{Client, fields, new_key, reason};

/// What a client learns, over whichever wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    pub reason: String,
    pub fields: Vec<String>,
    pub status: u16,
}

impl Refused {
    pub fn of(status: &Status) -> Self {
        let info = status.get_error_details().error_info().cloned().unwrap();
        let prefixed = format!("ERROR_REASON_{}", info.reason);
        let documented = match info.domain.as_str() {
            "localplus" => common::v1::ErrorReason::from_str_name(&prefixed).is_some(),
            "ledger.localplus" => v1::ErrorReason::from_str_name(&prefixed).is_some(),
            _ => false,
        };
        assert!(documented, "{info:?}");
        Self {
            reason: reason(status),
            fields: fields(status),
            status: lp_error::http_of_grpc(status.code()).as_u16(),
        }
    }

    pub fn of_problem((status, problem): &(u16, Value)) -> Self {
        assert_eq!(problem["status"], *status);
        let violations = problem["violations"].as_array().unwrap();
        Self {
            reason: problem["reason"].as_str().unwrap().to_owned(),
            fields: violations
                .iter()
                .map(|v| v["field"].as_str().unwrap().to_owned())
                .collect(),
            status: *status,
        }
    }
}

/// The message that `json` is.
pub fn message<M: Message + Default>(name: &str, json: &Value) -> M {
    let descriptor = lp_contracts::descriptors()
        .get_message_by_name(&format!("localplus.ledger.v1.{name}"))
        .unwrap();
    let dynamic = DynamicMessage::deserialize(descriptor, json.clone()).unwrap();
    M::decode(dynamic.encode_to_vec().as_slice()).unwrap()
}

/// Sends one write over gRPC and over REST, under keys of their own, and returns the two refusals.
pub async fn both(client: &Client, rpc: &str, body: &Value) -> [Refused; 2] {
    let over_grpc = grpc(client, rpc, &new_key(), body).await.unwrap_err();
    let path = match rpc {
        "CreateAsset" => "/v1/assets",
        "CreateAccount" => "/v1/accounts",
        "CreateTransaction" => "/v1/transactions",
        "ReverseTransaction" => "/v1/transactions/{transactionId}:reverse",
        "PlaceHold" => "/v1/holds",
        "CaptureHold" => "/v1/holds/{holdId}:capture",
        "Earn" => "/v1/transactions:earn",
        "Burn" => "/v1/transactions:burn",
        other => panic!("{other} has no path here"),
    };
    // What the path names does not stand in the body.
    let (path, body) = match path.split_once('{') {
        None => (path.to_owned(), body.clone()),
        Some((before, rest)) => {
            let (name, after) = rest.split_once('}').unwrap();
            let value = body[name].as_str().unwrap();
            (format!("{before}{value}{after}"), without(body, name))
        }
    };
    let over_rest = client.post(&new_key(), &path, &body).await;
    [Refused::of(&over_grpc), Refused::of_problem(&over_rest)]
}

pub async fn grpc(client: &Client, rpc: &str, key: &str, body: &Value) -> Result<(), Status> {
    let mut to = client.grpc.clone();
    macro_rules! send {
        ($method:ident, $request:ty) => {
            to.$method(client.request(key, message::<$request>(&format!("{rpc}Request"), body)))
                .await
                .map(drop)
        };
    }
    match rpc {
        "CreateAsset" => send!(create_asset, v1::CreateAssetRequest),
        "CreateAccount" => send!(create_account, v1::CreateAccountRequest),
        "CreateTransaction" => send!(create_transaction, v1::CreateTransactionRequest),
        "ReverseTransaction" => send!(reverse_transaction, v1::ReverseTransactionRequest),
        "PlaceHold" => send!(place_hold, v1::PlaceHoldRequest),
        "CaptureHold" => send!(capture_hold, v1::CaptureHoldRequest),
        "Earn" => send!(earn, v1::EarnRequest),
        "Burn" => send!(burn, v1::BurnRequest),
        other => panic!("{other} is not sent here"),
    }
}

/// `body` with another value at `pointer`.
pub fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = body.clone();
    *changed.pointer_mut(pointer).unwrap() = value;
    changed
}

pub fn without(body: &Value, field: &str) -> Value {
    let mut changed = body.clone();
    changed.as_object_mut().unwrap().remove(field).unwrap();
    changed
}

//! A record: CloudEvents 1.0 in Kafka's binary mode. Attributes are headers, the payload is protobuf.

use std::{fmt::Display, ops::Deref, str::FromStr};

use bytes::Bytes;
use jiff::Timestamp;
use lp_types::MerchantId;
use rdkafka::{
    Message,
    message::{Header, Headers, OwnedHeaders},
};

use crate::HandleError;

const SPECVERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/protobuf";

/// Which record this is of how many that tell of one event, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// This one.
    pub index: u32,
    /// Of how many.
    pub count: u32,
}

/// A record, before it is published and after it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The topic, without the fleet's prefix.
    pub topic: String,
    /// The key: records of one key keep their order.
    pub key: String,
    /// `ce_id`: what consumers know it by when it comes again.
    pub id: String,
    /// `ce_type`: the payload's message, fully qualified.
    pub event_type: String,
    /// `ce_source`: the service that published it.
    pub source: String,
    /// `ce_merchantid`: whose it is.
    pub merchant: MerchantId,
    /// `ce_time`: when it happened.
    pub occurred_at: Timestamp,
    /// `traceparent`: the trace that it continues.
    pub traceparent: Option<String>,
    /// `ce_legindex` and `ce_legcount`.
    pub leg: Leg,
    /// The message, as protobuf.
    pub payload: Bytes,
}

/// A record that was received, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The record; its fields are reached through the event.
    pub record: Record,
    /// In which partition.
    pub partition: i32,
    /// At which offset.
    pub offset: i64,
}

impl Deref for Event {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl Event {
    /// The payload as the message `M`.
    ///
    /// # Errors
    /// [`HandleError::Poison`] when it is none.
    pub fn message<M: prost::Message + Default>(&self) -> Result<M, HandleError> {
        M::decode(self.payload.clone()).map_err(|e| HandleError::Poison(format!("the payload: {e}")))
    }
}

/// Why a record is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part} {problem}")]
pub(crate) struct Undecodable {
    part: &'static str,
    problem: String,
}

impl Undecodable {
    fn new(part: &'static str, problem: impl Display) -> Self {
        Self {
            part,
            problem: problem.to_string(),
        }
    }
}

/// The headers of a record.
pub(crate) fn headers(record: &Record) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(10);
    let mut set = |key, value: &str| {
        headers = std::mem::take(&mut headers).insert(Header {
            key,
            value: Some(value),
        });
    };
    set("ce_specversion", SPECVERSION);
    set("ce_id", &record.id);
    set("ce_source", &record.source);
    set("ce_type", &record.event_type);
    set("ce_time", &record.occurred_at.to_string());
    set("ce_merchantid", &record.merchant.to_string());
    set("ce_legindex", &record.leg.index.to_string());
    set("ce_legcount", &record.leg.count.to_string());
    set("content-type", CONTENT_TYPE);
    if let Some(traceparent) = &record.traceparent {
        set("traceparent", traceparent);
    }
    headers
}

/// Reads a record of a topic whose name begins with `prefix`.
pub(crate) fn decode<M: Message>(message: &M, prefix: &str) -> Result<Event, Undecodable> {
    let headers = Attributes(message.headers());
    headers.expect("ce_specversion", SPECVERSION)?;
    headers.expect("content-type", CONTENT_TYPE)?;
    let key = message
        .key()
        .ok_or_else(|| Undecodable::new("the key", "is missing"))?;
    let payload = message
        .payload()
        .ok_or_else(|| Undecodable::new("the payload", "is missing"))?;
    let topic = message.topic();
    let record = Record {
        topic: topic.strip_prefix(prefix).unwrap_or(topic).to_owned(),
        key: text("the key", key)?.to_owned(),
        id: headers.required("ce_id")?.to_owned(),
        event_type: headers.required("ce_type")?.to_owned(),
        source: headers.required("ce_source")?.to_owned(),
        merchant: headers.parsed("ce_merchantid")?,
        occurred_at: headers.parsed("ce_time")?,
        traceparent: headers.optional("traceparent")?.map(str::to_owned),
        leg: Leg {
            index: headers.parsed("ce_legindex")?,
            count: headers.parsed("ce_legcount")?,
        },
        payload: Bytes::copy_from_slice(payload),
    };
    Ok(Event {
        record,
        partition: message.partition(),
        offset: message.offset(),
    })
}

fn text<'m>(part: &'static str, bytes: &'m [u8]) -> Result<&'m str, Undecodable> {
    std::str::from_utf8(bytes).map_err(|_| Undecodable::new(part, "is not UTF-8"))
}

struct Attributes<'m, H>(Option<&'m H>);

impl<'m, H: Headers> Attributes<'m, H> {
    fn optional(&self, name: &'static str) -> Result<Option<&'m str>, Undecodable> {
        let header = self
            .0
            .and_then(|headers| headers.iter().find(|header| header.key == name));
        header
            .and_then(|header| header.value)
            .map(|value| text(name, value))
            .transpose()
    }

    fn required(&self, name: &'static str) -> Result<&'m str, Undecodable> {
        self.optional(name)?
            .ok_or_else(|| Undecodable::new(name, "is missing"))
    }

    fn parsed<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<T, Undecodable> {
        self.required(name)?
            .parse()
            .map_err(|e| Undecodable::new(name, e))
    }

    fn expect(&self, name: &'static str, value: &str) -> Result<(), Undecodable> {
        match self.required(name)? {
            found if found == value => Ok(()),
            _ => Err(Undecodable::new(name, format!("is not {value}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::OwnedMessage;

    use super::*;

    fn record() -> Record {
        Record {
            topic: "things.happened.v1".into(),
            key: "acc_1".into(),
            id: "txn_1:acc_1".into(),
            event_type: "localplus.things.v1.ThingHappened".into(),
            source: "svc-thing".into(),
            merchant: "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b".parse().unwrap(),
            occurred_at: "2026-11-21T10:00:00.123456Z".parse().unwrap(),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            leg: Leg { index: 1, count: 2 },
            payload: Bytes::from_static(b"\x0a\x01x"),
        }
    }

    fn message(record: &Record, headers: OwnedHeaders) -> OwnedMessage {
        let (key, payload) = (record.key.clone().into_bytes(), record.payload.to_vec());
        let topic = format!("fleet.{}", record.topic);
        OwnedMessage::new(
            Some(payload),
            Some(key),
            topic,
            rdkafka::Timestamp::NotAvailable,
            3,
            42,
            Some(headers),
        )
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for traceparent in [record().traceparent, None] {
            let record = Record {
                traceparent,
                ..record()
            };
            let event = decode(&message(&record, headers(&record)), "fleet.").unwrap();
            assert_eq!(
                event,
                Event {
                    record,
                    partition: 3,
                    offset: 42
                }
            );
        }
    }

    #[test]
    fn headers_are_those_of_cloudevents() {
        let headers = headers(&record());
        let all: Vec<_> = headers
            .iter()
            .map(|h| (h.key, std::str::from_utf8(h.value.unwrap()).unwrap()))
            .collect();
        assert_eq!(
            all,
            [
                ("ce_specversion", "1.0"),
                ("ce_id", "txn_1:acc_1"),
                ("ce_source", "svc-thing"),
                ("ce_type", "localplus.things.v1.ThingHappened"),
                ("ce_time", "2026-11-21T10:00:00.123456Z"),
                ("ce_merchantid", "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b"),
                ("ce_legindex", "1"),
                ("ce_legcount", "2"),
                ("content-type", "application/protobuf"),
                (
                    "traceparent",
                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
                ),
            ]
        );
    }

    #[test]
    fn what_is_no_event_is_named() {
        let record = record();
        let refused = |headers| decode(&message(&record, headers), "").unwrap_err().to_string();
        assert_eq!(refused(OwnedHeaders::new()), "ce_specversion is missing");
        let version = OwnedHeaders::new().insert(Header {
            key: "ce_specversion",
            value: Some("0.3"),
        });
        assert_eq!(refused(version), "ce_specversion is not 1.0");
        let no_utf8 = OwnedHeaders::new().insert(Header {
            key: "ce_specversion",
            value: Some(&[0xff_u8][..]),
        });
        assert_eq!(refused(no_utf8), "ce_specversion is not UTF-8");
        let mut tombstone = message(&record, headers(&record));
        tombstone = tombstone.set_payload(None);
        assert_eq!(
            decode(&tombstone, "").unwrap_err().to_string(),
            "the payload is missing"
        );
    }
}

//! A first reading of a JSON body: is it JSON, and does it hold only fields that may stand there, each once?
//!
//! prost-reflect, which reads the values afterwards, lets the last of two equal keys win and tells an unknown
//! field from a wrong value only by the text of its error. Where money is moved neither will do.

use std::{collections::HashSet, fmt};

use lp_error::Error;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{
    field::{MAX_DEPTH, find, inner, join},
    problem::unknown_field,
};

/// What may stand at a place. A value of another type passes here: the reading of values refuses it.
pub(crate) enum Expect {
    Message(MessageDescriptor),
    List(Kind),
    Map(Kind),
    Scalar,
}

impl Expect {
    pub(crate) fn field(field: &FieldDescriptor) -> Self {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => Self::Map(entry.map_entry_value_field().kind()),
            kind if field.is_list() => Self::List(kind),
            kind => Self::kind(&kind),
        }
    }

    fn kind(kind: &Kind) -> Self {
        inner(kind).map_or(Self::Scalar, |message| Self::Message(message.clone()))
    }
}

/// The walk over one JSON value.
pub(crate) struct Walk<'a> {
    /// The path of the value.
    pub(crate) at: &'a str,
    /// What may stand there.
    pub(crate) expect: Expect,
    /// How many objects and lists stand around it.
    pub(crate) depth: usize,
    /// Paths that the URL sets, and that may not stand here again.
    pub(crate) bound: &'a [String],
    /// Where the walk leaves its refusal; the deserializer's own error is then without meaning.
    pub(crate) refusal: &'a mut Option<Error>,
}

impl Walk<'_> {
    /// The walk over a value within this one.
    fn below<'a>(&'a mut self, at: &'a str, expect: Expect) -> Walk<'a> {
        Walk {
            at,
            expect,
            depth: self.depth + 1,
            bound: self.bound,
            refusal: self.refusal,
        }
    }

    fn refuse<E: de::Error>(&mut self, error: Error) -> E {
        *self.refusal = Some(error);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.expect {
            // A scalar's value is not looked at, so that a number of any size passes as JSON.
            Expect::Scalar => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        if self.depth > MAX_DEPTH {
            let error = Error::invalid_field(self.at, "is nested too deep");
            return Err(self.refuse(error));
        }
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let (name, expect) = match &self.expect {
                Expect::Message(message) => match find(message, &key) {
                    Some(field) => (field.json_name().to_owned(), Expect::field(&field)),
                    None => return Err(self.refuse(unknown_field(&join(self.at, &key)))),
                },
                Expect::Map(kind) => (key, Expect::kind(kind)),
                Expect::List(_) | Expect::Scalar => (key, Expect::Scalar),
            };
            let at = join(self.at, &name);
            if self.bound.contains(&at) {
                return Err(self.refuse(Error::invalid_field(
                    at,
                    "stands in the path, and may not stand here too",
                )));
            }
            if !seen.insert(name) {
                return Err(self.refuse(Error::invalid_field(at, "stands here twice")));
            }
            map.next_value_seed(self.below(&at, expect))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        for index in 0.. {
            let expect = match &self.expect {
                Expect::List(kind) => Expect::kind(kind),
                _ => Expect::Scalar,
            };
            let at = format!("{}[{index}]", self.at);
            if list.next_element_seed(self.below(&at, expect))?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

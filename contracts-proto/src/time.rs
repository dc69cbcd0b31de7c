//! Points in time between Rust and the wire.

use jiff::Timestamp;

/// As protobuf has it.
pub fn to_wire(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

/// The first second of the year 1, with which protobuf's range begins. Jiff's begins earlier, and ends before protobuf's.
const FIRST_SECOND: i64 = -62_135_596_800;

/// From protobuf; `None` when it is out of range: JSON could not say it, nor PostgreSQL keep all of jiff's.
pub fn from_wire(at: &prost_types::Timestamp) -> Option<Timestamp> {
    let is_in_range = at.seconds >= FIRST_SECOND && at.nanos >= 0;
    Timestamp::new(at.seconds, at.nanos).ok().filter(|_| is_in_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_of_protobufs_range() {
        let at = |seconds, nanos| from_wire(&prost_types::Timestamp { seconds, nanos });
        assert_eq!(at(0, 1).unwrap().as_nanosecond(), 1);
        let first = at(FIRST_SECOND, 0).unwrap();
        assert_eq!(first.to_string(), "0001-01-01T00:00:00Z");
        for (seconds, nanos) in [
            (FIRST_SECOND - 1, 999_999_999),
            (0, -1),
            (0, 1_000_000_000),
            (i64::MAX, 0),
            (i64::MIN, 0),
        ] {
            assert_eq!(at(seconds, nanos), None, "{seconds} {nanos}");
        }
    }
}

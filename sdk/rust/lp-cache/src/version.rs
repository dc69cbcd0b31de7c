//! The order of values.

/// Where a value stands in the history of its key; compared by epoch, then by sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Raised when history is restored, so that versions from before the restore stay below.
    pub epoch: i64,
    /// Raised by each change.
    pub sequence: i64,
}

/// A value that knows its version. Equal versions mean equal values.
pub trait Versioned {
    /// The value's version.
    fn version(&self) -> Version;
}

impl Version {
    /// Digits of [`Version::sortable`].
    pub(crate) const DIGITS: usize = 40;

    /// Text that sorts as the version does: Lua's numbers cannot hold an `i64`.
    pub(crate) fn sortable(self) -> String {
        let shifted = |part: i64| part.cast_unsigned() ^ (1 << 63);
        format!("{:020}{:020}", shifted(self.epoch), shifted(self.sequence))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_sorts_as_versions_do(a in any::<(i64, i64)>(), b in any::<(i64, i64)>()) {
            let version = |(epoch, sequence)| Version { epoch, sequence };
            let (a, b) = (version(a), version(b));
            prop_assert_eq!(a.cmp(&b), a.sortable().cmp(&b.sortable()));
            prop_assert_eq!(a.sortable().len(), Version::DIGITS);
        }
    }
}

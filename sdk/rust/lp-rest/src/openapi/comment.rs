//! The comments of the contract.

use prost_reflect::{
    EnumDescriptor, EnumValueDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor,
    MethodDescriptor, ServiceDescriptor, prost_types::source_code_info::Location,
};

/// What carries a comment.
pub(super) trait Commented {
    /// The file, and the place in it.
    fn place(&self) -> (FileDescriptor, &[i32]);

    /// The comment above it; its lines are joined, its paragraphs kept. Empty when there is none.
    fn comment(&self) -> String {
        let (file, path) = self.place();
        let info = file.file_descriptor_proto().source_code_info.as_ref();
        let location = info.and_then(|info| info.location.iter().find(|location| location.path == path));
        let text = location.map(Location::leading_comments).unwrap_or_default();
        let paragraphs = text.split("\n\n").map(|paragraph| {
            paragraph
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        });
        paragraphs.collect::<Vec<_>>().join("\n\n")
    }
}

macro_rules! commented {
    ($($descriptor:ty),+) => {$(
        impl Commented for $descriptor {
            fn place(&self) -> (FileDescriptor, &[i32]) {
                (self.parent_file(), self.path())
            }
        }
    )+};
}

commented!(
    EnumDescriptor,
    EnumValueDescriptor,
    FieldDescriptor,
    MessageDescriptor,
    MethodDescriptor,
    ServiceDescriptor
);

/// The first sentence of a comment, without its full stop.
pub(super) fn first_sentence(comment: &str) -> &str {
    let end = [". ", ".\n"].iter().filter_map(|stop| comment.find(stop)).min();
    let sentence = end.and_then(|end| comment.get(..end)).unwrap_or(comment);
    sentence.strip_suffix('.').unwrap_or(sentence)
}

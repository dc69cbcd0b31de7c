//! A response that is a file. The one message of `google.api` that the contract's own messages meet; its package is
//! not under `localplus`, so that the generated code cannot reach it by itself.

/// `google.api.HttpBody`: over REST the bytes go out as they are, under their own content type.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HttpBody {
    /// Content type of `data`.
    #[prost(string, tag = "1")]
    pub content_type: String,
    /// The bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
    /// Never set by us.
    #[prost(message, repeated, tag = "3")]
    pub extensions: Vec<prost_types::Any>,
}

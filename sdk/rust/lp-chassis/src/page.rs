//! Pages of lists: opaque tokens that are bound to the filters of the list that gave them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lp_contracts::common::v1::{PageRequest, PageResponse};
use lp_error::{Error, Result};
use prost::Message;
use sha2::{Digest, Sha256};

const DEFAULT_SIZE: i32 = 50;
const MAX_SIZE: i32 = 500;
const TAG: usize = 8;

/// Which rows to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// How many rows belong on the page. Read one more: it tells whether the list goes on.
    pub size: usize,
    /// Where it begins, as [`Page::close`] was given it; none: at the beginning.
    pub cursor: Option<String>,
    tag: [u8; TAG],
}

impl Page {
    /// From a request of list `rpc`; `filters` is the request without its page.
    ///
    /// # Errors
    /// INVALID_FIELD: `page.pageSize` out of range, or `page.pageToken` not one of this list.
    pub fn open<F: Message>(page: Option<PageRequest>, rpc: &'static str, filters: &F) -> Result<Self> {
        let page = page.unwrap_or_default();
        let size = match page.page_size {
            0 => DEFAULT_SIZE,
            size @ 1..=MAX_SIZE => size,
            _ => return Err(Error::invalid_field("page.pageSize", "must be 0 to 500")),
        };
        let size = usize::try_from(size).map_err(Error::internal)?;
        let digest = Sha256::new_with_prefix(rpc)
            .chain_update(filters.encode_to_vec())
            .finalize();
        let mut tag = [0; TAG];
        tag.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        if page.page_token.is_empty() {
            return Ok(Self {
                size,
                cursor: None,
                tag,
            });
        }
        let foreign =
            || Error::invalid_field("page.pageToken", "is no token of this list with these filters");
        let token = URL_SAFE_NO_PAD.decode(&page.page_token).map_err(|_| foreign())?;
        let cursor = token.strip_prefix(&tag).ok_or_else(foreign)?;
        let cursor = String::from_utf8(cursor.to_vec()).map_err(|_| foreign())?;
        Ok(Self {
            size,
            cursor: Some(cursor),
            tag,
        })
    }

    /// The cursor as a `T`.
    ///
    /// # Errors
    /// INVALID_FIELD when it is none, which only a forged token is.
    pub fn cursor<T: std::str::FromStr>(&self) -> Result<Option<T>> {
        let parse = |text: &String| {
            text.parse()
                .map_err(|_| Error::invalid_field("page.pageToken", "is no token of this list"))
        };
        self.cursor.as_ref().map(parse).transpose()
    }

    /// Rows to read: one more than belong on the page.
    pub fn limit(&self) -> i64 {
        i64::try_from(self.size).unwrap_or(i64::MAX).saturating_add(1)
    }

    /// Cuts `rows` to the page; where the list goes on, the token holds the cursor of the last row kept.
    pub fn close<T>(&self, rows: &mut Vec<T>, cursor_of: impl Fn(&T) -> String) -> PageResponse {
        let more = rows.len() > self.size;
        rows.truncate(self.size);
        let next_page_token = match rows.last().filter(|_| more) {
            None => String::new(),
            Some(last) => URL_SAFE_NO_PAD.encode([self.tag.as_slice(), cursor_of(last).as_bytes()].concat()),
        };
        PageResponse { next_page_token }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(token: &str, size: i32, filter: &str) -> Result<Page> {
        let page = PageRequest {
            page_size: size,
            page_token: token.to_owned(),
        };
        Page::open(Some(page), "ListThings", &filter.to_owned())
    }

    #[test]
    fn a_token_goes_on_where_the_page_ended_and_only_in_its_list() {
        let page = open("", 2, "a").unwrap();
        let mut rows = vec![9, 8, 7];
        let token = page.close(&mut rows, ToString::to_string).next_page_token;
        assert_eq!(rows, [9, 8]);
        assert_eq!(open(&token, 2, "a").unwrap().cursor::<i64>().unwrap(), Some(8));
        for (token, filter) in [(token.as_str(), "b"), ("x", "a"), ("!", "a")] {
            assert_eq!(
                open(token, 2, filter).unwrap_err().fields()[0].field,
                "page.pageToken"
            );
        }
        let mut last = vec![1, 2];
        assert_eq!(page.close(&mut last, ToString::to_string).next_page_token, "");
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(open("", 0, "").unwrap().size, 50);
        for bad in [-1, 501, i32::MIN] {
            assert_eq!(open("", bad, "").unwrap_err().fields()[0].field, "page.pageSize");
        }
    }
}

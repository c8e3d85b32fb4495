//! Lists in pages: keyset paging with an opaque token that names the last row of the page before.

use crate::Failure;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const DEFAULT_SIZE: u32 = 100;
const MAX_SIZE: u32 = 1000;

/// Which page of a list is wanted.
#[derive(Clone, Debug)]
pub struct Page {
    size: usize,
    /// The key of the last row of the page before. Empty for the first page, as keys never are.
    pub after: String,
}

impl Page {
    /// Reads `page_size` (0 means 100) and `page_token` (empty means the first page) of a request.
    ///
    /// # Errors
    /// INVALID_REQUEST for a size over 1000, or a token that no list returned.
    pub fn parse(size: u32, token: &str) -> Result<Self, Failure> {
        if size > MAX_SIZE {
            return Err(Failure::invalid("page_size", format!("page_size must be at most {MAX_SIZE}")));
        }
        let size = if size == 0 { DEFAULT_SIZE } else { size };
        let after = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let bad_token = || Failure::invalid("page_token", "page_token is not one that this list returned");
        Ok(Self { size: usize::try_from(size).unwrap_or(usize::MAX), after: after.ok_or_else(bad_token)? })
    }

    /// How many rows [`Page::cut`] needs at most.
    #[must_use]
    pub fn rows(&self) -> i64 {
        i64::try_from(self.size + 1).unwrap_or(i64::MAX)
    }

    /// The same page with this many rows at most, where more would be too large.
    #[must_use]
    pub fn at_most(&self, rows: usize) -> Self {
        Self { size: self.size.min(rows), after: self.after.clone() }
    }

    /// Cuts the page out of the rows after [`Page::after`], and gives the token of the next one, empty for none.
    pub fn cut<T>(&self, rows: impl Iterator<Item = T>, key: impl Fn(&T) -> &str) -> (Vec<T>, String) {
        let mut page: Vec<T> = rows.take(self.size + 1).collect();
        let more = page.len() > self.size;
        page.truncate(self.size);
        let last = page.last().filter(|_| more);
        let token = last.map_or_else(String::new, |row| URL_SAFE_NO_PAD.encode(key(row)));
        (page, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let rows = ["a", "b", "c", "d"];
        let page = |token: &str| {
            let page = Page::parse(2, token).unwrap();
            let after = page.after.clone();
            page.cut(rows.into_iter().filter(|r| **r > *after), |r| r)
        };
        let (first, token) = page("");
        let (second, end) = page(&token);
        assert_eq!((first, second, end.as_str()), (vec!["a", "b"], vec!["c", "d"], ""));
    }

    #[test]
    fn a_page_that_is_cut_short_goes_on_where_it_ended() {
        let (first, token) = Page::parse(3, "").unwrap().at_most(1).cut(["a", "b"].into_iter(), |r| r);
        assert_eq!((first, Page::parse(3, &token).unwrap().after.as_str()), (vec!["a"], "a"));
        assert_eq!(Page::parse(3, "").unwrap().at_most(9).rows(), 4);
    }

    #[test]
    fn bad_pages_name_the_field() {
        let field = |size, token| Page::parse(size, token).err().map(|f| f.metadata["field"].clone());
        assert_eq!(field(1001, ""), Some("page_size".into()));
        assert_eq!(field(1, "%%%"), Some("page_token".into()));
        assert_eq!(field(1, "_w"), Some("page_token".into()), "not UTF-8");
        assert_eq!(field(1000, ""), None);
    }
}

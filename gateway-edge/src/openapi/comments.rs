//! What the protos say about their own parts.

use std::collections::HashMap;

use prost::{DecodeError, Message as _};
use prost_reflect::FileDescriptor;
use prost_types::FileDescriptorSet;

/// Comments by file and place within it.
pub(super) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    /// What stands in a contract, encoded as `FileDescriptorSet`.
    pub(super) fn read(commented: &[u8]) -> Result<Self, DecodeError> {
        let mut comments = HashMap::new();
        for file in FileDescriptorSet::decode(commented)?.file {
            for location in file.source_code_info.into_iter().flat_map(|info| info.location) {
                if let Some(comment) = &location.leading_comments {
                    comments.insert((file.name.clone().unwrap_or_default(), location.path), tidy(comment));
                }
            }
        }
        Ok(Self(comments))
    }

    /// What stands before a part; empty where nothing does.
    pub(super) fn at(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.0.get(&(file.name().to_owned(), path.to_vec())).map_or("", String::as_str)
    }
}

/// Lines as one text, paragraphs apart.
fn tidy(comment: &str) -> String {
    let mut text = String::new();
    for line in comment.lines().map(str::trim) {
        match (line.is_empty(), text.is_empty() || text.ends_with('\n')) {
            (true, true) => {}
            (true, false) => text.push_str("\n\n"),
            (false, true) => text.push_str(line),
            (false, false) => {
                text.push(' ');
                text.push_str(line);
            }
        }
    }
    text.trim_end().to_owned()
}

/// The first sentence.
pub(super) fn first_sentence(text: &str) -> &str {
    let end = text.find(". ").or_else(|| text.find(".\n")).or_else(|| text.find("; "));
    text[..end.unwrap_or(text.len())].trim_end_matches('.')
}

//! Protobuf fields, written as they come (Protocol Buffers, "Encoding"). Zero and empty values are left out, as
//! proto3 leaves them out.

const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// A message being written. Fields go in the order of their numbers, so that it has one form only.
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    /// No fields yet, and room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// A `string`.
    pub(crate) fn text(&mut self, field: u64, text: &str) {
        if !text.is_empty() {
            self.varint(field << 3 | LENGTH_DELIMITED);
            self.varint(text.len() as u64);
            self.0.extend_from_slice(text.as_bytes());
        }
    }

    /// A `uint32` or `uint64`, a `bool`, or an enum.
    pub(crate) fn number(&mut self, field: u64, number: impl Into<u64>) {
        let number = number.into();
        if number != 0 {
            self.told(field, number);
        }
    }

    /// An `int64`.
    pub(crate) fn signed(&mut self, field: u64, number: i64) {
        self.number(field, number.cast_unsigned());
    }

    /// A number whose field is `optional`, so that zero is told, too.
    pub(crate) fn told(&mut self, field: u64, number: impl Into<u64>) {
        self.varint(field << 3 | VARINT);
        self.varint(number.into());
    }

    /// A message within the message.
    pub(crate) fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        self.varint(field << 3 | LENGTH_DELIMITED);
        let begin = self.0.len();
        write(self);
        let end = self.0.len();
        self.varint((end - begin) as u64);
        // Its length stands before it, and is known only now.
        self.0[begin..].rotate_left(end - begin);
    }

    /// The message's bytes.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[derive(PartialEq, Message)]
    struct Outer {
        #[prost(uint32, tag = "1")]
        n: u32,
        #[prost(message, optional, tag = "2")]
        inner: Option<Inner>,
        #[prost(uint32, optional, tag = "3")]
        told: Option<u32>,
    }

    #[derive(PartialEq, Message)]
    struct Inner {
        #[prost(string, tag = "16")]
        text: String,
    }

    #[test]
    fn a_message_of_any_length_lies_behind_its_length() {
        for length in [0, 1, 125, 126, 127, 128, 16_383, 16_384, 70_000] {
            let text = "x".repeat(length);
            let mut fields = Fields::with_capacity(0);
            fields.number(1, 300_u32);
            fields.message(2, |inner| inner.text(16, &text));
            fields.told(3, 0_u32);
            let bytes = fields.into_bytes();
            let inner = Inner { text };
            assert_eq!(Outer::decode(&*bytes).unwrap(), Outer { n: 300, inner: Some(inner), told: Some(0) });
        }
    }
}

//! Builds GGUF files byte by byte.

/// A header under construction.
#[derive(Clone)]
pub(crate) struct Gguf {
    version: u32,
    pairs: u64,
    body: Vec<u8>,
}

impl Gguf {
    pub(crate) fn new() -> Self {
        Self { version: 3, pairs: 0, body: Vec::new() }
    }

    pub(crate) fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// A pair of any type, its value as bytes.
    pub(crate) fn raw(mut self, key: &str, value_type: u32, value: &[u8]) -> Self {
        self.pairs += 1;
        self.body.extend(text(key));
        self.body.extend(value_type.to_le_bytes());
        self.body.extend(value);
        self
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, 8, &text(value))
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    /// The file, with one (empty) tensor said to follow.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.with_pairs(self.pairs)
    }

    /// The file, with a number of pairs that may be a lie.
    pub(crate) fn with_pairs(&self, pairs: u64) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(1_u64.to_le_bytes());
        file.extend(pairs.to_le_bytes());
        file.extend(&self.body);
        file
    }
}

/// A string as the format has it.
pub(crate) fn text(value: &str) -> Vec<u8> {
    let mut bytes = (value.len() as u64).to_le_bytes().to_vec();
    bytes.extend(value.as_bytes());
    bytes
}

/// An array's value: its elements already encoded.
pub(crate) fn array(element_type: u32, count: u64, elements: &[u8]) -> Vec<u8> {
    let mut bytes = element_type.to_le_bytes().to_vec();
    bytes.extend(count.to_le_bytes());
    bytes.extend(elements);
    bytes
}

/// A small model as converters write it, the vocabulary before the file type.
pub(crate) fn llama() -> Gguf {
    Gguf::new()
        .text("general.architecture", "llama")
        .text("general.name", "Tiny")
        .u32("llama.context_length", 4096)
        .u32("llama.embedding_length", 64)
        .raw("tokenizer.ggml.tokens", 9, &array(8, 2, &[text("<s>"), text("</s>")].concat()))
        .raw("tokenizer.ggml.scores", 9, &array(6, 2, &[0; 8]))
        .raw("tokenizer.ggml.add_bos", 7, &[1])
        .u32("general.file_type", 15)
}

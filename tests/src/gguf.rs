//! Headers of model files.

/// A file of the format GGUF (version 3) that has these texts and numbers, and no tensors.
#[must_use]
pub fn header(texts: &[(&str, &str)], numbers: &[(&str, u32)]) -> Vec<u8> {
    const NUMBER: u32 = 4;
    const TEXT: u32 = 8;
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.extend(length(texts.len() + numbers.len()));
    for (key, value) in texts {
        file.extend(text(key));
        file.extend(TEXT.to_le_bytes());
        file.extend(text(value));
    }
    for (key, value) in numbers {
        file.extend(text(key));
        file.extend(NUMBER.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file
}

fn text(value: &str) -> Vec<u8> {
    [length(value.len()).as_slice(), value.as_bytes()].concat()
}

fn length(value: usize) -> [u8; 8] {
    u64::try_from(value).expect("a length").to_le_bytes()
}

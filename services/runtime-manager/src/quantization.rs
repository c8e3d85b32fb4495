//! How a model's weights are stored, from its header or else its name.

/// Set by llama.cpp in `general.file_type` when the type was guessed from the tensors.
const GUESSED: u64 = 1024;

/// The name of a `general.file_type`. None for one that is not known.
pub(crate) fn of_file_type(file_type: u64) -> Option<&'static str> {
    Some(match file_type & !GUESSED {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        19 => "IQ2_XXS",
        20 => "IQ2_XS",
        21 => "Q2_K_S",
        22 => "IQ3_XS",
        23 => "IQ3_XXS",
        24 => "IQ1_S",
        25 => "IQ4_NL",
        26 => "IQ3_S",
        27 => "IQ3_M",
        28 => "IQ2_S",
        29 => "IQ2_M",
        30 => "IQ4_XS",
        31 => "IQ1_M",
        32 => "BF16",
        36 => "TQ1_0",
        37 => "TQ2_0",
        38 => "MXFP4_MOE",
        39 => "NVFP4",
        40 => "Q1_0",
        _ => return None,
    })
}

/// What a name like `gemma-3-270m-q4_k_m` says, e.g. "Q4_K_M". The last word that tells counts.
pub(crate) fn of_name(name: &str) -> Option<String> {
    name.rsplit(['-', '.', '/', ' ']).map(str::to_ascii_uppercase).find(|word| is_quantization(word))
}

fn is_quantization(word: &str) -> bool {
    if matches!(word, "F32" | "F16" | "BF16" | "FP16" | "FP32" | "MXFP4" | "MXFP4_MOE" | "NVFP4") {
        return true;
    }
    let rest = ["IQ", "TQ", "Q"].iter().find_map(|prefix| word.strip_prefix(prefix));
    let Some(rest) = rest.and_then(|rest| rest.strip_prefix(|c: char| c.is_ascii_digit())) else {
        return false;
    };
    // Nothing more, as in "Q4", or parts like "_K_M", "_0", "_XXS".
    rest.is_empty() || rest.strip_prefix('_').is_some_and(|r| r.split('_').all(is_variant))
}

fn is_variant(part: &str) -> bool {
    (1..=3).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_types_have_their_names() {
        for (number, name) in
            [(0, Some("F32")), (15, Some("Q4_K_M")), (1024 + 7, Some("Q8_0")), (32, Some("BF16"))]
        {
            assert_eq!(of_file_type(number), name);
        }
        assert_eq!((of_file_type(4), of_file_type(9999), of_file_type(u64::MAX)), (None, None, None));
    }

    #[test]
    fn names_tell() {
        for (name, expected) in [
            ("gemma-3-270m-q4_k_m", Some("Q4_K_M")),
            ("llama-2-7b.Q8_0", Some("Q8_0")),
            ("UD-IQ2_XXS/deepseek", Some("IQ2_XXS")),
            ("qwen3-UD-Q4_K_XL", Some("Q4_K_XL")),
            ("phi-4-bf16", Some("BF16")),
            ("q8_0-was-made-from-f16", Some("F16")),
            ("qwen2.5-7b-instruct", None),
            ("Q-star-q_4", None),
            ("", None),
        ] {
            assert_eq!(of_name(name).as_deref(), expected, "{name}");
        }
    }
}

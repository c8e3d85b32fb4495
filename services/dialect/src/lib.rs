//! Wire dialects of language model APIs as pure functions

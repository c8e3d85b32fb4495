//! From files to models: parts that belong together are one.

use std::collections::BTreeMap;

use crate::folder::ModelFile;

/// Files of one model beyond this are not believed to be parts; large models have some dozens.
const MAX_PARTS: u32 = 1000;

/// A model's files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Without part number and ending.
    pub(crate) name: String,
    /// By part number, from 1. Never empty.
    pub(crate) parts: BTreeMap<u32, ModelFile>,
    /// How many parts there should be.
    pub(crate) part_count: u32,
}

impl Group {
    /// Numbers of the parts that are not there.
    pub(crate) fn missing(&self) -> Vec<u32> {
        (1..=self.part_count).filter(|part| !self.parts.contains_key(part)).collect()
    }

    /// The order of models: by name, and where names are alike, by first file.
    pub(crate) fn key(&self) -> (&str, &str) {
        (&self.name, self.parts.values().next().map_or("", |file| &file.name))
    }
}

/// Groups files, in the order of their models' keys.
pub(crate) fn group(files: Vec<ModelFile>) -> Vec<Group> {
    let mut groups: BTreeMap<(String, u32, String), Group> = BTreeMap::new();
    for file in files {
        let part = part_of(&file.name);
        // The ending as written is part of what belongs together, or `a.gguf` would replace `a.GGUF`.
        let key = (part.model.to_owned(), part.count, part.ending.to_owned());
        let group = groups.entry(key).or_insert_with(|| Group {
            name: part.model.to_owned(),
            parts: BTreeMap::new(),
            part_count: part.count,
        });
        let number = part.number;
        group.parts.insert(number, file);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by(|a, b| a.key().cmp(&b.key()));
    groups
}

/// What a file's name says of its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) model: &'a str,
    pub(crate) number: u32,
    pub(crate) count: u32,
    pub(crate) ending: &'a str,
}

/// Reads `<model>-00001-of-00003.gguf`; any other name is the only part of its model.
pub(crate) fn part_of(file: &str) -> Part<'_> {
    let (stem, ending) = file.rsplit_once('.').unwrap_or((file, ""));
    let read = || {
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (model, number) = rest.rsplit_once('-')?;
        let (number, count) = (five_digits(number)?, five_digits(count)?);
        let is_part = (1..=count).contains(&number) && count <= MAX_PARTS;
        let has_name = !model.is_empty() && !model.ends_with('/');
        (is_part && has_name).then_some(Part { model, number, count, ending })
    };
    read().unwrap_or(Part { model: stem, number: 1, count: 1, ending })
}

fn five_digits(text: &str) -> Option<u32> {
    let digits = text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> ModelFile {
        ModelFile { name: name.into(), path: name.into(), bytes: Ok(1) }
    }

    fn shape(names: &[&str]) -> Vec<(String, Vec<String>, u32, Vec<u32>)> {
        group(names.iter().map(|n| file(n)).collect())
            .into_iter()
            .map(|g| {
                let missing = g.missing();
                (g.name, g.parts.into_values().map(|f| f.name).collect(), g.part_count, missing)
            })
            .collect()
    }

    #[test]
    fn parts_become_one_model_in_their_order() {
        let found = shape(&["d/m-00003-of-00003.gguf", "z.gguf", "d/m-00001-of-00003.gguf"]);
        let parts = vec!["d/m-00001-of-00003.gguf".into(), "d/m-00003-of-00003.gguf".into()];
        assert_eq!(
            found,
            [("d/m".into(), parts, 3, vec![2]), ("z".into(), vec!["z.gguf".into()], 1, vec![])]
        );
    }

    #[test]
    fn models_of_the_same_name_stay_apart() {
        let names = ["a-00001-of-00002.gguf", "a-00001-of-00003.gguf", "a.GGUF", "a.gguf", "e/a.gguf"];
        let found: Vec<_> = shape(&names).into_iter().map(|g| g.1).collect();
        assert_eq!(found, names.map(|n| vec![n.to_owned()]));
    }

    #[test]
    fn odd_names_are_single_files() {
        for name in [
            "-00001-of-00002.gguf",
            "d/-00001-of-00002.gguf",
            "m-1-of-2.gguf",
            "m-00000-of-00002.gguf",
            "m-00003-of-00002.gguf",
            "m-00001-of-09999.gguf",
            "m-+0001-of-00002.gguf",
            "m-of-.gguf",
            ".gguf",
        ] {
            let part = part_of(name);
            assert_eq!((part.number, part.count, part.model), (1, 1, &name[..name.len() - 5]), "{name}");
        }
    }
}

use std::path::Path;

use super::*;
use crate::folder::ModelFolder;
use crate::group::group;
use crate::testing::{Gguf, llama};

type Files<'a> = &'a [(&'a str, Vec<u8>)];

fn describe_all(files: Files<'_>) -> Vec<LocalModel> {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    describe_dir(dir.path())
}

fn describe_dir(dir: &Path) -> Vec<LocalModel> {
    let files = ModelFolder::Configured(dir.to_owned()).files().unwrap();
    group(files).iter().map(describe).collect()
}

fn tiny(name: &str, files: &[&str], size: usize) -> LocalModel {
    LocalModel {
        name: name.into(),
        files: files.iter().map(|f| (*f).to_owned()).collect(),
        size_bytes: size as u64,
        architecture: "llama".into(),
        title: "Tiny".into(),
        context_tokens: 4096,
        embedding_length: 64,
        quantization: "Q4_K_M".into(),
        part_count: 1,
        ..LocalModel::default()
    }
}

#[test]
fn a_single_file_is_described_from_its_header() {
    let file = llama().bytes();
    let size = file.len();
    assert_eq!(describe_all(&[("m-q8_0.gguf", file)]), [tiny("m-q8_0", &["m-q8_0.gguf"], size)]);
}

#[test]
fn the_name_tells_what_the_header_does_not() {
    let bare = Gguf::new().text("general.architecture", "llama");
    let strange = bare.clone().u32("general.file_type", 999);
    for file in [bare, strange] {
        assert_eq!(describe_all(&[("m-q8_0.gguf", file.bytes())])[0].quantization, "Q8_0");
        assert_eq!(describe_all(&[("m.gguf", file.bytes())])[0].quantization, "");
    }
}

#[test]
fn parts_are_one_model_and_missing_ones_are_named() {
    let first = llama().u32("split.count", 3).bytes();
    let part = Gguf::new().u32("split.count", 3).bytes();
    let names = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];
    let files = [(names[0], first.clone()), (names[1], part.clone()), (names[2], part.clone())];
    let whole = LocalModel { part_count: 3, ..tiny("m", &names, first.len() + 2 * part.len()) };
    assert_eq!(describe_all(&files), std::slice::from_ref(&whole));

    let without_last = LocalModel {
        files: whole.files[..2].to_vec(),
        size_bytes: (first.len() + part.len()) as u64,
        missing_parts: vec![3],
        problem: "of its 3 parts these are missing: 3".into(),
        ..whole
    };
    assert_eq!(describe_all(&files[..2]), [without_last]);

    let last_alone = &describe_all(&files[2..])[0];
    assert_eq!(last_alone.missing_parts, [1, 2]);
    assert_eq!(last_alone.problem, "of its 3 parts these are missing: 1, 2");
}

#[test]
fn what_is_broken_is_listed_with_its_problem() {
    let split = llama().u32("split.count", 3).bytes();
    let part = |n: u32| format!("p-0000{n}-of-00002.gguf");
    let cases: [(Files<'_>, &str); 6] = [
        (&[("m.gguf", b"hello, world".to_vec())], "not a GGUF file"),
        (&[("m.gguf", Vec::new())], "the file ends within its header"),
        (&[("m.gguf", split)], "its header and its name do not tell the same number of parts"),
        (&[("m.gguf", Gguf::new().bytes())], "its header does not name an architecture"),
        (&[(&part(1), llama().bytes()), (&part(2), b"short".to_vec())], "part 2: not a GGUF file"),
        (&[(&part(1), Vec::new()), (&part(2), Vec::new())], "part 1: the file ends within its header"),
    ];
    for (files, problem) in cases {
        let models = describe_all(files);
        assert_eq!((models.len(), models[0].problem.as_str()), (1, problem));
        assert_eq!(models[0].size_bytes, files.iter().map(|f| f.1.len() as u64).sum::<u64>());
    }
}

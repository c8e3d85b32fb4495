//! One model's row: what its files and its header say.

use std::fs::File;

use headgate_proto::runtime::v1::LocalModel;

use crate::folder::ModelFile;
use crate::gguf::{self, GgufError, Header};
use crate::group::Group;
use crate::quantization;

#[cfg(test)]
mod tests;

/// Part numbers that a problem names before it stops counting them up.
const NAMED_PARTS: usize = 10;

/// Reads what is needed of the model's files. Blocks.
pub(crate) fn describe(group: &Group) -> LocalModel {
    let mut model = outline(group);
    match header(group) {
        Ok(header) => {
            model.problem = problem(group, &header).unwrap_or_default();
            fill(&mut model, header);
        }
        Err(problem) => model.problem = problem,
    }
    model
}

/// What is known without opening a file.
fn outline(group: &Group) -> LocalModel {
    LocalModel {
        name: group.name.clone(),
        files: group.parts.values().map(|f| f.name.clone()).collect(),
        size_bytes: group.parts.values().filter_map(|f| f.bytes.as_ref().ok()).sum(),
        quantization: quantization::of_name(&group.name).unwrap_or_default(),
        part_count: group.part_count,
        missing_parts: group.missing(),
        ..LocalModel::default()
    }
}

fn fill(model: &mut LocalModel, header: Header) {
    if let Some(name) = header.file_type.and_then(quantization::of_file_type) {
        name.clone_into(&mut model.quantization);
    }
    model.architecture = header.architecture;
    model.title = header.name;
    model.context_tokens = header.context_length.unwrap_or(0);
    model.embedding_length = header.embedding_length.unwrap_or(0);
}

/// Only the first part's header describes the model.
fn header(group: &Group) -> Result<Header, String> {
    match group.parts.get(&1) {
        Some(first) => open(first, gguf::read).map_err(|problem| in_part(group, 1, &problem)),
        None => Err(missing(group).unwrap_or_default()),
    }
}

/// What keeps a model with a good header from being used.
fn problem(group: &Group, header: &Header) -> Option<String> {
    if let Some(missing) = missing(group) {
        return Some(missing);
    }
    if header.split_count.is_some_and(|count| count > 1 && count != u64::from(group.part_count)) {
        return Some("its header and its name do not tell the same number of parts".to_owned());
    }
    if header.architecture.is_empty() {
        return Some("its header does not name an architecture".to_owned());
    }
    group.parts.iter().skip(1).find_map(|(number, file)| {
        let cause = open(file, gguf::read_preamble).err()?;
        Some(in_part(group, *number, &cause))
    })
}

fn missing(group: &Group) -> Option<String> {
    let missing = group.missing();
    let named: Vec<_> = missing.iter().take(NAMED_PARTS).map(u32::to_string).collect();
    let more = if missing.len() > NAMED_PARTS { " and more" } else { "" };
    let count = group.part_count;
    (!missing.is_empty())
        .then(|| format!("of its {count} parts these are missing: {}{more}", named.join(", ")))
}

fn in_part(group: &Group, number: u32, problem: &str) -> String {
    if group.part_count == 1 { problem.to_owned() } else { format!("part {number}: {problem}") }
}

fn open<T>(file: &ModelFile, read: impl FnOnce(File, u64) -> Result<T, GgufError>) -> Result<T, String> {
    let bytes = file.bytes.clone()?;
    let opened = File::open(&file.path).map_err(|cause| GgufError::Io(cause.kind()).to_string())?;
    read(opened, bytes).map_err(|cause| cause.to_string())
}

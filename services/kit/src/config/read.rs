//! Reads a tree of values, and finds every fault of it.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Deserializer, Path, Segment, Track};

use super::{Problem, redact};

/// One step from a value to one within it.
enum Step {
    Key(String),
    Index(usize),
}

/// What was taken out, by the paths it had at first.
#[derive(Default)]
struct Taken {
    paths: Vec<String>,
    /// Items of lists: the list's path and the item's index. Later items have moved up since.
    items: BTreeSet<(String, usize)>,
}

/// Reads `value`, taking out one fault after the other until what is left can be read: so all of them are known.
pub(super) fn read<T: DeserializeOwned>(
    mut value: Value,
    judge: impl FnOnce(&T, &[String]) -> Vec<Problem>,
) -> Result<T, Vec<Problem>> {
    let (mut problems, mut taken) = (Vec::new(), Taken::default());
    loop {
        let (mut unknown, mut track) = (Vec::new(), Track::new());
        let tracked = Deserializer::new(&value, &mut track);
        let read: Result<T, _> = serde_ignored::deserialize(tracked, |path| unknown.push(path.to_string()));
        match read {
            Ok(config) => {
                problems.extend(unknown.into_iter().map(|path| Problem::new(path, "unknown key")));
                // What was taken out has its default now, so this judges the rest.
                let judged = judge(&config, &taken.paths).into_iter();
                problems.extend(judged.map(|p| Problem { path: taken.original(&p.path), ..p }));
                if problems.is_empty() {
                    return Ok(config);
                }
                break;
            }
            Err(error) => {
                let mut steps = steps(&track.path());
                problems.extend(fault(&value, &mut steps, &taken, &error.to_string()));
                if !remove(&mut value, &steps) {
                    break;
                }
                taken.add(taken.original(&render(&steps)));
            }
        }
    }
    problems.sort();
    problems.dedup();
    Err(problems)
}

/// What to say of a fault, and in `steps` what to take out. Nothing is said of a field that is missing only because
/// it was taken out.
fn fault(value: &Value, steps: &mut Vec<Step>, taken: &Taken, message: &str) -> Option<Problem> {
    let path = taken.original(&render(steps));
    if let Some(key) = unknown_field(message) {
        return Some(unknown(value, steps, taken, key));
    }
    let was_taken = |field| taken.paths.contains(&join(&path, field));
    if redact::missing_field(message).is_some_and(was_taken) {
        return None;
    }
    let message = redact::message(&path, at(value, steps), message);
    Some(Problem { path, message })
}

/// An unknown key of a strict section is reported at the section or at the key: name the key itself.
fn unknown(value: &Value, steps: &mut Vec<Step>, taken: &Taken, key: &str) -> Problem {
    let at_section = at(value, steps).is_some_and(|section| section.get(key).is_some());
    if !at_section {
        steps.pop();
    }
    let section = taken.original(&render(steps));
    steps.push(Step::Key(key.to_owned()));
    Problem::new(join(&section, redact::name(&section, key)), "unknown key")
}

fn unknown_field(message: &str) -> Option<&str> {
    let (key, _) = message.strip_prefix("unknown field `")?.rsplit_once("`, ")?;
    // The keys that are known are quoted likewise.
    Some(key.split_once("`, expected ").map_or(key, |(key, _)| key))
}

fn steps(path: &Path) -> Vec<Step> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// As `a.b[0].c`.
fn render(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |path, step| match step {
        Step::Key(key) => join(&path, key),
        Step::Index(index) => format!("{path}[{index}]"),
    })
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn at<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |at, step| match step {
        Step::Key(key) => at.get(key),
        Step::Index(index) => at.get(index),
    })
}

/// Takes a value out. False when there is none.
fn remove(value: &mut Value, steps: &[Step]) -> bool {
    let Some((last, parents)) = steps.split_last() else { return false };
    let parent = parents.iter().try_fold(value, |at, step| match step {
        Step::Key(key) => at.get_mut(key),
        Step::Index(index) => at.get_mut(index),
    });
    match (parent, last) {
        (Some(Value::Object(map)), Step::Key(key)) => map.remove(key).is_some(),
        (Some(Value::Array(list)), Step::Index(index)) if *index < list.len() => {
            list.remove(*index);
            true
        }
        _ => false,
    }
}

impl Taken {
    fn add(&mut self, path: String) {
        let item = path.strip_suffix(']').and_then(|path| path.rsplit_once('['));
        if let Some((list, index)) = item
            && let Ok(index) = index.parse()
        {
            self.items.insert((list.to_owned(), index));
        }
        self.paths.push(path);
    }

    /// The path that a value had before anything was taken out.
    fn original(&self, path: &str) -> String {
        let (mut original, mut rest) = (String::new(), path);
        while let Some((before, after)) = rest.split_once('[') {
            original.push_str(before);
            let item = after.split_once(']').and_then(|(i, tail)| Some((i.parse::<usize>().ok()?, tail)));
            let Some((mut index, tail)) = item else {
                original.push('[');
                rest = after;
                continue;
            };
            for (_, gone) in self.items.iter().filter(|(list, _)| *list == original) {
                index += usize::from(*gone <= index);
            }
            original.push_str(&format!("[{index}]"));
            rest = tail;
        }
        original + rest
    }
}

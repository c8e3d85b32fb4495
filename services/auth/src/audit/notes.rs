//! What a change tells of things, gathered while it is made. Pure.

use headgate_access::Author;
use headgate_audit::{Entry, Shown, Thing};

/// What changes with every change of a thing, whatever else does.
const ETAG: &str = "etag";

/// One note for each thing.
#[derive(Default)]
pub(crate) struct Notes(Vec<Note>);

struct Note {
    thing: Thing,
    before: Option<Shown>,
    after: Option<Shown>,
    /// Told even where nothing shows.
    done: bool,
}

impl Notes {
    /// A thing became another. Of several steps only the first and the last state are told.
    pub(crate) fn became(&mut self, thing: Thing, before: Option<Shown>, after: Option<Shown>) {
        match self.0.iter_mut().find(|note| note.thing == thing) {
            Some(note) => note.after = after,
            None => self.0.push(Note { thing, before, after, done: false }),
        }
    }

    /// Something was done with a thing.
    pub(crate) fn did(&mut self, thing: Thing) {
        match self.0.iter_mut().find(|note| note.thing == thing) {
            Some(note) => note.done = true,
            None => self.0.push(Note { thing, before: None, after: None, done: true }),
        }
    }

    pub(crate) fn entries(self, by: &Author, now_ms: i64) -> impl Iterator<Item = Entry> {
        self.0.into_iter().filter_map(move |Note { thing, before, after, done }| {
            let bare = |shown: &Option<Shown>| shown.clone().map(|shown| shown.without(ETAG));
            if bare(&before) != bare(&after) {
                return Entry::of_change(by, now_ms, thing, before, after);
            }
            done.then(|| Entry::of_deed(by, now_ms, thing))
        })
    }
}

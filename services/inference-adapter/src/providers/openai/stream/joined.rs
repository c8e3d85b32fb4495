//! Joins events of one read without copying where they lie side by side.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Events joined so far.
#[derive(Default)]
pub(super) enum Joined {
    /// None.
    #[default]
    None,
    /// A range of the read.
    Run(Range<usize>),
    /// One that spans reads and so lies elsewhere.
    One(Bytes),
    /// Several that do not lie side by side.
    Copied(BytesMut),
}

impl Joined {
    /// Adds an event behind the others.
    pub(super) fn add(&mut self, read: &Bytes, event: Bytes) {
        *self = match (std::mem::take(self), place(read, &event)) {
            (Self::None, Some(place)) => Self::Run(place),
            (Self::None, None) => Self::One(event),
            (Self::Run(run), Some(place)) if run.end == place.start => Self::Run(run.start..place.end),
            (Self::Run(run), _) => Self::copied(read.get(run).unwrap_or_default(), &event),
            (Self::One(one), _) => Self::copied(&one, &event),
            (Self::Copied(mut all), _) => {
                all.extend_from_slice(&event);
                Self::Copied(all)
            }
        };
    }

    /// All events in one piece; `None` when there are none.
    pub(super) fn finish(self, read: Bytes) -> Option<Bytes> {
        match self {
            Self::None => None,
            // Most reads are whole events and nothing else.
            Self::Run(run) if run.len() == read.len() => Some(read),
            Self::Run(run) => Some(read.slice(run)),
            Self::One(one) => Some(one),
            Self::Copied(all) => Some(all.freeze()),
        }
    }

    fn copied(first: &[u8], second: &[u8]) -> Self {
        let mut all = BytesMut::with_capacity(first.len() + second.len());
        all.extend_from_slice(first);
        all.extend_from_slice(second);
        Self::Copied(all)
    }
}

/// Where in `read` the event lies, if it is a slice of it.
fn place(read: &Bytes, event: &Bytes) -> Option<Range<usize>> {
    let start = event.as_ptr().addr().checked_sub(read.as_ptr().addr())?;
    let end = start.checked_add(event.len())?;
    (end <= read.len()).then_some(start..end)
}

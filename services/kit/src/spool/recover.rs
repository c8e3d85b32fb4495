//! Reading back what an earlier process left.

use std::collections::HashMap;
use std::fs::File;
use std::io;

use bytes::Bytes;
use uuid::Uuid;

use super::OpenEntry;
use super::dir::{self, Dir};
use super::frame::{Frame, Kind};
use super::frames::{Frames, Next};
use super::segment::Segment;

/// What was found in the segments.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// Oldest first.
    pub(super) segments: Vec<Segment>,
    entries: HashMap<Uuid, Found>,
    begun: u64,
}

#[derive(Debug)]
struct Found {
    order: u64,
    segment: u64,
    begun: Bytes,
    note: Option<Bytes>,
}

impl Recovered {
    /// Reads every segment and cuts what is torn off the last one.
    pub(super) fn read(dir: &Dir) -> io::Result<Self> {
        let mut recovered = Self::default();
        let found = dir.segments()?;
        for (index, (number, base)) in found.iter().enumerate() {
            let is_last = index + 1 == found.len();
            let segment = recovered.segment(dir, Segment::new(*number, *base), is_last)?;
            recovered.segments.push(segment);
        }
        for found in recovered.entries.values() {
            if let Some(segment) = recovered.segments.iter_mut().find(|s| s.number == found.segment) {
                segment.open += 1;
            }
        }
        Ok(recovered)
    }

    fn segment(&mut self, dir: &Dir, mut segment: Segment, is_last: bool) -> io::Result<Segment> {
        let path = dir.segment(segment.number, segment.base);
        segment.bytes = std::fs::metadata(&path)?.len();
        let mut frames = Frames::new(File::open(&path)?, segment.bytes);
        let intact = loop {
            match frames.next()? {
                Next::Frame(frame) => self.frame(frame, &mut segment),
                Next::End => break true,
                Next::Corrupt => break false,
            }
        };
        segment.readable = frames.offset();
        let lost_bytes = segment.bytes - segment.readable;
        if !intact && is_last {
            tracing::warn!(segment = %path.display(), lost_bytes, "spool tail was torn and is cut off");
            let file = dir::writable(&path)?;
            file.set_len(segment.readable)?;
            file.sync_all()?;
            segment.bytes = segment.readable;
        } else if !intact {
            let offset = segment.readable;
            tracing::error!(segment = %path.display(), offset, lost_bytes, "spool segment is corrupt, its rest is lost");
        }
        Ok(segment)
    }

    // Payloads are copied: a slice would keep the whole chunk it was read with.
    fn frame(&mut self, frame: Frame, segment: &mut Segment) {
        match frame.kind {
            Kind::Begin => {
                self.begun += 1;
                let begun = Bytes::copy_from_slice(&frame.payload);
                let found = Found { order: self.begun, segment: segment.number, begun, note: None };
                self.entries.insert(frame.key, found);
            }
            Kind::Note => {
                if let Some(found) = self.entries.get_mut(&frame.key) {
                    found.note = Some(Bytes::copy_from_slice(&frame.payload));
                }
            }
            Kind::End => {
                segment.ends += 1;
                self.entries.remove(&frame.key);
            }
            Kind::Cancel => {
                self.entries.remove(&frame.key);
            }
        }
    }

    /// The number of the last outcome.
    pub(super) fn last(&self) -> u64 {
        self.segments.last().map_or(0, Segment::last)
    }

    /// The segment that each open entry began in.
    pub(super) fn began_in(&self) -> foldhash::HashMap<Uuid, u64> {
        self.entries.iter().map(|(key, found)| (*key, found.segment)).collect()
    }

    /// The open entries in the order they began.
    pub(super) fn into_open(self) -> Vec<OpenEntry> {
        let mut entries: Vec<_> = self.entries.into_iter().collect();
        entries.sort_unstable_by_key(|(_, found)| found.order);
        entries
            .into_iter()
            .map(|(key, found)| OpenEntry { key, begun: found.begun, note: found.note })
            .collect()
    }
}

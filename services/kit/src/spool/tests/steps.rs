//! Several writers at once, step by step: their writes come in any order, fail, stop half-way or never come.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::spool::append::Place;
use crate::spool::frame::{self, Kind};

#[derive(Clone, Debug)]
enum Op {
    /// A thread gets a place for its record, and the lock is free again.
    Accept(Kind, u128, usize),
    /// One that has a place writes: all of it, or a part.
    Write { who: usize, part: Option<usize> },
    /// One is back from writing; if it has not written all, its write has failed.
    Finish { who: usize },
    /// The process dies.
    Kill,
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![3 => Just(Kind::Begin), 1 => Just(Kind::Note), 3 => Just(Kind::End), 1 => Just(Kind::Cancel)];
    let who = 0..4_usize;
    prop_oneof![
        8 => (kind, 0..5_u128, 0..90_usize).prop_map(|(kind, n, size)| Op::Accept(kind, n, size)),
        6 => who.clone().prop_map(|who| Op::Write { who, part: None }),
        1 => (who.clone(), 1..200_usize).prop_map(|(who, part)| Op::Write { who, part: Some(part) }),
        7 => who.prop_map(|who| Op::Finish { who }),
        1 => Just(Op::Kill),
    ]
}

/// A record that was accepted.
#[derive(Clone)]
struct Record {
    kind: Kind,
    key: Uuid,
    payload: Bytes,
}

/// A thread between its place and its return.
struct Writer {
    place: Place,
    frame: Vec<u8>,
    /// Which of the records accepted is its own.
    index: usize,
    written: bool,
    failed: bool,
}

struct Run {
    dir: TempDir,
    spool: Spool,
    writers: Vec<Writer>,
    accepted: Vec<Record>,
    /// How many of those, the oldest, are there for sure.
    known: usize,
    count: u64,
}

/// What the first records make: the outcomes, and the keys left open.
fn replay(records: &[Record]) -> (Vec<Bytes>, Vec<Uuid>) {
    let (mut outcomes, mut open) = (Vec::new(), Vec::new());
    for record in records {
        match record.kind {
            Kind::Begin => open.push(record.key),
            Kind::Note => {}
            Kind::Cancel => open.retain(|key| *key != record.key),
            Kind::End => {
                open.retain(|key| *key != record.key);
                outcomes.push(record.payload.clone());
            }
        }
    }
    (outcomes, open)
}

fn outcomes(spool: &Spool) -> Vec<Bytes> {
    let mut reader = spool.reader("ledger").unwrap();
    reader.next(usize::MAX).now_or_never().map_or_else(Vec::new, |batch| batch.unwrap().0)
}

impl Run {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let (spool, _) = reopen(&dir);
        // Open until the end, so that no segment goes and sizes can be added up.
        let pin = Record { kind: Kind::Begin, key: key(100), payload: Bytes::new() };
        spool.begin(pin.key, &pin.payload).unwrap();
        Self { dir, spool, writers: Vec::new(), accepted: vec![pin], known: 1, count: 0 }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Accept(kind, n, size) => self.accept(kind, key(n), size),
            Op::Write { who, part } => self.write(who, part),
            Op::Finish { who } => self.finish(who),
            Op::Kill => self.kill(),
        }
    }

    fn accept(&mut self, kind: Kind, key: Uuid, size: usize) {
        let mut log = self.spool.0.log.lock();
        if !log.accepts() {
            assert!(self.writers.iter().any(|writer| writer.failed), "somebody is waited for");
            return;
        }
        self.count += 1;
        let mut payload = self.count.to_le_bytes().to_vec();
        payload.resize(8 + size, 0xEE);
        let frame = frame::encode(kind, key, &payload);
        let is_open = replay(&self.accepted).1.contains(&key);
        match log.accept(kind, key, &frame) {
            Ok(Some(place)) => {
                assert!(kind == Kind::End || is_open != (kind == Kind::Begin));
                let index = self.accepted.len();
                self.writers.push(Writer { place, frame, index, written: false, failed: false });
                self.accepted.push(Record { kind, key, payload: payload.into() });
            }
            Ok(None) => assert!(matches!(kind, Kind::Note | Kind::Cancel) && !is_open),
            Err(SpoolError::AlreadyOpen(_)) => assert!(kind == Kind::Begin && is_open),
            Err(other) => panic!("{other}"),
        }
    }

    fn write(&mut self, who: usize, part: Option<usize>) {
        let Some(writer) = self.writers.get_mut(who).filter(|writer| !writer.failed) else { return };
        let Some(part) = part else {
            writer.place.write(&writer.frame).unwrap();
            writer.written = true;
            return;
        };
        let bytes = writer.place.along.as_deref().unwrap_or(&writer.frame);
        let file = Arc::clone(&writer.place.file);
        let part = Place { file, along: Some(bytes[..part.min(bytes.len())].to_vec()), ..writer.place };
        part.write(&[]).unwrap();
    }

    fn finish(&mut self, who: usize) {
        let Some(writer) = self.writers.get_mut(who).filter(|writer| !writer.failed) else { return };
        let mut log = self.spool.0.log.lock();
        log.finished(&writer.place, writer.written);
        if writer.written {
            self.known = self.known.max(writer.index + 1);
            self.writers.remove(who);
        } else {
            writer.failed = true;
        }
        drop(log);
        self.learn();
    }

    /// Those whose write failed ask what became of their records, in any order.
    fn learn(&mut self) {
        self.check_known();
        if self.writers.iter().any(|writer| !writer.failed) {
            for writer in self.writers.iter().filter(|writer| writer.failed) {
                assert_eq!(self.spool.0.log.lock().learn(&writer.place), None, "others may have it too");
            }
            return;
        }
        for writer in self.writers.drain(..).rev() {
            let there = self.spool.0.log.lock().learn(&writer.place);
            assert_eq!(there, Some(writer.index < self.known));
        }
        self.accepted.truncate(self.known);
        assert_eq!(self.spool.size_bytes(), size_on_disk(&self.dir), "what was given up is cut off");
        assert!(self.spool.0.log.lock().accepts());
    }

    /// Sealing a segment may have made more known than the writers could.
    fn check_known(&mut self) {
        let mut size = self.spool.size_bytes();
        let mut known = 0;
        while size > 0 {
            size -= 25 + self.accepted[known].payload.len() as u64;
            known += 1;
        }
        assert!(known >= self.known, "who is back has its record made known");
        self.known = known;
        let (expected, open) = replay(&self.accepted[..known]);
        assert_eq!(outcomes(&self.spool), expected);
        assert_eq!(self.spool.open_entries(), open.len());
    }

    /// What is found again is what was accepted first: all that is known, and perhaps a little more.
    fn kill(&mut self) {
        self.check_known();
        self.writers.clear();
        let other = TempDir::new().unwrap();
        self.spool = reopen(&other).0;
        let (spool, open) = reopen(&self.dir);
        let found = (outcomes(&spool), open.iter().map(|entry| entry.key).collect::<Vec<_>>());
        let is_found = |n: &usize| replay(&self.accepted[..*n]) == found;
        let size = spool.size_bytes();
        let length = |n: &usize| -> u64 {
            self.accepted[..*n].iter().map(|record| 25 + record.payload.len() as u64).sum()
        };
        self.known = (self.known..=self.accepted.len()).find(|n| is_found(n) && length(n) == size).unwrap();
        self.accepted.truncate(self.known);
        self.spool = spool;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_order_of_the_writes_a_prefix_is_there_with_all_that_is_known(
        ops in proptest::collection::vec(op(), 1..120)
    ) {
        let mut run = Run::new();
        for op in &ops {
            run.apply(op);
            run.check_known();
        }
        run.kill();
    }
}

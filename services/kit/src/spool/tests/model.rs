//! Random sequences of calls, against a model that fits on a page.

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 2] = ["ledger", "spend"];

#[derive(Clone, Debug)]
enum Op {
    Begin(u128, usize),
    Note(u128, usize),
    End(u128, usize),
    Cancel(u128),
    Read { consumer: usize, max: usize },
    Ack { consumer: usize },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let (key, size) = (0..12_u128, 0..90_usize);
    prop_oneof![
        6 => (key.clone(), size.clone()).prop_map(|(k, s)| Op::Begin(k, s)),
        3 => (key.clone(), size.clone()).prop_map(|(k, s)| Op::Note(k, s)),
        6 => (key.clone(), size).prop_map(|(k, s)| Op::End(k, s)),
        3 => key.prop_map(Op::Cancel),
        4 => (0..2_usize, 1..9_usize).prop_map(|(consumer, max)| Op::Read { consumer, max }),
        3 => (0..2_usize).prop_map(|consumer| Op::Ack { consumer }),
        1 => Just(Op::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    open: Vec<OpenEntry>,
    outcomes: Vec<Bytes>,
    /// How many outcomes each consumer has read and acknowledged.
    read: [usize; 2],
    acked: [usize; 2],
}

impl Model {
    fn find(&mut self, n: u128) -> Option<&mut OpenEntry> {
        self.open.iter_mut().find(|entry| entry.key == key(n))
    }
}

struct Run {
    dir: TempDir,
    spool: Spool,
    readers: [Reader; 2],
    positions: [u64; 2],
    model: Model,
    written: u64,
}

impl Run {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let (spool, _) = reopen(&dir);
        let readers = NAMES.map(|name| spool.reader(name).unwrap());
        Self { dir, spool, readers, positions: [0; 2], model: Model::default(), written: 0 }
    }

    /// A record unlike any before it.
    fn record(&mut self, size: usize) -> Bytes {
        self.written += 1;
        let mut record = self.written.to_le_bytes().to_vec();
        record.resize(8 + size, 0xEE);
        record.into()
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Begin(n, size) => self.begin(n, size),
            Op::Note(n, size) => {
                let record = self.record(size);
                self.spool.note(key(n), &record).unwrap();
                if let Some(entry) = self.model.find(n) {
                    entry.note = Some(record);
                }
            }
            Op::End(n, size) => {
                let record = self.record(size);
                self.spool.end(key(n), &record).unwrap();
                self.model.open.retain(|entry| entry.key != key(n));
                self.model.outcomes.push(record);
            }
            Op::Cancel(n) => {
                self.spool.cancel(key(n)).unwrap();
                self.model.open.retain(|entry| entry.key != key(n));
            }
            Op::Read { consumer, max } => self.read(consumer, max),
            Op::Ack { consumer } => {
                self.readers[consumer].ack(self.positions[consumer]).unwrap();
                self.model.acked[consumer] = self.model.read[consumer];
            }
            Op::Reopen => self.reopen(),
        }
    }

    fn begin(&mut self, n: u128, size: usize) {
        let record = self.record(size);
        match self.spool.begin(key(n), &record) {
            Ok(()) => {
                assert!(self.model.find(n).is_none());
                self.model.open.push(OpenEntry { key: key(n), begun: record, note: None });
            }
            Err(SpoolError::AlreadyOpen(_)) => assert!(self.model.find(n).is_some()),
            Err(other) => panic!("{other}"),
        }
    }

    fn read(&mut self, consumer: usize, max: usize) {
        let from = self.model.read[consumer];
        let expected = &self.model.outcomes[from..self.model.outcomes.len().min(from.saturating_add(max))];
        match self.readers[consumer].next(max).now_or_never() {
            Some(batch) => {
                let (records, position) = batch.unwrap();
                assert_eq!(records, expected);
                self.positions[consumer] = position;
                self.model.read[consumer] += records.len();
            }
            None => assert!(expected.is_empty()),
        }
    }

    fn reopen(&mut self) {
        // Files are all there is between two processes: what is dropped here writes nothing.
        let other = TempDir::new().unwrap();
        let (away, _) = reopen(&other);
        self.readers = NAMES.map(|name| away.reader(name).unwrap());
        self.spool = away;
        let (spool, open) = reopen(&self.dir);
        assert_eq!(open, self.model.open);
        self.readers = NAMES.map(|name| spool.reader(name).unwrap());
        self.spool = spool;
        self.model.read = self.model.acked;
        self.positions = [0; 2];
    }

    fn check(&mut self) {
        for (consumer, reader) in self.readers.iter().enumerate() {
            assert_eq!(reader.lag(), (self.model.outcomes.len() - self.model.acked[consumer]) as u64);
        }
        assert_eq!(self.spool.open_entries(), self.model.open.len());
        assert_eq!(self.spool.size_bytes(), size_on_disk(&self.dir));
        assert!(self.spool.size_bytes() > 0 || self.written == 0 || segments(&self.dir).len() == 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_spool_does_what_the_model_does(ops in proptest::collection::vec(op(), 1..150)) {
        let mut run = Run::new();
        for op in &ops {
            run.apply(op);
            run.check();
        }
        run.reopen();
        for consumer in 0..2 {
            run.read(consumer, usize::MAX);
        }
        run.check();
        // With nothing open and all acknowledged, one segment is left.
        for n in 0..12 {
            run.apply(&Op::End(n, 1));
        }
        for consumer in 0..2 {
            run.read(consumer, usize::MAX);
            run.apply(&Op::Ack { consumer });
        }
        run.check();
        assert_eq!(segments(&run.dir).len(), 1);
    }
}

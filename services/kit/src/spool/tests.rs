//! The spool as its owner and its consumers see it, over reopening and damage.

mod damage;
mod model;
mod rest;
mod steps;
mod threads;
mod writers;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

fn options(dir: &Path) -> Options {
    Options {
        dir: dir.join("spool"),
        segment_bytes: 256,
        cap_bytes: 1 << 20,
        consumers: vec!["ledger".into(), "spend".into()],
    }
}

fn reopen(dir: &TempDir) -> (Spool, Vec<OpenEntry>) {
    open_again(options(dir.path()))
}

/// Opens a spool that was closed just now. A test that starts a process holds the locks of all others for a moment,
/// through the files that the new process inherits until it runs its program.
fn open_again(options: Options) -> (Spool, Vec<OpenEntry>) {
    for _ in 0..1000 {
        match Spool::open(options.clone()) {
            Err(SpoolError::Locked(_)) => std::thread::sleep(Duration::from_millis(5)),
            opened => return opened.unwrap(),
        }
    }
    panic!("the spool is still locked")
}

fn key(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn entry(n: u128, begun: &'static str, note: Option<&'static str>) -> OpenEntry {
    OpenEntry { key: key(n), begun: begun.into(), note: note.map(Bytes::from) }
}

/// Writes whole entries, each with its number as the outcome.
fn work(spool: &Spool, numbers: std::ops::Range<u128>) {
    for n in numbers {
        spool.begin(key(n), b"begun").unwrap();
        spool.end(key(n), n.to_string().as_bytes()).unwrap();
    }
}

/// What a reader has for us without waiting, as the numbers that `work` wrote, and the position after it.
fn take(reader: &mut Reader, max: usize) -> (Vec<u128>, u64) {
    let (records, position) = match reader.next(max).now_or_never() {
        Some(batch) => batch.unwrap(),
        None => (Vec::new(), 0),
    };
    (records.iter().map(|r| std::str::from_utf8(r).unwrap().parse().unwrap()).collect(), position)
}

/// The segment files, oldest first.
fn segments(dir: &TempDir) -> Vec<PathBuf> {
    let mut all: Vec<_> =
        fs::read_dir(dir.path().join("spool")).unwrap().map(|e| e.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "seg1"));
    all.sort();
    all
}

fn size_on_disk(dir: &TempDir) -> u64 {
    segments(dir).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn what_was_left_open_comes_back_in_order_with_its_last_note() {
    let dir = TempDir::new().unwrap();
    let (spool, open) = reopen(&dir);
    assert_eq!(open, []);
    for n in [3, 1, 2] {
        spool.begin(key(n), b"begun").unwrap();
    }
    spool.note(key(1), b"first").unwrap();
    spool.note(key(1), b"last").unwrap();
    spool.end(key(2), b"2").unwrap();
    spool.note(key(2), b"too late").unwrap();
    drop(spool);
    let left = [entry(3, "begun", None), entry(1, "begun", Some("last"))];
    for _ in 0..2 {
        let (spool, open) = reopen(&dir);
        assert_eq!(open, left, "open until ended");
        assert_eq!(spool.open_entries(), 2);
        assert!(matches!(spool.begin(key(3), b"again"), Err(SpoolError::AlreadyOpen(k)) if k == key(3)));
    }
    let (spool, _) = reopen(&dir);
    spool.end(key(3), b"3").unwrap();
    drop(spool);
    assert_eq!(reopen(&dir).1, left[1..]);
}

#[test]
fn at_the_cap_nothing_begins_but_everything_ends() {
    let dir = TempDir::new().unwrap();
    let small = Options { cap_bytes: 2000, ..options(dir.path()) };
    let (spool, _) = Spool::open(small).unwrap();
    let mut begun = 0;
    while spool.begin(key(begun), &[7; 60]).is_ok() {
        begun += 1;
    }
    assert_eq!(u64::from(u32::try_from(begun).unwrap()), 2000 / 85);
    let before = spool.size_bytes();
    assert!(matches!(spool.begin(key(99), &[7; 60]), Err(SpoolError::Full)));
    assert!(matches!(spool.note(key(0), &[7; 60]), Err(SpoolError::Full)));
    assert_eq!((spool.size_bytes(), size_on_disk(&dir)), (before, before));
    for n in 0..begun {
        spool.end(key(n), n.to_string().as_bytes()).unwrap();
    }
    spool.end(key(1000), b"1000").unwrap();
    for name in ["ledger", "spend"] {
        let mut reader = spool.reader(name).unwrap();
        let (got, end) = take(&mut reader, 1000);
        assert_eq!(got, (0..begun).chain([1000]).collect::<Vec<_>>());
        reader.ack(end).unwrap();
    }
    spool.begin(key(99), &[7; 60]).unwrap();
}

#[test]
fn a_cap_smaller_than_a_segment_does_not_lock_up() {
    let dir = TempDir::new().unwrap();
    let odd = Options { cap_bytes: 1000, segment_bytes: 1 << 30, ..options(dir.path()) };
    let (spool, _) = Spool::open(odd).unwrap();
    let mut readers = ["ledger", "spend"].map(|name| spool.reader(name).unwrap());
    for n in 0..200 {
        work(&spool, n..n + 1);
        for reader in &mut readers {
            let (got, position) = take(reader, 10);
            assert_eq!(got, [n]);
            reader.ack(position).unwrap();
        }
    }
}

#[test]
fn readers_go_on_from_their_own_acknowledgement() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    work(&spool, 0..20);
    let mut ledger = spool.reader("ledger").unwrap();
    assert_eq!((ledger.lag(), spool.reader("spend").unwrap().lag()), (20, 20));
    let (got, first) = take(&mut ledger, 7);
    assert_eq!(got, (0..7).collect::<Vec<_>>());
    let (got, second) = take(&mut ledger, 7);
    assert_eq!(got, (7..14).collect::<Vec<_>>(), "the same reader goes on");
    assert_eq!(ledger.lag(), 20);
    assert!(matches!(ledger.ack(second + 1), Err(SpoolError::NotDelivered(_))));
    ledger.ack(second).unwrap();
    ledger.ack(first).unwrap();
    assert_eq!(ledger.lag(), 6, "an older acknowledgement takes nothing back");
    drop((ledger, spool));

    let (spool, _) = reopen(&dir);
    let mut ledger = spool.reader("ledger").unwrap();
    let mut spend = spool.reader("spend").unwrap();
    assert_eq!((ledger.lag(), spend.lag()), (6, 20));
    assert_eq!(take(&mut ledger, 100).0, (14..20).collect::<Vec<_>>());
    assert_eq!(take(&mut spend, 100).0, (0..20).collect::<Vec<_>>(), "nothing acknowledged, all again");
    assert!(matches!(spool.reader("nobody"), Err(SpoolError::UnknownConsumer(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_reader_gets_every_record_once_while_they_rush_in() {
    const RECORDS: u128 = 20_000;
    let dir = TempDir::new().unwrap();
    let (spool, _) = Spool::open(Options { segment_bytes: 40_000, ..options(dir.path()) }).unwrap();
    let mut readers = ["ledger", "spend"].map(|name| spool.reader(name).unwrap());
    let writer = tokio::task::spawn_blocking({
        let spool = spool.clone();
        move || {
            for n in 0..RECORDS {
                while matches!(spool.begin(key(n), b"begun"), Err(SpoolError::Full)) {
                    std::thread::yield_now();
                }
                spool.end(key(n), n.to_string().as_bytes()).unwrap();
            }
        }
    });
    let mut expected = [0, 0];
    while expected != [RECORDS, RECORDS] {
        for (reader, expected) in readers.iter_mut().zip(&mut expected) {
            if *expected == RECORDS {
                continue;
            }
            let (records, position) =
                tokio::time::timeout(Duration::from_secs(20), reader.next(50)).await.expect("woken").unwrap();
            assert!((1..=50).contains(&records.len()));
            for record in records {
                assert_eq!(record, expected.to_string());
                *expected += 1;
            }
            reader.ack(position).unwrap();
        }
    }
    writer.await.unwrap();
    assert_eq!(readers.map(|reader| reader.lag()), [0, 0]);
    assert_eq!(segments(&dir).len(), 1, "all but the current segment are gone");
    assert_eq!(spool.size_bytes(), size_on_disk(&dir));
}

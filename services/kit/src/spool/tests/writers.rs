//! Several writers at once: one that is late, and ones that have to wait.

use super::*;
use crate::spool::append::Place;
use crate::spool::frame::{self, Kind};

/// A place for an outcome, and its frame.
fn outcome(spool: &Spool, n: u128) -> (Place, Vec<u8>) {
    let frame = frame::encode(Kind::End, key(n), n.to_string().as_bytes());
    let place = spool.0.log.lock().accept(Kind::End, key(n), &frame).unwrap().unwrap();
    (place, frame)
}

#[test]
fn nobody_waits_for_a_writer_that_has_lost_its_processor() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    let (late, frame) = outcome(&spool, 0);
    work(&spool, 1..40);
    let mut reader = spool.reader("ledger").unwrap();
    assert_eq!(take(&mut reader, 99).0, (0..40).collect::<Vec<_>>());
    let before: Vec<_> = segments(&dir).iter().map(|path| fs::read(path).unwrap()).collect();
    late.write(&frame).unwrap();
    spool.0.log.lock().finished(&late, true);
    assert_eq!(segments(&dir).iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), before);
    assert_eq!(spool.size_bytes(), size_on_disk(&dir));
    work(&spool, 40..41);
    assert_eq!(take(&mut reader, 99).0, [40]);
}

#[test]
fn what_is_under_way_counts_against_the_cap() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = Spool::open(Options { cap_bytes: 100, ..options(dir.path()) }).unwrap();
    let (place, _) = outcome(&spool, 0);
    assert_eq!((spool.size_bytes(), place.end), (0, 26));
    assert!(matches!(spool.begin(key(1), &[7; 60]), Err(SpoolError::Full)));
    spool.begin(key(1), &[7; 49]).unwrap();
    assert_eq!(spool.size_bytes(), 100);
}

fn failure() -> std::io::Result<()> {
    Err(std::io::Error::other("no space"))
}

/// Until the log waits for somebody whose write has failed.
fn until_failing(spool: &Spool) {
    while spool.0.log.lock().accepts() {
        std::thread::yield_now();
    }
}

#[test]
fn what_all_failed_to_write_is_given_up_and_the_next_record_goes_on() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    let places = [0, 1, 2].map(|n| outcome(&spool, n).0);
    let (told, waiting) = std::sync::mpsc::channel();
    let fail = |place| told.send(spool.0.settle(place, failure()).is_err()).unwrap();
    let still = Duration::from_millis(50);
    std::thread::scope(|scope| {
        scope.spawn(|| fail(&places[0]));
        until_failing(&spool);
        scope.spawn(|| told.send(spool.end(key(3), b"3").is_ok()).unwrap());
        std::thread::sleep(still);
        scope.spawn(|| fail(&places[1]));
        assert!(waiting.recv_timeout(still).is_err(), "all wait for the last one");
        fail(&places[2]);
        for _ in 0..4 {
            assert!(waiting.recv_timeout(Duration::from_secs(20)).expect("woken"));
        }
    });
    assert_eq!(take(&mut spool.reader("ledger").unwrap(), 9).0, [3]);
}

#[test]
fn a_record_that_another_has_written_along_did_not_fail() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    let (first, _) = outcome(&spool, 0);
    let (second, frame) = outcome(&spool, 1);
    std::thread::scope(|scope| {
        let failed = scope.spawn(|| spool.0.settle(&first, failure()));
        until_failing(&spool);
        second.write(&frame).unwrap();
        spool.0.settle(&second, Ok(())).unwrap();
        failed.join().unwrap().unwrap();
    });
    assert_eq!(take(&mut spool.reader("ledger").unwrap(), 9).0, [0, 1]);
}

#[test]
fn a_writer_waits_while_too_much_is_under_way() {
    let dir = TempDir::new().unwrap();
    let (spool, _) =
        Spool::open(Options { segment_bytes: 1 << 30, cap_bytes: 1 << 33, ..options(dir.path()) }).unwrap();
    let frame = frame::encode(Kind::End, key(0), &[1; 100_000]);
    let place = spool.0.log.lock().accept(Kind::End, key(0), &frame).unwrap().unwrap();
    let (told, waiting) = std::sync::mpsc::channel();
    let other = std::thread::spawn({
        let spool = spool.clone();
        move || {
            spool.end(key(1), b"1").unwrap();
            told.send(()).unwrap();
        }
    });
    assert!(waiting.recv_timeout(Duration::from_millis(50)).is_err(), "it waits");
    place.write(&frame).unwrap();
    spool.0.settle(&place, Ok(())).unwrap();
    waiting.recv_timeout(Duration::from_secs(20)).expect("woken");
    other.join().unwrap();
}

//! What is left after a crash is used as far as it is whole.

use std::os::unix::fs::FileExt as _;

use super::*;

/// Cuts a file, or fills it up with zeros.
fn resize(path: &Path, len: u64) {
    fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}

/// A spool whose last frame is an outcome: its size before that frame and after it.
fn with_last_frame(dir: &TempDir) -> (u64, u64) {
    let (spool, _) = Spool::open(Options { segment_bytes: 100_000, ..options(dir.path()) }).unwrap();
    work(&spool, 0..3);
    spool.begin(key(3), b"begun").unwrap();
    let before = spool.size_bytes();
    spool.end(key(3), b"3").unwrap();
    (before, spool.size_bytes())
}

/// The last outcome is lost and its entry open again; everything else is there and new records are taken.
fn check_lost_last(dir: &TempDir, before: u64) {
    let (spool, open) = reopen(dir);
    assert_eq!(open, [entry(3, "begun", None)]);
    assert_eq!((spool.size_bytes(), size_on_disk(dir)), (before, before));
    spool.end(key(3), b"33").unwrap();
    drop(spool);
    let (spool, open) = reopen(dir);
    assert_eq!(open, []);
    let mut reader = spool.reader("ledger").unwrap();
    assert_eq!(reader.lag(), 4);
    assert_eq!(take(&mut reader, 9).0, [0, 1, 2, 33]);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off() {
    let dir = TempDir::new().unwrap();
    let (before, after) = with_last_frame(&dir);
    for len in before..after {
        let dir = TempDir::new().unwrap();
        assert_eq!(with_last_frame(&dir), (before, after));
        resize(&segments(&dir)[0], len);
        check_lost_last(&dir, before);
        let dir = TempDir::new().unwrap();
        with_last_frame(&dir);
        flip(&segments(&dir)[0], len);
        check_lost_last(&dir, before);
    }
}

#[test]
fn zeros_after_the_last_frame_are_cut_off() {
    for zeros in [1, 7, 25, 5000] {
        let dir = TempDir::new().unwrap();
        let (_, after) = with_last_frame(&dir);
        resize(&segments(&dir)[0], after + zeros);
        let (spool, open) = reopen(&dir);
        assert_eq!(open, []);
        assert_eq!(spool.size_bytes(), after);
        work(&spool, 4..5);
        assert_eq!(take(&mut spool.reader("ledger").unwrap(), 9).0, [0, 1, 2, 3, 4]);
    }
}

/// Forty outcomes over many segments, then the rest of the third from its second outcome on is spoiled.
/// Returns the outcomes lost.
fn spoiled_in_the_middle(dir: &TempDir, spoil_open: bool) -> (Spool, std::ops::Range<u128>) {
    let (spool, _) = reopen(dir);
    work(&spool, 0..40);
    let base = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        u128::from_str_radix(name.split_once('-').unwrap().1, 16).unwrap()
    };
    let all = segments(dir);
    let lost = base(&all[2]) + 1..base(&all[3]);
    assert!(!lost.is_empty());
    // An entry takes a beginning of 30 bytes and an outcome of 26 or 27.
    if spoil_open {
        flip(&all[2], 60);
        return (spool, lost);
    }
    drop(spool);
    flip(&all[2], 60);
    (reopen(dir).0, lost)
}

#[test]
fn a_corrupt_segment_is_read_as_far_as_it_is_whole_and_the_next_ones_wholly() {
    for spoil_open in [false, true] {
        let dir = TempDir::new().unwrap();
        let (spool, lost) = spoiled_in_the_middle(&dir, spoil_open);
        let there: Vec<_> = (0..40).filter(|n| !lost.contains(n)).collect();
        for name in ["ledger", "spend"] {
            let mut reader = spool.reader(name).unwrap();
            let (got, position) = take(&mut reader, 100);
            assert_eq!(got, there);
            assert_eq!(reader.lag(), there.len() as u64, "what cannot be read is not waited for");
            reader.ack(position).unwrap();
            assert_eq!(reader.lag(), 0);
        }
        assert_eq!(segments(&dir).len(), 1);
        assert_eq!(spool.size_bytes(), size_on_disk(&dir));
    }
}

#[test]
fn corruption_in_the_segment_being_written_does_not_stop_what_comes_after() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = Spool::open(Options { segment_bytes: 100_000, ..options(dir.path()) }).unwrap();
    work(&spool, 0..5);
    flip(&segments(&dir)[0], 60);
    let mut reader = spool.reader("ledger").unwrap();
    assert_eq!(take(&mut reader, 9).0, [0]);
    assert_eq!(reader.lag(), 1);
    work(&spool, 5..7);
    let (got, position) = take(&mut reader, 9);
    assert_eq!(got, [5, 6]);
    reader.ack(position).unwrap();
    assert_eq!(reader.lag(), 0);
}

#[test]
fn outcomes_lost_behind_an_acknowledgement_do_not_swallow_new_ones() {
    let dir = TempDir::new().unwrap();
    let (before, _) = with_last_frame(&dir);
    let (spool, _) = reopen(&dir);
    let mut reader = spool.reader("ledger").unwrap();
    let (_, position) = take(&mut reader, 9);
    reader.ack(position).unwrap();
    drop((spool, reader));
    resize(&segments(&dir)[0], before);
    let (spool, open) = reopen(&dir);
    assert_eq!(open, [entry(3, "begun", None)]);
    spool.end(key(3), b"33").unwrap();
    let mut ledger = spool.reader("ledger").unwrap();
    let mut spend = spool.reader("spend").unwrap();
    assert_eq!((ledger.lag(), spend.lag()), (1, 4));
    assert_eq!(take(&mut ledger, 9).0, [33]);
    assert_eq!(take(&mut spend, 9).0, [0, 1, 2, 33]);
}

#[test]
fn a_torn_position_means_that_records_come_again() {
    for len in [5, 12] {
        let dir = TempDir::new().unwrap();
        let (spool, _) = reopen(&dir);
        work(&spool, 0..3);
        let mut reader = spool.reader("ledger").unwrap();
        let (_, position) = take(&mut reader, 2);
        reader.ack(position).unwrap();
        drop((spool, reader));
        let path = options(dir.path()).dir.join("ledger.position");
        flip(&path, 0);
        resize(&path, len);
        let (spool, _) = reopen(&dir);
        assert_eq!(take(&mut spool.reader("ledger").unwrap(), 9).0, [0, 1, 2]);
    }
}

#[test]
fn outcomes_are_taken_though_no_segment_can_be_started() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    let mut reader = spool.reader("ledger").unwrap();
    work(&spool, 0..1);
    assert_eq!(take(&mut reader, 9).0, [0]);
    fs::remove_dir_all(options(dir.path()).dir).unwrap();
    work(&spool, 1..40);
    assert_eq!(take(&mut reader, 99).0, (1..40).collect::<Vec<_>>());
    assert_eq!(reader.lag(), 40);
}

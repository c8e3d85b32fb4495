//! When segments go, who may open, and what is on the disk.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::spool::unsynced::Unsynced;

fn ack_all(spool: &Spool) {
    for name in ["ledger", "spend"] {
        let mut reader = spool.reader(name).unwrap();
        let (got, position) = take(&mut reader, usize::MAX);
        if !got.is_empty() {
            reader.ack(position).unwrap();
        }
    }
}

#[test]
fn segments_go_when_the_last_consumer_has_acknowledged_them() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    work(&spool, 0..40);
    let all = segments(&dir);
    assert!(all.len() > 8);
    let mut ledger = spool.reader("ledger").unwrap();
    let (_, position) = take(&mut ledger, 40);
    ledger.ack(position).unwrap();
    assert_eq!(segments(&dir), all, "spend still needs them");
    let mut spend = spool.reader("spend").unwrap();
    let (_, position) = take(&mut spend, 20);
    spend.ack(position).unwrap();
    let half = segments(&dir);
    assert!(half.len() < all.len() && half.len() > 2);
    assert!(all.ends_with(&half), "only the oldest go");
    assert_eq!(spool.size_bytes(), size_on_disk(&dir));
    ack_all(&spool);
    assert_eq!(segments(&dir), all[all.len() - 1..]);
}

#[test]
fn an_open_entry_keeps_its_segment_and_those_after_it() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    work(&spool, 0..20);
    spool.begin(key(100), b"long").unwrap();
    spool.note(key(100), b"halfway").unwrap();
    let with_begin = segments(&dir).pop().unwrap();
    work(&spool, 20..40);
    let all = segments(&dir);
    ack_all(&spool);
    let kept = segments(&dir);
    assert_eq!(kept[0], with_begin);
    assert!(all.ends_with(&kept));
    drop(spool);
    let (spool, open) = reopen(&dir);
    assert_eq!(open, [entry(100, "long", Some("halfway"))]);
    assert_eq!(segments(&dir), kept);
    spool.end(key(100), b"100").unwrap();
    ack_all(&spool);
    assert_eq!(segments(&dir), kept[kept.len() - 1..]);
    drop(spool);
    assert_eq!(reopen(&dir).1, []);
}

#[test]
fn without_consumers_full_segments_go() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = Spool::open(Options { consumers: vec![], ..options(dir.path()) }).unwrap();
    work(&spool, 0..100);
    assert!(segments(&dir).len() <= 2);
}

#[test]
fn a_directory_is_opened_once() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    work(&spool, 0..1);
    let reader = spool.reader("ledger").unwrap();
    let locked = |dir: &TempDir| matches!(Spool::open(options(dir.path())), Err(SpoolError::Locked(_)));
    assert!(locked(&dir));
    drop(spool);
    assert!(locked(&dir), "a reader holds it too");
    drop(reader);
    reopen(&dir);
}

#[test]
fn only_the_owner_may_look() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    work(&spool, 0..20);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = options(dir.path()).dir;
    assert_eq!(mode(&folder), 0o700);
    for file in fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn names_that_are_no_file_names_are_refused() {
    let dir = TempDir::new().unwrap();
    for names in [&["../up"][..], &[""], &["a", "a"], &["A"], &["a.b"]] {
        let consumers = names.iter().map(ToString::to_string).collect();
        let opened = Spool::open(Options { consumers, ..options(dir.path()) });
        assert!(matches!(opened, Err(SpoolError::BadConsumer(_))), "{names:?}");
    }
}

#[test]
fn a_record_that_is_too_large_is_refused_and_the_largest_is_not() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    let large = vec![b'1'; MAX_RECORD_BYTES + 1];
    assert!(matches!(spool.end(key(1), &large), Err(SpoolError::TooLarge(_))));
    assert_eq!(spool.size_bytes(), 0);
    spool.end(key(1), &large[1..]).unwrap();
    assert!(matches!(spool.begin(key(2), b"begun"), Err(SpoolError::Full)));
    for name in ["ledger", "spend"] {
        let mut reader = spool.reader(name).unwrap();
        let (records, position) = reader.next(9).now_or_never().unwrap().unwrap();
        assert_eq!(records.iter().map(Bytes::len).collect::<Vec<_>>(), [MAX_RECORD_BYTES]);
        reader.ack(position).unwrap();
    }
    spool.begin(key(2), b"begun").unwrap();
}

#[tokio::test]
async fn what_was_written_is_synced_while_running_and_when_stopped() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(spool.clone().run(stop.clone()));
    work(&spool, 0..20);
    assert!(!spool.0.log.lock().is_synced());
    while !spool.0.log.lock().is_synced() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    work(&spool, 20..40);
    stop.cancel();
    running.await.unwrap();
    assert!(spool.0.log.lock().is_synced());
}

#[test]
fn each_segment_written_to_is_synced_once_and_again_when_that_failed() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = Spool::open(Options { segment_bytes: 100_000, ..options(dir.path()) }).unwrap();
    let take = || spool.0.log.lock().take_unsynced();
    let numbers = |unsynced: &Unsynced| unsynced.files.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    assert!(take().dir, "the first segment is new");
    for _ in 0..2 {
        assert!(spool.0.log.lock().is_synced());
        work(&spool, 0..3);
        let unsynced = take();
        assert_eq!((numbers(&unsynced), unsynced.dir), (vec![1], false));
    }
    work(&spool, 0..3);
    let failed = take();
    work(&spool, 0..2000);
    spool.0.log.lock().put_unsynced(failed);
    let unsynced = take();
    assert_eq!((numbers(&unsynced), unsynced.dir), (vec![1, 2], true));
}

#[tokio::test]
async fn a_call_that_was_given_up_has_taken_nothing_and_a_reader_may_move_to_a_task() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    let mut reader = spool.reader("ledger").unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), reader.next(1)).await.is_err());
    let waiting = tokio::spawn(async move { reader.next(5).await.map(|(records, _)| records) });
    tokio::time::sleep(Duration::from_millis(20)).await;
    spool.end(key(1), b"1").unwrap();
    let records = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("woken").unwrap();
    assert_eq!(records.unwrap(), ["1"]);
}

fn bounds(records: usize, bytes: usize) -> Bounds {
    Bounds { records, bytes }
}

/// The batch that is there without waiting, as the numbers that `work` wrote.
fn batch(batches: &mut Batches) -> (Vec<u128>, u64) {
    let batch = batches.next().now_or_never().expect("a batch is there").unwrap();
    let number = |record: &Bytes| std::str::from_utf8(record).unwrap().parse().unwrap();
    let numbers: Vec<u128> = batch.records.iter().map(number).collect();
    assert_eq!((batch.first + numbers.len() as u64, numbers.is_empty()), (batch.last + 1, false));
    (numbers, batch.last)
}

#[test]
fn batches_keep_their_borders_until_they_are_acknowledged() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    let mut batches = spool.batches("ledger", bounds(100, 1000)).unwrap();
    assert!(batches.next().now_or_never().is_none());
    work(&spool, 0..7);
    assert_eq!(batch(&mut batches), ((0..7).collect(), 7));
    work(&spool, 7..200);
    assert_eq!(batch(&mut batches), ((7..107).collect(), 107), "no more than 100");
    assert_eq!(batch(&mut batches), ((107..200).collect(), 200));
    batches.ack(7).unwrap();
    assert_eq!(batches.lag(), 193);
    drop((batches, spool));

    // More was written, and other bounds hold now.
    for _ in 0..2 {
        let (spool, _) = reopen(&dir);
        work(&spool, 200..210);
        let mut batches = spool.batches("ledger", bounds(150, 1 << 20)).unwrap();
        assert_eq!(batch(&mut batches).0, (7..107).collect::<Vec<_>>());
        assert_eq!(batch(&mut batches).0, (107..200).collect::<Vec<_>>());
        assert_eq!(batch(&mut batches).0[..10], (200..210).collect::<Vec<_>>());
    }
}

#[test]
fn a_batch_is_no_larger_than_its_bytes_unless_one_record_is() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    for (n, size) in [(1, 40), (2, 60), (3, 1), (4, 300), (5, 100), (6, 1)] {
        spool.end(key(n), &vec![b'x'; size]).unwrap();
    }
    let mut batches = spool.batches("ledger", bounds(10, 100)).unwrap();
    let sizes = std::iter::from_fn(|| batches.next().now_or_never())
        .map(|batch| batch.unwrap().records.iter().map(Bytes::len).collect::<Vec<_>>());
    assert_eq!(sizes.collect::<Vec<_>>(), [vec![40, 60], vec![1], vec![300], vec![100], vec![1]]);
}

#[test]
fn consumers_in_place_of_others_get_what_not_all_of_those_had_acknowledged() {
    let dir = TempDir::new().unwrap();
    let forward = || Options { consumers: vec!["forward".into()], ..options(dir.path()) };
    let (spool, _) = reopen(&dir);
    work(&spool, 0..100);
    let mut ledger = spool.reader("ledger").unwrap();
    let (_, end) = take(&mut ledger, 100);
    ledger.ack(end).unwrap();
    let mut spend = spool.reader("spend").unwrap();
    let (_, end) = take(&mut spend, 60);
    spend.ack(end).unwrap();
    drop((ledger, spend, spool));

    let (spool, _) = open_again(forward());
    let mut reader = spool.reader("forward").unwrap();
    let (got, end) = take(&mut reader, 200);
    assert_eq!(got, (60..100).collect::<Vec<_>>());
    reader.ack(end).unwrap();
    work(&spool, 100..110);
    drop((reader, spool));

    // And back: what the other one has taken on does not come again, though it lies in a segment that is still there.
    let (spool, _) = reopen(&dir);
    for name in ["ledger", "spend"] {
        assert_eq!(take(&mut spool.reader(name).unwrap(), 200).0, (100..110).collect::<Vec<_>>());
    }
}

#[test]
fn one_that_has_not_acknowledged_anything_yet_is_no_new_one() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = reopen(&dir);
    work(&spool, 0..10);
    let mut spend = spool.reader("spend").unwrap();
    let (_, end) = take(&mut spend, 10);
    spend.ack(end).unwrap();
    drop((spend, spool));
    let others =
        |names: [&str; 2]| Options { consumers: names.map(str::to_owned).to_vec(), ..options(dir.path()) };
    let (spool, _) = open_again(others(["ledger", "audit"]));
    assert_eq!(take(&mut spool.reader("ledger").unwrap(), 20).0, (0..10).collect::<Vec<_>>());
    assert_eq!(take(&mut spool.reader("audit").unwrap(), 20).0, []);
}

#[test]
fn a_spool_keeps_its_name() {
    let dir = TempDir::new().unwrap();
    for fresh in 1..3 {
        assert_eq!(reopen(&dir).0.identity(key(fresh)).unwrap(), key(1));
    }
}

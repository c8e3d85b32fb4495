//! Several writers at once, as real threads: rushing, killed, and out of disk space.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::thread;

use super::*;

const THREADS: u128 = 4;

fn record(thread: u128, n: u128) -> Vec<u8> {
    let mut record = format!("{thread} {n} ").into_bytes();
    record.resize(record.len() + (n % 7 * 40) as usize, b'.');
    record
}

fn entry_key(thread: u128, n: u128) -> Uuid {
    key(thread << 64 | n)
}

fn parse(record: &[u8]) -> (u128, u128) {
    let mut words = std::str::from_utf8(record).unwrap().split(' ').map(|word| word.parse().unwrap());
    (words.next().unwrap(), words.next().unwrap())
}

/// What each thread wrote, in the order of delivery.
fn by_thread(records: &[Bytes]) -> Vec<Vec<u128>> {
    let mut found = vec![Vec::new(); THREADS as usize];
    for record in records {
        let (thread, n) = parse(record);
        found[thread as usize].push(n);
    }
    found
}

fn outcomes(spool: &Spool) -> Vec<Vec<u128>> {
    let mut reader = spool.reader("ledger").unwrap();
    by_thread(&reader.next(usize::MAX).now_or_never().map_or_else(Vec::new, |batch| batch.unwrap().0))
}

/// Runs a test of this file in a process of its own.
fn in_a_process(test: &str, dir: &TempDir, before: &str) -> Command {
    let mut command = Command::new("sh");
    let program = std::env::current_exe().unwrap();
    let script = format!("{before} exec \"$0\" --ignored --nocapture --exact spool::tests::threads::{test}");
    command.arg("-c").arg(script).arg(program).env("SPOOL_TEST_DIR", dir.path()).stdin(Stdio::null());
    command
}

/// The directory to work in, when we are in a process of our own.
fn given_dir() -> Option<PathBuf> {
    std::env::var_os("SPOOL_TEST_DIR").map(PathBuf::from)
}

fn large(dir: &Path) -> Options {
    Options { segment_bytes: 1 << 30, cap_bytes: 1 << 33, ..options(dir) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_and_readers_lose_nothing_and_keep_the_order_of_each() {
    const EACH: u128 = 1500;
    let dir = TempDir::new().unwrap();
    let (spool, _) = Spool::open(Options { segment_bytes: 2000, ..large(dir.path()) }).unwrap();
    let readers = ["ledger", "spend"].map(|name| {
        let mut reader = spool.reader(name).unwrap();
        tokio::spawn(async move {
            let mut all = Vec::new();
            while all.len() < (THREADS * EACH) as usize {
                let (records, position) = reader.next(50).await.unwrap();
                all.extend(records.iter().map(|record| Bytes::copy_from_slice(record)));
                reader.ack(position).unwrap();
            }
            all
        })
    });
    let write = |thread| {
        let spool = spool.clone();
        move || {
            for n in 0..EACH {
                spool.begin(entry_key(thread, n), b"begun").unwrap();
                spool.note(entry_key(thread, n), b"noted").unwrap();
                spool.end(entry_key(thread, n), &record(thread, n)).unwrap();
            }
        }
    };
    let writers: Vec<_> = (0..THREADS).map(|thread| thread::spawn(write(thread))).collect();
    let mut read = Vec::new();
    for reader in readers {
        read.push(tokio::time::timeout(Duration::from_secs(60), reader).await.expect("all come").unwrap());
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(read[0], read[1], "one order for all");
    assert_eq!(by_thread(&read[0]), vec![(0..EACH).collect::<Vec<_>>(); THREADS as usize]);
    assert_eq!((spool.open_entries(), segments(&dir).len()), (0, 1));
    assert_eq!(spool.size_bytes(), size_on_disk(&dir));
}

#[test]
#[ignore = "run by the test below, which kills it"]
fn to_be_killed() {
    let Some(dir) = given_dir() else { return };
    let (spool, _) = Spool::open(Options { segment_bytes: 50_000, ..large(&dir) }).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let spool = &spool;
            scope.spawn(move || {
                for n in 0.. {
                    spool.begin(entry_key(thread, n), b"begun").unwrap();
                    spool.end(entry_key(thread, n), &record(thread, n)).unwrap();
                    std::io::stdout().write_all(format!("ended {thread} {n}\n").as_bytes()).unwrap();
                }
            });
        }
    });
}

#[test]
fn what_had_returned_when_the_process_was_killed_is_there() {
    for at in [1, 300, 1000, 3000] {
        let dir = TempDir::new().unwrap();
        let mut child = in_a_process("to_be_killed", &dir, "").stdout(Stdio::piped()).spawn().unwrap();
        let mut ended = vec![0; THREADS as usize];
        let mut lines = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(line) = line.strip_prefix("ended ") else { continue };
            let (thread, n) = parse(line.as_bytes());
            ended[thread as usize] = n + 1;
            lines += 1;
            if lines == at {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(lines >= at);
        let (spool, open) = reopen(&dir);
        for (found, ended) in outcomes(&spool).into_iter().zip(ended) {
            assert!((ended..=ended + 1).contains(&(found.len() as u128)));
            assert_eq!(found, (0..found.len() as u128).collect::<Vec<_>>());
        }
        assert!(open.len() <= THREADS as usize);
    }
}

#[test]
#[ignore = "run by the test below, with little space"]
fn with_little_space() {
    let Some(dir) = given_dir() else { return };
    let (spool, _) = Spool::open(large(&dir)).unwrap();
    let work = |thread| {
        let spool = spool.clone();
        move || {
            let (mut ended, mut left) = (Vec::new(), Vec::new());
            for n in 0..400 {
                match spool.begin(entry_key(thread, n), &record(thread, n)) {
                    Err(SpoolError::Io(_)) => continue,
                    begun => begun.unwrap(),
                }
                match spool.end(entry_key(thread, n), &record(thread, n + 1)) {
                    Err(SpoolError::Io(_)) => left.push(entry_key(thread, n)),
                    done => done.map(|()| ended.push(n + 1)).unwrap(),
                }
            }
            (ended, left)
        }
    };
    let all: Vec<_> = (0..THREADS).map(|thread| thread::spawn(work(thread))).collect();
    let (ended, left): (Vec<_>, Vec<_>) = all.into_iter().map(|thread| thread.join().unwrap()).unzip();
    let count: usize = ended.iter().map(Vec::len).sum();
    assert!(count > 20 && count < 1500, "some went in, and some did not: {count}");
    assert_eq!(outcomes(&spool), ended);
    let mut left = left.concat();
    left.sort();
    assert_eq!(spool.open_entries(), left.len());
    drop(spool);
    let (spool, open) = open_again(large(&dir));
    assert_eq!(outcomes(&spool), ended);
    let mut open: Vec<_> = open.iter().map(|entry| entry.key).collect();
    open.sort();
    assert_eq!(open, left);
}

#[test]
fn when_the_disk_is_full_each_writer_is_told_the_truth() {
    for blocks in [16, 64] {
        let dir = TempDir::new().unwrap();
        // A limit on the size of a file, and its signal ignored, let writes fail and stop half-way.
        let before = format!("trap '' XFSZ; ulimit -f {blocks};");
        let output = in_a_process("with_little_space", &dir, &before).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}

//! The spool's side.

use super::*;

#[tokio::test]
async fn every_consumer_gets_all_in_order_and_the_broker_keeps_nothing() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.write(0..1200);
    process.forward();
    let mut budget = process.source("budget");
    let mut seen = Vec::new();
    while seen.len() < 1200 {
        let batch = next(&mut budget, 300).await;
        assert!(batch.records.len() <= 300);
        seen.extend(numbers(&batch));
        budget.ack(&batch).await.unwrap();
    }
    assert_eq!(seen, (0..1200).collect::<Vec<_>>());

    // Usage comes late, for the first time ever, and misses nothing.
    let mut usage = process.source("usage");
    assert_eq!(read_all(&mut usage, 0..1200).await, 1200);
    let jetstream = jetstream(&nats).await;
    until("the stream to be empty", async || state(&jetstream).await.messages == 0).await;
    until("the spool to be empty", async || process.lag() == 0).await;
    let metrics = render(&process.registry);
    for line in [
        r#"headgate_records_forwarded_total{spool="router"} 1200"#,
        r#"headgate_records_unforwarded_records{spool="router"} 0"#,
        "headgate_nats_connected 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    drop((budget, usage));
    process.stop().await;
}

#[tokio::test]
async fn a_batch_that_was_sent_before_a_crash_is_the_same_after_it() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.write(0..300);
    process.forward();
    process.until_forwarded().await;
    process.stop().await;

    // As if the process had died before it could keep what the broker said, and more was written since.
    std::fs::remove_file(dir.path().join("spool/forward.position")).unwrap();
    let process = Process::start(&nats.url(), dir.path());
    process.write(300..310);
    process.forward();
    process.until_forwarded().await;
    let jetstream = jetstream(&nats).await;
    assert_eq!(state(&jetstream).await.messages, 2, "the first batch was taken for another one");
    assert_eq!(read_all(&mut process.source("usage"), 0..310).await, 310);
    process.stop().await;
}

#[tokio::test]
async fn records_that_got_the_place_of_lost_ones_are_not_taken_for_them() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.write(0..10);
    process.forward();
    process.until_forwarded().await;
    process.stop().await;

    // As after a power loss: who the spool is was kept, its records and positions were not.
    for file in std::fs::read_dir(dir.path().join("spool")).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().is_some_and(|name| name != "identity") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let process = Process::start(&nats.url(), dir.path());
    process.write(10..20);
    process.forward();
    read_all(&mut process.source("usage"), 0..20).await;
    process.stop().await;
}

#[tokio::test]
async fn a_full_stream_leaves_records_in_the_spool() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.write(0..1);
    process.forward();
    process.until_forwarded().await;
    let jetstream = jetstream(&nats).await;
    let mut config = jetstream.get_stream(STREAM).await.unwrap().cached_info().config.clone();
    let room = std::mem::replace(&mut config.max_bytes, 200);
    jetstream.update_stream(&config).await.unwrap();

    process.write(1..400);
    // Several, so that the stream was looked at again in between.
    until("refusals", async || process.refusals() > 2).await;
    assert_eq!(process.lag(), 399);
    assert!(state(&jetstream).await.bytes <= 200);
    config.max_bytes = room / 2;
    jetstream.update_stream(&config).await.unwrap();
    process.until_forwarded().await;
    let kept = jetstream.get_stream(STREAM).await.unwrap().cached_info().config.max_bytes;
    assert_eq!(kept, room / 2, "an operator's limit is left alone");
    assert_eq!(read_all(&mut process.source("usage"), 0..400).await, 400);
    process.stop().await;
}

#[tokio::test]
async fn a_server_that_takes_little_gets_smaller_messages_and_a_huge_record_is_set_aside() {
    let (nats, dir) = (Nats::start_with("max_payload: 2048").await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.write(0..500);
    process.spool.end(Uuid::from_u128(1 << 40), &[b'x'; 5000]).unwrap();
    process.write(500..1000);
    process.forward();
    process.until_forwarded().await;
    assert_eq!(read_all(&mut process.source("budget"), 0..1000).await, 1000);
    assert!(render(&process.registry).contains(r#"headgate_records_set_aside_total{spool="router"} 1"#));
    let files = std::fs::read_dir(dir.path().join("spool")).unwrap().map(|file| file.unwrap().path());
    let aside: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "record")).collect();
    assert_eq!(std::fs::read(&aside[0]).unwrap(), [b'x'; 5000]);
    assert_eq!(aside.len(), 1);
    process.stop().await;
}

#[tokio::test]
async fn what_lies_in_the_spool_goes_before_the_process_ends() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.write(0..1);
    process.forward();
    process.until_forwarded().await;
    // The next ones would gather for a while.
    process.write(1..2);
    process.write(2..3000);
    process.stop().await;
    let process = Process::start(&nats.url(), dir.path());
    assert_eq!(process.lag(), 0);
    assert_eq!(read_all(&mut process.source("usage"), 0..3000).await, 3000);
    process.stop().await;
}

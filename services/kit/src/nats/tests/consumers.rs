//! The consumers' side.

use super::*;

#[tokio::test]
async fn what_is_held_stays_with_its_holder_and_what_is_dropped_goes_to_another() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.write(0..100);
    process.forward();
    let mut holder = process.source("usage");
    let batch = next(&mut holder, 1000).await;
    assert_eq!(numbers(&batch), (0..100).collect::<Vec<_>>());
    // A slow database: longer than the broker waits to hear of a message.
    let mut other = process.source("usage");
    let stolen = tokio::time::timeout(stream::ACK_WAIT + Duration::from_secs(2), other.next(1000)).await;
    assert!(stolen.is_err(), "given to another while it was held: {stolen:?}");
    let stream = jetstream(&nats).await.get_stream(STREAM).await.unwrap();
    let info = stream.consumer_info("usage").await.unwrap();
    assert_eq!((info.num_ack_pending, info.num_redelivered), (1, 0), "given to its holder again");

    // The holder's process ends without having handled it. No time-out is waited for then.
    let given_up = std::time::Instant::now();
    drop((batch, holder));
    assert_eq!(read_all(&mut other, 0..100).await, 100);
    assert!(given_up.elapsed() < stream::ACK_WAIT / 2, "took {:?}", given_up.elapsed());
    drop(other);
    process.stop().await;
}

#[tokio::test]
async fn a_part_of_a_message_does_not_acknowledge_the_rest() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.write(0..100);
    process.forward();
    let mut source = process.source("usage");
    let part = next(&mut source, 60).await;
    assert_eq!(part.records.len(), 60);
    source.ack(&part).await.unwrap();
    drop(source);
    assert_eq!(read_all(&mut process.source("usage"), 0..100).await, 100);
    process.stop().await;
}

#[tokio::test]
async fn replicas_share_the_records() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.forward();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let mut source = process.source("budget");
        readers.spawn(async move {
            let mut seen = Vec::new();
            while let Ok(batch) = tokio::time::timeout(Duration::from_secs(2), source.next(1000)).await {
                let batch = batch.unwrap();
                seen.extend(numbers(&batch));
                source.ack(&batch).await.unwrap();
            }
            seen
        });
    }
    for part in 0..40 {
        process.write(part * 500..(part + 1) * 500);
    }
    let all = readers.join_all().await;
    assert!(all.iter().filter(|seen| !seen.is_empty()).count() > 1, "one reader got everything");
    let mut all = all.concat();
    all.sort_unstable();
    assert_eq!(all, (0..20_000).collect::<Vec<_>>());
    process.stop().await;
}

#[tokio::test]
async fn a_source_has_caught_up_when_all_that_was_there_is_acknowledged() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.write(0..100);
    process.forward();
    process.until_forwarded().await;

    let mut first = process.source("budget");
    let batch = next(&mut first, 1000).await;
    let second = process.source("budget");
    until("the lag to be known", async || second.lag().records() == 1).await;
    assert!(!first.caught_up().is_reached() && !second.caught_up().is_reached());
    first.ack(&batch).await.unwrap();
    for source in [&first, &second] {
        tokio::time::timeout(SOON, source.caught_up().reached()).await.unwrap();
    }
    until("the lag to be gone", async || second.lag().records() == 0).await;
    assert!(render(&process.registry).contains(r#"headgate_records_pending_messages{consumer="budget"} 0"#));

    drop((first, second));
    process.stop().await;
}

#[tokio::test]
async fn a_source_has_not_caught_up_before_the_spools_of_its_process_are_forwarded() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.write(0..3);
    let forwarder = process.broker.forwarder("router", &process.spool, Uuid::from_u128(7)).unwrap();
    let mut source = process.broker.source("usage", vec![forwarder.progress()], &process.tasks);
    until("the stream to be there", async || jetstream(&nats).await.get_stream(STREAM).await.is_ok()).await;
    until("the consumer to be looked at", async || {
        render(&process.registry).contains(r#"headgate_records_pending_messages{consumer="usage"} 0"#)
    })
    .await;
    assert_eq!((source.caught_up().is_reached(), source.lag().records()), (false, 3));
    process.tasks.spawn(forwarder.run(process.tasks.stopping()));
    read_all(&mut source, 0..3).await;
    tokio::time::timeout(SOON, source.caught_up().reached()).await.unwrap();
    until("the lag to be gone", async || source.lag().records() == 0).await;
    drop(source);
    process.stop().await;
}

#[tokio::test]
async fn a_message_that_is_no_batch_is_given_up_and_the_next_one_comes() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.forward();
    process.write(0..1);
    process.until_forwarded().await;
    let jetstream = jetstream(&nats).await;
    for poison in ["", "poison"] {
        let sent = jetstream.publish(format!("{SUBJECTS}.by-hand"), Bytes::from_static(poison.as_bytes()));
        sent.await.unwrap().await.unwrap();
    }
    process.write(1..2);
    for consumer in CONSUMERS {
        assert_eq!(read_all(&mut process.source(consumer), 0..2).await, 2);
        let line = format!("headgate_records_malformed_messages_total{{consumer=\"{consumer}\"}} 2");
        assert!(render(&process.registry).contains(&line));
    }
    until("the stream to be empty", async || state(&jetstream).await.messages == 0).await;
    process.stop().await;
}

#[tokio::test]
async fn a_password_is_presented() {
    let users = r#"authorization { user: "gate", password: "p@ss" }"#;
    let (nats, dir) = (Nats::start_with(users).await, TempDir::new().unwrap());
    let url = nats.url().replace("nats://", "nats://gate:p%40ss@");
    let process = Process::start(&url, dir.path());
    process.write(0..10);
    process.forward();
    assert_eq!(read_all(&mut process.source("usage"), 0..10).await, 10);
    process.stop().await;

    let process = Process::start(&nats.url().replace("nats://", "nats://gate:wrong@"), dir.path());
    process.write(10..11);
    process.forward();
    until("a refusal", async || process.refusals() > 0).await;
    assert_eq!(process.lag(), 1);
    process.stop().await;
}

#[tokio::test]
async fn a_source_knows_that_its_broker_is_away_and_when_it_has_come() {
    let (mut nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    // Accepted by the kernel, and then nothing.
    nats.pause();
    let process = Process::start(&nats.url(), dir.path());
    let source = process.source("budget");
    let caught_up = source.caught_up();
    until("silence to be taken for absence", async || caught_up.is_held_up()).await;
    nats.kill();
    nats.restart().await;
    until("the backlog to be read", async || caught_up.is_reached()).await;
    assert!(!caught_up.is_held_up());

    nats.kill();
    let other = process.source("usage");
    until("absence to be noticed", async || other.caught_up().is_held_up()).await;
    drop((source, other));
    process.stop().await;
}

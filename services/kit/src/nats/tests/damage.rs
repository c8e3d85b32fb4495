//! Servers that die, and what they lose.

use super::*;

#[tokio::test]
async fn a_server_killed_under_load_loses_nothing() {
    let (mut nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.forward();
    let mut sources = CONSUMERS.map(|consumer| process.source(consumer));
    let total = 30_000;
    let spool = process.spool.clone();
    let writer = tokio::spawn(async move {
        for number in 0..total {
            spool.end(Uuid::from_u128(number.into()), number.to_string().as_bytes()).unwrap();
            if number % 50 == 0 {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    });
    let [budget, usage] = &mut sources;
    let killer = async {
        for part in 1..=3 {
            until("a part to be written", async || process.lag() > 500 || writer.is_finished()).await;
            nats.kill();
            until("records to wait", async || process.lag() > 2000 * part || writer.is_finished()).await;
            nats.restart().await;
        }
    };
    let (_, by_budget, by_usage) =
        tokio::join!(killer, read_all(budget, 0..total), read_all(usage, 0..total));
    // Some come again; that it is not most of them is what ids and acknowledgements are for.
    for count in [by_budget, by_usage] {
        assert!(count < 2 * total as usize, "{count} records came for {total}");
    }
    process.until_forwarded().await;

    // What was acknowledged takes no room, or the stream would fill up with every crash. Acknowledgements may be lost,
    // and then it comes once more.
    for mut source in sources {
        let stopping = process.tasks.stopping();
        process.tasks.spawn(async move {
            while let Some(Ok(batch)) = stopping.run_until_cancelled(source.next(1000)).await {
                source.ack(&batch).await.unwrap();
            }
        });
    }
    let jetstream = jetstream(&nats).await;
    until("the stream to be empty", async || state(&jetstream).await.messages == 0).await;
    process.stop().await;
}

#[tokio::test]
async fn a_server_that_comes_late_or_without_its_store_is_set_up_again() {
    let (mut nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    nats.kill();
    let process = Process::start(&nats.url(), dir.path());
    process.write(0..10);
    process.forward();
    let mut sources = CONSUMERS.map(|consumer| process.source(consumer));
    nats.restart().await;
    for source in &mut sources {
        read_all(source, 0..10).await;
    }
    process.until_forwarded().await;

    nats.kill();
    nats.forget();
    process.write(10..20);
    nats.restart().await;
    for source in &mut sources {
        read_all(source, 10..20).await;
    }
    drop(sources);
    process.stop().await;
}

#[tokio::test]
async fn a_consumer_that_was_deleted_by_hand_is_made_again() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.forward();
    process.write(0..10);
    let mut usage = process.source("usage");
    read_all(&mut usage, 0..10).await;
    let jetstream = jetstream(&nats).await;
    jetstream.delete_consumer_from_stream("usage", STREAM).await.unwrap();
    until("the consumer to be back", async || {
        let stream = jetstream.get_stream(STREAM).await.unwrap();
        stream.consumer_info("usage").await.is_ok()
    })
    .await;
    // From the beginning: budget has not read it, so it is still there.
    process.write(10..20);
    read_all(&mut usage, 0..20).await;
    drop(usage);
    process.stop().await;
}

#[tokio::test]
async fn a_stream_of_another_kind_is_left_alone() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let jetstream = jetstream(&nats).await;
    let config = jetstream::stream::Config {
        name: STREAM.into(),
        subjects: vec![format!("{SUBJECTS}.>")],
        ..Default::default()
    };
    jetstream.create_stream(config).await.unwrap();
    let process = Process::start(&nats.url(), dir.path());
    process.write(0..10);
    process.forward();
    until("a refusal", async || process.refusals() > 0).await;
    assert_eq!((process.lag(), state(&jetstream).await.messages), (10, 0));
    jetstream.delete_stream(STREAM).await.unwrap();
    assert_eq!(read_all(&mut process.source("usage"), 0..10).await, 10);
    process.stop().await;
}

#[tokio::test]
async fn a_server_that_hangs_holds_nobody_up_and_goes_on_later() {
    let (nats, dir) = (Nats::start().await, TempDir::new().unwrap());
    let process = Process::start(&nats.url(), dir.path());
    process.forward();
    process.write(0..10);
    let mut usage = process.source("usage");
    read_all(&mut usage, 0..10).await;
    process.until_forwarded().await;

    nats.pause();
    process.write(10..20);
    until("a refusal", async || process.refusals() > 0).await;
    assert_eq!(process.lag(), 10);
    let asked = std::time::Instant::now();
    drop(usage);
    process.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(8), "took {:?} to end", asked.elapsed());

    let process = Process::start(&nats.url(), dir.path());
    process.forward();
    nats.resume();
    let mut usage = process.source("usage");
    read_all(&mut usage, 10..20).await;
    drop(usage);
    process.stop().await;
}

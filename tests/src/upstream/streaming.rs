//! A chat or completions answer as server-sent events, with its end as scripted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_stream::stream;
use bytes::Bytes;
use futures_util::Stream;
use http_body::Frame;

use super::answers::{Asked, Documents};
use super::behaviour::{Answer, End};
use super::journal::Page;

/// How long bytes already written get to leave before the connection is reset.
const BEFORE_RESET: Duration = Duration::from_millis(20);

/// One piece of a response body.
pub(super) type Piece = Result<Frame<Bytes>, io::Error>;

fn piece(text: impl Into<Bytes>) -> Piece {
    Ok(Frame::data(text.into()))
}

/// The events of an answer. `reset` makes the connection end with RST instead of FIN.
pub(super) fn events(
    answer: Answer,
    asked: Asked,
    page: Page,
    reset: Arc<AtomicBool>,
) -> impl Stream<Item = Piece> {
    stream! {
        let documents = Documents { answer: &answer, asked: &asked };
        for role in (0..documents.choices()).filter_map(|choice| documents.role_event(choice)) {
            yield piece(role);
        }
        for chunk in 0..documents.chunks() {
            if chunk > 0 {
                tokio::time::sleep(answer.delay).await;
            }
            for choice in 0..documents.choices() {
                page.chunk(1);
                yield piece(documents.content_event(choice, chunk));
            }
        }
        tokio::time::sleep(answer.delay).await;
        match answer.end {
            End::Done | End::DoneThenOpen => {
                for choice in 0..documents.choices() {
                    yield piece(documents.finish_event(choice));
                }
                if let Some(usage) = documents.usage_event() {
                    yield piece(usage);
                }
                page.complete();
                yield piece("data: [DONE]\n\n");
                if answer.end == End::DoneThenOpen {
                    std::future::pending::<()>().await;
                }
            }
            End::Hang => std::future::pending().await,
            End::Reset => {
                tokio::time::sleep(BEFORE_RESET).await;
                page.complete();
                reset.store(true, Ordering::Release);
                yield Err(io::ErrorKind::ConnectionReset.into());
            }
            End::Eof => page.complete(),
            End::Garbage => {
                page.complete();
                yield piece("data: <html>\n\n");
            }
            End::ErrorEvent => {
                page.complete();
                yield piece(concat!(
                    "data: {\"error\":{\"message\":\"the mock broke\",\"type\":\"server_error\",",
                    "\"param\":null,\"code\":\"mock_broke\"}}\n\n"
                ));
            }
        }
    }
}

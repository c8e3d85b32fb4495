//! Transport for every provider: connections, deadlines, bounds, cancellation.

mod answer;
mod body;
mod broken;
mod client;
mod connect;
mod http1;
mod pieces;
mod pool;

use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::scope;
use headgate_kit::tasks::Tasks;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};

use self::answer::AnswerBody;
use self::body::{Source, read_some, read_whole};
pub(crate) use self::broken::Broken;
use self::client::{Client, Outgoing};
pub use self::pieces::Pieces;
pub(crate) use self::pieces::redacted;
use crate::adapter::BuildError;
use crate::config::Config;
use crate::deadlines::{Phase, Watch};
use crate::provider::{Chunks, Exchange, Provider};

/// The most of an error's body that is read, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// A stream whose head has come, and its translation.
pub(crate) type Opened = (Source, Box<dyn Chunks>);

/// Carries exchanges out.
#[derive(Debug)]
pub(crate) struct Driver {
    client: Client,
    max_response_bytes: usize,
    clock: Clock,
    tasks: Tasks,
}

impl Driver {
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(config: &Config, clock: Clock, tasks: Tasks) -> Result<Self, BuildError> {
        let client = Client::new(config, tasks.clone())?;
        Ok(Self { client, max_response_bytes: config.max_response_bytes, clock, tasks })
    }

    /// Carries an exchange out and reads the whole answer.
    pub(crate) async fn whole(
        &self,
        provider: &dyn Provider,
        exchange: Exchange,
        watch: &mut Watch,
    ) -> Result<Bytes, Failure> {
        let request = match exchange {
            Exchange::Upstream(request) => request,
            Exchange::Local(body) => return Ok(body.collect::<Vec<_>>().concat().into()),
        };
        let response = self.send(request, watch).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refused(provider, response, watch).await);
        }
        watch.enter(Phase::Rest);
        read_whole(response.into_body(), self.max_response_bytes, watch).await
    }

    /// Carries an exchange out up to the head of a streamed answer.
    pub(crate) async fn open(
        &self,
        provider: &dyn Provider,
        exchange: Exchange,
        watch: &mut Watch,
    ) -> Result<Source, Failure> {
        let request = match exchange {
            Exchange::Upstream(request) => request,
            Exchange::Local(body) => {
                watch.enter(Phase::FirstByte);
                return Ok(Source::Local(body));
            }
        };
        let response = self.send(request, watch).await?;
        if response.status() == StatusCode::OK && is_event_stream(&response) {
            return Ok(Source::Upstream(response.into_body()));
        }
        Err(self.refused(provider, response, watch).await)
    }

    /// Carries a request out up to the head of its answer, and looks at no more of it.
    pub(crate) async fn look(
        &self,
        request: Request<Bytes>,
        watch: &mut Watch,
    ) -> Result<StatusCode, Failure> {
        Ok(self.send(request, watch).await?.status())
    }

    /// The tasks that outlive a call.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    async fn send(
        &self,
        mut request: Request<Bytes>,
        watch: &mut Watch,
    ) -> Result<Response<AnswerBody>, Failure> {
        scope::with_current(|context| context.trace.tell(request.headers_mut()));
        let outgoing = Outgoing::new(request)?;
        let limit = watch.limit(Phase::Connect);
        let connection = within(watch, pin!(self.client.connection(&outgoing, limit))).await?;
        watch.enter(Phase::FirstByte);
        within(watch, pin!(self.client.send(connection, outgoing))).await
    }

    async fn refused(
        &self,
        provider: &dyn Provider,
        response: Response<AnswerBody>,
        watch: &mut Watch,
    ) -> Failure {
        let (head, body) = response.into_parts();
        watch.enter(Phase::InterChunk);
        let body = read_some(body, MAX_ERROR_BYTES, watch).await;
        provider.failure(head.status, &head.headers, &body, self.clock.unix_millis())
    }
}

/// What comes of `work`, unless a deadline passes first.
async fn within<T>(
    watch: &mut Watch,
    mut work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> Result<T, Failure> {
    std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => watch.poll_passed(cx).map(Err),
    })
    .await
}

fn is_event_stream(response: &Response<AnswerBody>) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    let kind = response.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
    kind.and_then(|kind| kind.get(..EVENTS.len())).is_some_and(|kind| kind.eq_ignore_ascii_case(EVENTS))
}

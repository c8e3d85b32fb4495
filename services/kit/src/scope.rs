//! Whose request the work at hand is for, so that every log line and every call to elsewhere can say so.
//!
//! The context lies in a thread-local while the work is polled or dropped, and beside the work meanwhile: entering and
//! leaving swap a few words, whether a line is written or not. Nothing is counted, locked or allocated.

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};

use crate::clock::Clock;
use crate::ids;
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::trace::TraceContext;

thread_local! {
    static CURRENT: RefCell<Option<RequestContext>> = const { RefCell::new(None) };
}

/// Which request a piece of work is for. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContext {
    /// The request's name.
    pub id: RequestId,
    /// The trace that it is part of.
    pub trace: TraceContext,
}

impl RequestContext {
    /// As the request's headers or metadata tell, and anew where they tell nothing sane.
    #[must_use]
    pub fn of(headers: &HeaderMap, clock: &Clock) -> Self {
        Self { id: RequestId::of(headers, clock), trace: TraceContext::of(headers, ids::random) }
    }

    /// Tells a service of the deployment which request a call is for.
    pub fn tell(&self, headers: &mut HeaderMap) {
        headers.entry(X_REQUEST_ID).or_insert_with(|| self.id.header());
        self.trace.tell(headers);
    }
}

/// The request that this thread works for now.
#[must_use]
pub fn current() -> Option<RequestContext> {
    with_current(RequestContext::clone)
}

/// Shows the request that this thread works for now, if there is one.
pub fn with_current<R>(show: impl FnOnce(&RequestContext) -> R) -> Option<R> {
    // Neither a thread that ends nor a line written in the middle of a swap has one.
    CURRENT.try_with(|current| current.try_borrow().ok()?.as_ref().map(show)).ok()?
}

/// Work for a request. Lines written while it runs in [`InRequest::with`], or is dropped, carry the request's id and
/// its trace's.
#[derive(Debug)]
pub struct InRequest<T> {
    context: Option<RequestContext>,
    /// `None` only once it is being dropped.
    work: Option<T>,
}

impl<T> InRequest<T> {
    /// Work for a request.
    pub fn new(context: RequestContext, work: T) -> Self {
        Self { context: Some(context), work: Some(work) }
    }

    /// Work for the request that this thread works for now, wherever it will run.
    pub fn carried(work: T) -> Self {
        Self { context: current(), work: Some(work) }
    }

    /// Runs a step of the work. `None` only while it is being dropped.
    pub fn with<R>(&mut self, step: impl FnOnce(&mut T) -> R) -> Option<R> {
        let work = self.work.as_mut()?;
        let _entered = Entered::new(&mut self.context);
        Some(step(work))
    }
}

impl<T> Drop for InRequest<T> {
    fn drop(&mut self) {
        let _entered = Entered::new(&mut self.context);
        self.work = None;
    }
}

/// While it lives, the thread works for the request that was in the slot, and the slot keeps the one before.
struct Entered<'a>(&'a mut Option<RequestContext>);

impl<'a> Entered<'a> {
    fn new(slot: &'a mut Option<RequestContext>) -> Self {
        swap(slot);
        Self(slot)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        swap(self.0);
    }
}

fn swap(slot: &mut Option<RequestContext>) {
    // Fails only on a thread that ends, and none ends with a request's work.
    let _ = CURRENT.try_with(|current| {
        if let Ok(mut current) = current.try_borrow_mut() {
            std::mem::swap(&mut *current, slot);
        }
    });
}

impl<F: Future + Unpin> Future for InRequest<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.with(|work| Pin::new(work).poll(cx)).unwrap_or(Poll::Pending)
    }
}

impl<B: Body + Unpin> Body for InRequest<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.with(|body| Pin::new(body).poll_frame(cx)).unwrap_or(Poll::Ready(None))
    }

    fn is_end_stream(&self) -> bool {
        self.work.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.work.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

/// Works for a request, where there is one.
pub async fn within<F: Future>(context: impl Into<Option<RequestContext>>, work: F) -> F::Output {
    let place = pin!(Some(work));
    InRequest { context: context.into(), work: Some(Placed(place)) }.await
}

/// The same work, for the request that this thread works for now, wherever it will run.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    within(current(), work)
}

/// A future that cannot move, and ends where it lies.
struct Placed<'a, F>(Pin<&'a mut Option<F>>);

impl<F: Future> Future for Placed<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().as_pin_mut().map_or(Poll::Pending, |work| work.poll(cx))
    }
}

impl<F> Drop for Placed<'_, F> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Waker;

    use http::HeaderValue;
    use tokio::task::yield_now;

    use super::*;

    fn request(id: &'static str) -> RequestContext {
        let headers = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_static(id))]);
        RequestContext::of(&headers, &Clock::manual(0))
    }

    fn assert_current(id: Option<&str>) {
        assert_eq!(current().as_ref().map(|context| context.id.as_str()), id);
    }

    /// Asserts whose it is when it is dropped.
    struct Probe(&'static str);

    impl Drop for Probe {
        fn drop(&mut self) {
            assert_current(Some(self.0));
        }
    }

    #[tokio::test]
    async fn requests_that_take_turns_on_a_thread_keep_their_own_ids() {
        let work = async |text| {
            let _probe = Probe(text);
            for _ in 0..3 {
                assert_current(Some(text));
                yield_now().await;
            }
            within(request("inner"), async { assert_current(Some("inner")) }).await;
            assert_current(Some(text));
        };
        tokio::join!(within(request("a"), work("a")), within(request("b"), work("b")));
        assert_current(None);
    }

    #[tokio::test]
    async fn work_that_is_cut_off_ends_in_its_request() {
        let mut work = Box::pin(within(request("a"), async {
            let _probe = Probe("a");
            std::future::pending::<()>().await;
        }));
        assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(work);
        drop(InRequest::new(request("b"), Probe("b")));
        assert_current(None);
    }

    #[tokio::test]
    async fn a_task_that_a_request_leaves_behind_is_its_own() {
        let left = async {
            yield_now().await;
            assert_current(Some("a"));
        };
        let task = InRequest::new(request("a"), ()).with(|()| tokio::spawn(carried(left))).unwrap();
        task.await.unwrap();
        carried(async { assert_current(None) }).await;
    }

    #[test]
    fn a_panic_leaves_the_thread_as_it_was() {
        let mut work = InRequest::new(request("a"), Probe("a"));
        let panicked = catch_unwind(AssertUnwindSafe(|| work.with(|_| panic!("on purpose"))));
        assert!(panicked.is_err());
        assert_current(None);
        work.with(|_| assert_current(Some("a"))).unwrap();
    }
}

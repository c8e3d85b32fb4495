//! A future that seldom wakes, beside one that often does.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

/// Polls the future within only when it woke, so that a task which is polled for something else pays next to nothing
/// for it: a deadline or a signal to stop beside a stream that brings thousands of pieces.
#[derive(Debug)]
pub struct Quiet<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    /// Who hears the bell; kept here too, since asking it here takes no lock.
    task: Option<Waker>,
}

#[derive(Debug)]
struct Bell {
    rang: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is looked up: it looks at the flag after it has put itself there.
        self.rang.store(true, Ordering::SeqCst);
        let task = self.task.lock().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<F> Quiet<F> {
    /// Watches `future`, which is polled for the first time when this is.
    pub fn new(future: F) -> Self {
        let bell = Arc::new(Bell { rang: AtomicBool::new(true), task: Mutex::new(None) });
        Self { future: Box::pin(future), bell, task: None }
    }

    /// The future within.
    pub fn get(&self) -> &F {
        &self.future
    }

    /// The future within, to be changed. It is polled again next time, since it may be due earlier then.
    pub fn get_mut(&mut self) -> Pin<&mut F> {
        self.bell.rang.store(true, Ordering::SeqCst);
        self.future.as_mut()
    }
}

impl<F: Future> Future for Quiet<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
            (*self.bell.task.lock()).clone_from(&self.task);
        }
        // Looked at first: taking the ring costs more, and there seldom is one.
        if !self.bell.rang.load(Ordering::SeqCst) || !self.bell.rang.swap(false, Ordering::SeqCst) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&self.bell));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    fn poll<F: Future>(quiet: &mut Quiet<F>, waker: &Waker) -> Poll<F::Output> {
        Pin::new(quiet).poll(&mut Context::from_waker(waker))
    }

    #[test]
    fn it_is_polled_only_when_it_woke() {
        let (mut polls, inner) = (0, Mutex::new(None::<Waker>));
        let mut quiet = Quiet::new(poll_fn(|cx| {
            polls += 1;
            *inner.lock() = Some(cx.waker().clone());
            if polls == 3 { Poll::Ready(polls) } else { Poll::Pending }
        }));
        let waker = Waker::noop();
        for _ in 0..5 {
            assert!(poll(&mut quiet, waker).is_pending());
        }
        inner.lock().as_ref().unwrap().wake_by_ref();
        for _ in 0..5 {
            assert!(poll(&mut quiet, waker).is_pending());
        }
        inner.lock().as_ref().unwrap().wake_by_ref();
        assert_eq!(poll(&mut quiet, waker), Poll::Ready(3));
    }

    #[test]
    fn it_wakes_the_task_that_polled_it_last() {
        let inner = Mutex::new(None::<Waker>);
        let mut quiet = Quiet::new(poll_fn(|cx| {
            *inner.lock() = Some(cx.waker().clone());
            Poll::<()>::Pending
        }));
        let tasks = [0, 1].map(|_| Quiet::new(()).bell);
        for (at, task) in tasks.iter().enumerate() {
            assert!(poll(&mut quiet, &Waker::from(Arc::clone(task))).is_pending());
            tasks.iter().for_each(|task| task.rang.store(false, Ordering::SeqCst));
            inner.lock().as_ref().unwrap().wake_by_ref();
            assert_eq!([0, 1].map(|i| tasks[i].rang.load(Ordering::SeqCst)), [at == 0, at == 1]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_within_can_be_set_anew() {
        let begin = Instant::now();
        let mut quiet = Quiet::new(sleep(Duration::from_secs(60)));
        assert!(poll(&mut quiet, Waker::noop()).is_pending());
        quiet.get_mut().reset(begin + Duration::from_secs(1));
        quiet.await;
        assert_eq!(begin.elapsed().as_secs(), 1);
    }

    /// The bell rings on another thread while the task is being changed: no ring may be missed.
    #[test]
    fn no_ring_is_missed_between_threads() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        for _ in 0..2000 {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let task = runtime.spawn(Quiet::new(receiver));
            runtime.spawn(async { sender.send(7) });
            assert_eq!(runtime.block_on(task).unwrap(), Ok(7));
        }
    }
}

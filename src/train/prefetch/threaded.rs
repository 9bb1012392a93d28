//! Prefetch threads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::error::{Error, Result};

/// Items made ahead by worker threads, in order. An error is the last item. Dropping stops the workers after their current
/// items.
#[derive(Debug)]
pub struct Prefetch<T> {
    shared: Arc<Shared<T>>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    /// Signals every change of the state.
    changed: Condvar,
    ahead: u64,
}

#[derive(Debug)]
struct State<T> {
    ready: BTreeMap<u64, Result<T>>,
    /// The next item to take.
    next: u64,
    /// Items that no worker has begun.
    left: Range<u64>,
    /// Workers that have not returned.
    running: usize,
    stop: bool,
}

/// Counts its worker as ended, also when it panics.
struct Running<'a, T>(&'a Shared<T>);

impl<T> Drop for Running<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running -= 1;
        if std::thread::panicking() {
            // The others would wait for the missing item to be taken.
            state.left = 0..0;
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

impl<T> Shared<T> {
    /// The state. A panic in `make` does not hold the lock, so a poisoned one is still right.
    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: std::sync::MutexGuard<'a, State<T>>) -> std::sync::MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until an item may be begun; `None` when there is no more to do.
    fn begin(&self) -> Option<u64> {
        let mut state = self.lock();
        loop {
            if state.stop || state.left.is_empty() {
                return None;
            }
            if state.left.start < state.next.saturating_add(self.ahead) {
                return state.left.next();
            }
            state = self.wait(state);
        }
    }
}

impl<T: Send + 'static> Prefetch<T> {
    /// Makes the items of these numbers on `workers` threads, up to `ahead` before they are taken; at least one each. Errors
    /// if a thread cannot be started.
    pub fn new(
        [ahead, workers]: [usize; 2],
        items: Range<u64>,
        make: impl Fn(u64) -> Result<T> + Send + Sync + 'static,
    ) -> Result<Self> {
        let workers = workers.max(1);
        let state = State { ready: BTreeMap::new(), next: items.start, left: items, running: workers, stop: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), ahead: ahead.max(1) as u64 });
        let make = Arc::new(make);
        let mut this = Self { shared, workers: Vec::with_capacity(workers) };
        for _ in 0..workers {
            let (shared, make) = (this.shared.clone(), make.clone());
            let work = move || {
                let _running = Running(&shared);
                while let Some(number) = shared.begin() {
                    let item = make(number);
                    let mut state = shared.lock();
                    if item.is_err() {
                        state.left = 0..0;
                    }
                    state.ready.insert(number, item);
                    drop(state);
                    shared.changed.notify_all();
                }
            };
            let worker = std::thread::Builder::new().name("batches".into()).spawn(work);
            this.workers.push(worker.map_err(|e| Error::io("worker thread", e))?);
        }
        Ok(this)
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let mut state = self.shared.lock();
        loop {
            let next = state.next;
            if let Some(item) = state.ready.remove(&next) {
                state.next = if item.is_err() { u64::MAX } else { next + 1 };
                drop(state);
                self.shared.changed.notify_all();
                return Some(item);
            }
            if state.running == 0 {
                break;
            }
            state = self.shared.wait(state);
        }
        // What an error or a panic left behind comes after a missing item.
        state.next = u64::MAX;
        state.ready.clear();
        drop(state);
        let failed = self.workers.drain(..).filter_map(|w| w.join().err()).count();
        (failed > 0).then(|| Err(Error::invalid("worker thread", "ended by a bug of this program")))
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A panic of a worker is of no interest here.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn items_come_in_order() {
        for workers in [1, 3] {
            // Even ones take longer.
            let make = |i| {
                std::thread::sleep(Duration::from_micros(if i % 2 == 0 { 300 } else { 10 }));
                Ok(i)
            };
            let got: Vec<u64> = Prefetch::new([2, workers], 7..50, make).unwrap().map(Result::unwrap).collect();
            assert_eq!(got, (7..50).collect::<Vec<_>>());
        }
        assert_eq!(Prefetch::new([2, 2], 3..3, Ok).unwrap().count(), 0);
    }

    #[test]
    fn an_error_is_the_last_item() {
        for workers in [1, 3] {
            let make = |i| if i == 3 { Err(Error::Cancelled) } else { Ok(i) };
            let got: Vec<_> = Prefetch::new([4, workers], 0..9, make).unwrap().collect();
            assert!(got.len() == 4 && matches!(got[3], Err(Error::Cancelled)), "{workers}: {got:?}");
        }
    }

    #[test]
    fn dropping_stops_the_workers() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let make = move |i| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(i)
        };
        let mut ahead = Prefetch::new([3, 2], 0..u64::MAX, make).unwrap();
        assert_eq!(ahead.next().unwrap().unwrap(), 0);
        drop(ahead);
        // One taken, three ahead of it.
        assert!(made.load(Ordering::SeqCst) <= 4);
    }

    #[test]
    fn a_panic_is_an_error() {
        for workers in [1, 2] {
            let mut ahead = Prefetch::new([1, workers], 0..3, |i| Ok(6 / (2 - i))).unwrap();
            assert_eq!((ahead.next().unwrap().unwrap(), ahead.next().unwrap().unwrap()), (3, 6));
            assert!(ahead.next().unwrap().unwrap_err().to_string().contains("bug"));
            assert!(ahead.next().is_none());
        }
    }
}

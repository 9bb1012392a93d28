//! A prefetch thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::error::{Error, Result};

/// Items made ahead by a worker thread, in order. An error is the last item. Dropping stops the worker after its
/// current item.
#[derive(Debug)]
pub struct Prefetch<T> {
    ready: Option<Receiver<Result<T>>>,
    worker: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts a worker that keeps up to `ahead` items ready. Errors if the thread cannot be started.
    pub fn new(ahead: usize, items: impl Iterator<Item = Result<T>> + Send + 'static) -> Result<Self> {
        let (sender, ready) = sync_channel(ahead);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let work = move || {
            for item in items {
                let last = item.is_err();
                // Sending fails once the receiver is dropped.
                if stopped.load(Ordering::Relaxed) || sender.send(item).is_err() || last {
                    return;
                }
            }
        };
        let worker = std::thread::Builder::new().name("batches".into()).spawn(work);
        let worker = worker.map_err(|e| Error::io("worker thread", e))?;
        Ok(Self { ready: Some(ready), worker: Some(worker), stop })
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        match self.ready.as_ref()?.recv() {
            Ok(item) => Some(item),
            Err(_) => {
                self.ready = None;
                let panicked = self.worker.take().is_some_and(|w| w.join().is_err());
                panicked.then(|| Err(Error::invalid("worker thread", "ended by a bug of this program")))
            }
        }
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes a worker that is blocked in send.
        self.ready = None;
        if let Some(worker) = self.worker.take() {
            // A panic of the worker is of no interest here.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn items_come_in_order() {
        let got: Vec<usize> = Prefetch::new(2, (0..50).map(Ok)).unwrap().map(Result::unwrap).collect();
        assert_eq!(got, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_is_the_last_item() {
        let items = (0..9).map(|i| if i == 3 { Err(Error::Cancelled) } else { Ok(i) });
        let got: Vec<_> = Prefetch::new(2, items).unwrap().collect();
        assert!(got.len() == 4 && matches!(got[3], Err(Error::Cancelled)));
    }

    #[test]
    fn dropping_stops_the_worker() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let mut ahead =
            Prefetch::new(2, (0..).map(move |i: usize| Ok(count.fetch_add(1, Ordering::SeqCst) + i))).unwrap();
        assert_eq!(ahead.next().unwrap().unwrap(), 0);
        drop(ahead);
        // One taken, two ready, one blocked in send, one begun.
        assert!(made.load(Ordering::SeqCst) <= 5);
    }

    #[test]
    fn a_panic_is_an_error() {
        let mut ahead = Prefetch::new(1, (0..3).map(|i| Ok(6 / (2 - i)))).unwrap();
        assert_eq!((ahead.next().unwrap().unwrap(), ahead.next().unwrap().unwrap()), (3, 6));
        assert!(ahead.next().unwrap().unwrap_err().to_string().contains("bug"));
        assert!(ahead.next().is_none());
    }
}

//! One value from a callback to a future.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

enum State<T> {
    Empty(Option<Waker>),
    Sent(T),
    /// The sender was dropped.
    Closed,
}

type Shared<T> = Arc<Mutex<State<T>>>;

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, State<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends the value.
pub(super) struct Sender<T>(Shared<T>);

/// The value, or `None` if the sender was dropped.
pub(super) struct Receiver<T>(Shared<T>);

/// Both ends.
pub(super) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Mutex::new(State::Empty(None)));
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> std::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receiver")
    }
}

impl<T> Sender<T> {
    pub(super) fn send(self, value: T) {
        self.put(State::Sent(value));
    }

    fn put(&self, state: State<T>) {
        let mut shared = lock(&self.0);
        let State::Empty(waker) = &mut *shared else { return };
        let waker = waker.take();
        *shared = state;
        // The task may run at once and take the lock.
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.put(State::Closed);
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut shared = lock(&self.0);
        match std::mem::replace(&mut *shared, State::Closed) {
            State::Sent(value) => Poll::Ready(Some(value)),
            State::Closed => Poll::Ready(None),
            State::Empty(_) => {
                *shared = State::Empty(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_arrive_and_a_dropped_sender_ends_the_wait() {
        let (sender, receiver) = oneshot();
        sender.send(1);
        assert_eq!(pollster::block_on(receiver), Some(1));
        let (sender, receiver) = oneshot();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            sender.send(2);
        });
        assert_eq!(pollster::block_on(receiver), Some(2));
        thread.join().unwrap();
        let (sender, receiver) = oneshot::<i32>();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            drop(sender);
        });
        assert_eq!(pollster::block_on(receiver), None);
        thread.join().unwrap();
    }
}

//! Going on with another device after one was lost.

use super::Backend;
use crate::error::{Error, Result};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often a device is opened again without anything being done in between.
const ATTEMPTS: u32 = 3;
/// Before the second attempt and later ones: a driver that resets the device takes a moment.
const PAUSE: Duration = Duration::from_secs(2);

type Open = Box<dyn FnMut() -> Result<Backend> + Send>;

/// Opens devices in place of lost ones, for work that can go on where it was. Without a function that opens them it opens
/// none, and a lost device is an error.
#[derive(Default)]
pub struct Recovery {
    open: Option<Mutex<Open>>,
    in_a_row: u32,
    pause: Duration,
}

impl std::fmt::Debug for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Recovery").field("opens", &self.open.is_some()).field("in_a_row", &self.in_a_row).finish()
    }
}

impl Recovery {
    /// `open` opens a device like the one that was lost: the same choice of adapter, and the same options. Where that does
    /// not help it is called again after two seconds. It blocks, so a browser, where opening a device has to be awaited,
    /// has no use for it.
    pub fn new(open: impl FnMut() -> Result<Backend> + Send + 'static) -> Self {
        Self { open: Some(Mutex::new(Box::new(open))), in_a_row: 0, pause: PAUSE }
    }

    /// Something was done since a device was last opened.
    pub fn progressed(&mut self) {
        self.in_a_row = 0;
    }

    /// Opens a device after [`Error::DeviceLost`]; returns any other error, and that one too after three devices without
    /// progress. What is begun after that may open as many again.
    pub fn reopen(&mut self, e: Error) -> Result<Backend> {
        let (Some(open), Error::DeviceLost(lost)) = (&mut self.open, &e) else { return Err(e) };
        let open = open.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut failed = None;
        while self.in_a_row < ATTEMPTS {
            if self.in_a_row > 0 {
                std::thread::sleep(self.pause);
            }
            self.in_a_row += 1;
            log::warn!("{e}: opening it again");
            match open() {
                Ok(backend) => return Ok(backend),
                Err(e) => failed = Some(e),
            }
        }
        self.in_a_row = 0;
        let why = failed.map_or_else(String::new, |e| format!(", the last time with: {e}"));
        Err(Error::DeviceLost(format!("{lost}; it was opened {ATTEMPTS} times in a row without progress{why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Error {
        Error::DeviceLost("x".into())
    }

    fn at_once(open: impl FnMut() -> Result<Backend> + Send + 'static) -> Recovery {
        Recovery { pause: Duration::ZERO, ..Recovery::new(open) }
    }

    #[test]
    fn attempts_are_bounded_and_progress_renews_them() {
        let mut recovery = at_once(|| Ok(Backend::Cpu));
        for _ in 0..2 {
            drop(recovery.reopen(lost()).unwrap());
            recovery.progressed();
            (0..ATTEMPTS).for_each(|_| drop(recovery.reopen(lost()).unwrap()));
            let e = recovery.reopen(lost()).unwrap_err().to_string();
            assert!(e.starts_with("the GPU device was lost: x; it was opened 3 times in a row"), "{e}");
            // The next image may be segmented again.
        }
        assert!(matches!(recovery.reopen(Error::NoAdapter), Err(Error::NoAdapter)), "no loss");
        assert!(matches!(Recovery::default().reopen(lost()), Err(Error::DeviceLost(_))), "nothing to open with");
    }

    #[test]
    fn a_device_that_cannot_be_opened_is_tried_again() {
        let mut tries = 0;
        let mut recovery = at_once(move || {
            tries += 1;
            if tries < 3 { Err(Error::NoAdapter) } else { Ok(Backend::Cpu) }
        });
        assert!(recovery.reopen(lost()).is_ok());
        let mut never = at_once(|| Err(Error::NoAdapter));
        let e = never.reopen(lost()).unwrap_err().to_string();
        assert!(e.contains("without progress, the last time with: no GPU adapter found"), "{e}");
    }
}

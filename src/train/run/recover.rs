//! A run that goes on after its device was lost.

use std::collections::VecDeque;

use super::TrainRun;
use crate::error::{Error, Hint, Result};
use crate::session::{Backend, Recovery};
use crate::train::checkpoint::load_state;
use crate::train::report::Report;

impl TrainRun {
    /// Lets the run go on by itself when its device is lost, on a device that `recovery` opens: from its last checkpoint, as a
    /// resumed run does and with the same results. Three losses in a row without a checkpoint in between are an error. Each loss
    /// is logged as a warning.
    #[must_use]
    pub fn with_recovery(self, recovery: Recovery) -> Self {
        Self { recovery, ..self }
    }

    /// Goes back to the last checkpoint on another device, if `e` is the loss of the one in use; otherwise returns the error.
    pub(super) async fn recover(&mut self, mut e: Error) -> Result<()> {
        loop {
            let Backend::Gpu(gpu) = self.recovery.reopen(e)? else {
                return Err(Error::invalid("recovery", "opened the CPU reference, which does not train"));
            };
            let (state, _) = load_state(self.files.last())?;
            match self.trainer.recover_async(&gpu, &state.tensors).await {
                Err(lost @ Error::DeviceLost(_)) => e = lost,
                Err(other) => return Err(out_of_memory(other)),
                Ok(()) => {
                    let path = self.files.last();
                    self.progress =
                        serde_json::from_value(state.extra).map_err(|e| Error::file(path, e.to_string()))?;
                    self.report = Report::resume(&self.files.dir, state.step)?;
                    log::warn!("going on after step {}, the last checkpoint", state.step);
                    (self.step, self.best, self.gpu) = (state.step, state.best, gpu);
                    (self.sum, self.crops) = (0.0, VecDeque::new());
                    return Ok(());
                }
            }
        }
    }
}

/// An error of training; where the device has no memory left, with what takes less.
pub(super) fn out_of_memory(e: Error) -> Error {
    e.with_remedy(Hint::TrainMemory)
}

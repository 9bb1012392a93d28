//! What a trainer knows of the steps that are recorded into encoders of the application.

use crate::session::{Readback, Recording};
use std::collections::VecDeque;

/// The steps that are recorded into encoders of the application.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// The step that is being recorded, with the number of its batch.
    pub current: Option<(u64, Recording)>,
    /// Losses on their way to the host.
    pub losses: VecDeque<(u64, Option<Readback>)>,
    /// Milliseconds of each dispatch; empty until measured.
    pub times: Vec<f64>,
}

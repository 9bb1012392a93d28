//! TIFF files with a page of results for every page of an image.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::calibration::Calibration;
use super::decode::{StoredPage, StoredStrips};
use super::output::{SampleKind, StripLayout, StripTiff, stack_tags};
use crate::error::{Error, Result};
use crate::io::{Output, Part, PendingFile, PendingHandle};

/// A TIFF file whose pages are the results of an image's pages: they come one by one, in any order, and the file appears when it has
/// them all. What comes before its turn waits in a temporary file.
#[derive(Clone)]
pub struct Stack(Arc<Mutex<State>>);

struct State {
    path: PathBuf,
    planes: usize,
    times: usize,
    calibration: Calibration,
    /// Pages that others come before.
    waiting: BTreeMap<usize, Part>,
    /// The page whose turn it is.
    next: usize,
    whole: Option<Whole>,
    abandoned: bool,
}

/// The file as far as it is written.
struct Whole {
    file: PendingFile,
    strips: StripTiff<PendingHandle>,
    /// Pages of a part.
    channels: usize,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stack").field(&self.state().path).finish()
    }
}

impl Stack {
    /// The results of z planes at some times, planes first, in a file.
    pub fn new(path: PathBuf, [planes, times]: [usize; 2]) -> Self {
        let (calibration, waiting) = (Calibration::default(), BTreeMap::new());
        Self(Arc::new(Mutex::new(State {
            path,
            planes,
            times,
            calibration,
            waiting,
            next: 0,
            whole: None,
            abandoned: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the result of a page goes: a TIFF file such as a [`MaskSink`](super::MaskSink) writes.
    pub fn page(&self, page: usize) -> Output {
        let state = self.0.clone();
        let path = self.state().path.clone();
        Output::part(path, move |part| state.lock().unwrap_or_else(PoisonError::into_inner).receive(page, part))
    }

    /// Adds the calibration, before the last page comes.
    pub fn calibrate(&self, calibration: Calibration) {
        self.state().calibration = calibration;
    }

    /// Gives the file up: nothing is left of it, and further pages are dropped.
    pub fn abandon(&self) {
        self.state().abandon();
    }

    /// Whether the file is written.
    pub fn is_complete(&self) -> bool {
        let state = self.state();
        !state.abandoned && state.next == state.pages()
    }
}

impl State {
    fn pages(&self) -> usize {
        self.planes.saturating_mul(self.times)
    }

    fn abandon(&mut self) {
        self.abandoned = true;
        self.waiting.clear();
        self.whole = None;
    }

    fn receive(&mut self, page: usize, part: Part) -> Result<()> {
        if self.abandoned {
            return Ok(());
        }
        self.waiting.insert(page, part);
        self.proceed().inspect_err(|_| self.abandon())
    }

    fn proceed(&mut self) -> Result<()> {
        while let Some(part) = self.waiting.remove(&self.next) {
            self.append(&part)?;
            self.next += 1;
        }
        if self.next < self.pages() {
            return Ok(());
        }
        let Some(Whole { file, strips, channels }) = self.whole.take() else { return Ok(()) };
        let tags = stack_tags(&self.calibration, [channels, self.planes, self.times]);
        strips.with_tags(tags).finish().map_err(|e| file.error(e))?;
        file.finish()
    }

    fn append(&mut self, part: &Part) -> Result<()> {
        let wrong = |e| Error::io(&self.path, e);
        let mut stored = part.reader().and_then(|r| StoredStrips::open(BufReader::new(r))).map_err(wrong)?;
        let pages = std::mem::take(&mut stored.pages);
        let Some(first) = pages.first() else { return Err(Error::file(&self.path, "a page has no image")) };
        let (sample, channels) = (sample_of(first), pages.len());
        let whole = match self.whole.take() {
            Some(whole) => whole.suited(&self.path, self.next, first, channels)?,
            None => Whole::begin(&self.path, first, channels, self.pages())?,
        };
        let Whole { file, strips, .. } = self.whole.insert(whole);
        let narrow = strips.layout().sample != sample;
        let mut bytes = Vec::new();
        for (channel, page) in pages.iter().enumerate() {
            let number = self.next * channels + channel;
            for &strip in &page.strips {
                let copied = stored.strip(strip, &mut bytes).and_then(|()| match narrow {
                    true => strips.packed_narrow(number, &bytes),
                    false => strips.packed(number, &bytes),
                });
                copied.map_err(|e| file.error(e))?;
            }
        }
        Ok(())
    }
}

fn sample_of(page: &StoredPage) -> SampleKind {
    if page.float { SampleKind::Float } else { SampleKind::Uint(page.bits / 8) }
}

impl Whole {
    fn begin(path: &Path, page: &StoredPage, channels: usize, pages: usize) -> Result<Self> {
        let [width, height] = page.size;
        let layout = StripLayout { width, height, pages: pages.saturating_mul(channels), sample: sample_of(page) };
        let file = PendingFile::create(path)?;
        let strips = StripTiff::new(file.handle()?, layout).map_err(|e| file.error(e))?;
        Ok(Self { file, strips, channels })
    }

    /// The file, which a page like `page` can be added to.
    fn suited(self, path: &Path, number: usize, page: &StoredPage, channels: usize) -> Result<Self> {
        let StripLayout { width, height, sample, .. } = *self.strips.layout();
        let ([w, h], new) = (page.size, sample_of(page));
        if ([w, h], channels) != ([width, height], self.channels) {
            let reason = format!(
                "page {number} has {w}x{h} pixels, those before it {width}x{height}: pages of a stack are of one size"
            );
            return Err(Error::file(path, reason));
        }
        match (sample, new) {
            (old, new) if old == new => Ok(self),
            // More than 65,535 instances in some pages alone.
            (SampleKind::Uint(4), SampleKind::Uint(2)) => Ok(self),
            (SampleKind::Uint(2), SampleKind::Uint(4)) => {
                let file = PendingFile::create(path)?;
                let written = self.file.handle()?;
                let strips = self.strips.widened(file.handle()?, written).map_err(|e| file.error(e))?;
                Ok(Self { file, strips, channels })
            }
            _ => Err(Error::file(path, format!("page {number} has other samples than those before it"))),
        }
    }
}

#[cfg(test)]
mod tests;

//! TIFF files with a page of results for every page of an image, and labels of all planes as OME-Zarr.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::calibration::Calibration;
use super::decode::{StoredPage, StoredStrips};
#[cfg(feature = "ome-zarr")]
use super::instance_files::LabelPlanes;
use super::output::{SampleKind, StripLayout, StripTiff, stack_tags};
use crate::error::{Error, Result};
use crate::io::{Output, Part, PendingFile, PendingHandle, fs::File};

/// A TIFF file whose pages are the results of an image's pages, or labels of all of them in a folder (OME-Zarr): they come one by one,
/// in any order, and the file appears when it has them all. What comes before its turn waits in a temporary file.
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
    folder: bool,
    whole: Option<Whole>,
    abandoned: bool,
}

/// What is written so far.
enum Whole {
    Tiff(Pages),
    #[cfg(feature = "ome-zarr")]
    Labels(LabelPlanes),
}

/// A file as far as it is written.
struct Pages {
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
    pub fn new(path: PathBuf, axes: [usize; 2]) -> Self {
        Self::of(path, axes, false)
    }

    /// The same for labels in a folder, OME-Zarr.
    #[cfg(feature = "ome-zarr")]
    pub fn folder(path: PathBuf, axes: [usize; 2]) -> Self {
        Self::of(path, axes, true)
    }

    fn of(path: PathBuf, [planes, times]: [usize; 2], folder: bool) -> Self {
        let (calibration, waiting) = (Calibration::default(), BTreeMap::new());
        Self(Arc::new(Mutex::new(State {
            path,
            planes,
            times,
            calibration,
            waiting,
            next: 0,
            folder,
            whole: None,
            abandoned: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the result of a page goes: a TIFF file such as a [`MaskSink`](super::MaskSink) writes.
    pub fn page(&self, page: usize) -> Output {
        let (state, path) = (self.0.clone(), self.state().beside());
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

    /// A name where its parts lie: of labels in an image's folder `labels`, beside that, which need not exist yet.
    fn beside(&self) -> PathBuf {
        let labels = self.path.parent().filter(|p| p.file_name().is_some_and(|n| n == "labels"));
        match self.folder {
            true => labels.unwrap_or(&self.path).with_extension("part"),
            false => self.path.clone(),
        }
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
        match self.whole.take() {
            None => Ok(()),
            Some(Whole::Tiff(Pages { file, strips, channels })) => {
                let tags = stack_tags(&self.calibration, [channels, self.planes, self.times]);
                strips.with_tags(tags).finish().map_err(|e| file.error(e))?;
                file.finish()
            }
            #[cfg(feature = "ome-zarr")]
            Some(Whole::Labels(labels)) => labels.finish(),
        }
    }

    fn append(&mut self, part: &Part) -> Result<()> {
        let wrong = |e| Error::io(&self.path, e);
        let mut stored = part.reader().and_then(|r| StoredStrips::open(BufReader::new(r))).map_err(wrong)?;
        let pages = std::mem::take(&mut stored.pages);
        let Some(first) = pages.first() else { return Err(Error::file(&self.path, "a page has no image")) };
        match self.whole.take() {
            #[cfg(feature = "ome-zarr")]
            None if self.folder => self.label(stored, first, None),
            #[cfg(feature = "ome-zarr")]
            Some(Whole::Labels(labels)) => self.label(stored, first, Some(labels)),
            None => {
                let whole = Pages::begin(&self.path, first, pages.len(), self.pages())?;
                self.add(stored, &pages, whole)
            }
            Some(Whole::Tiff(whole)) => {
                let whole = whole.suited(&self.path, self.next, first, pages.len())?;
                self.add(stored, &pages, whole)
            }
        }
    }

    /// Adds the pages of a part to the file.
    fn add(&mut self, mut stored: Stored, pages: &[StoredPage], whole: Pages) -> Result<()> {
        let Pages { file, mut strips, channels } = whole;
        let narrow = pages.first().is_some_and(|first| strips.layout().sample != sample_of(first));
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
        self.whole = Some(Whole::Tiff(Pages { file, strips, channels }));
        Ok(())
    }

    /// Adds the labels of a part as the next plane.
    #[cfg(feature = "ome-zarr")]
    fn label(&mut self, mut stored: Stored, page: &StoredPage, labels: Option<LabelPlanes>) -> Result<()> {
        let size = page.size.map(|side| side as usize);
        let mut labels = match labels {
            Some(labels) => labels,
            None => LabelPlanes::all(&self.path, size, [self.planes, self.times], &self.calibration)?,
        };
        if labels.size() != size {
            return Err(other_size(&self.path, self.next, page.size, labels.size().map(|side| side as u32)));
        }
        labels.page(self.next);
        let read = |e| Error::io(&self.path, e);
        let (mut bytes, mut line) = (Vec::new(), Vec::new());
        for &strip in &page.strips {
            stored.unpacked(strip, &mut bytes).map_err(read)?;
            for row in bytes.chunks_exact((size[0] * usize::from(page.bits / 8)).max(1)) {
                line.clear();
                match page.bits {
                    16 => line.extend(row.as_chunks().0.iter().map(|&b| u32::from(u16::from_ne_bytes(b)))),
                    32 if !page.float => line.extend(row.as_chunks().0.iter().map(|&b| u32::from_ne_bytes(b))),
                    _ => return Err(Error::file(&self.path, "a page holds no labels")),
                }
                labels.row(&line)?;
            }
        }
        self.whole = Some(Whole::Labels(labels));
        Ok(())
    }
}

/// A part, which is read.
type Stored = StoredStrips<BufReader<File>>;

fn other_size(path: &Path, number: usize, [w, h]: [u32; 2], [width, height]: [u32; 2]) -> Error {
    let reason =
        format!("page {number} has {w}x{h} pixels, those before it {width}x{height}: pages of a stack are of one size");
    Error::file(path, reason)
}

fn sample_of(page: &StoredPage) -> SampleKind {
    if page.float { SampleKind::Float } else { SampleKind::Uint(page.bits / 8) }
}

impl Pages {
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
        let new = sample_of(page);
        if (page.size, channels) != ([width, height], self.channels) {
            return Err(other_size(path, number, page.size, [width, height]));
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

//! Instances of a segmented image of any size: numbered, measured and outlined, in bounded memory.
//!
//! Rows of class ids go into a [`ConnectedComponents`], which finds connected components by union-find over runs of
//! equal classes and stores the runs (in a temporary file if there are many). [`ConnectedComponents::finish`] numbers
//! the instances from 1 in the order of their first pixels (row by row), so numbers do not depend on tiles. Touching
//! instances are separated one component at a time, areas and probabilities are compared in a table of the instances, and
//! gaps are closed a row at a time. The resulting [`Instances`] are read as rows ([`Instances::rows`]) or one by one ([`Instances::instances`]).
//!
//! Memory holds tables of about 40 bytes per instance and the instances that cross the current row, never the image.

mod classes;
pub mod contour;
mod described;
mod diameter;
mod elevation;
mod fill;
mod filter;
pub(super) mod foreground;
mod gaps;
mod geometry;
mod instance;
mod map;
mod offsets;
mod options;
mod resized;
pub(super) mod runs;
mod samples;
mod smoothing;
pub(super) mod split;
mod union;

use classes::Classes;
pub use contour::{Polygon, Ring};
pub use described::{Coordinates, InstanceSource};
pub(crate) use diameter::median_diameter;
pub use foreground::{find_instances, find_instances_in};
use geometry::Geometry;
pub use instance::{Instance, InstanceRun};
pub use map::InstanceMap;
pub use options::{ElevationRule, InstanceOptions, OffsetRule, Separation};
pub use runs::Run;
use runs::{Bands, Rows};
use samples::Samples;
use split::Relief;
pub(super) use union::Union;

use crate::error::{Error, Result};
use crate::infer::limit::MemoryLimit;
use crate::text::mib;
pub use crate::weights::{Connectivity, InstanceMethod, InstanceSettings};

/// Finds instances in an image's class ids, row by row.
#[derive(Debug)]
pub struct ConnectedComponents {
    width: usize,
    height: usize,
    options: InstanceOptions,
    union: Union,
    rows: Rows,
    row: Vec<Run>,
    samples: Option<Samples>,
    /// Foreground probabilities, if instances are dropped by them.
    confidence: Option<Samples<u16>>,
    /// By what touching instances are separated, if a network predicts it.
    geometry: Option<Geometry>,
    /// Classes of pixels, where instances are separated whatever their class.
    classes: Option<Classes>,
    /// Rows and columns to which the instances are resized in the end.
    resized: Option<[usize; 2]>,
    pushed: usize,
}

impl ConnectedComponents {
    /// For an image of `width` x `height` pixels.
    pub fn new(width: usize, height: usize, options: &InstanceOptions) -> Result<Self> {
        options.check()?;
        let side = |n: usize| u32::try_from(n).ok().filter(|&n| n > 0 && n <= i32::MAX as u32);
        let (Some(w), Some(h)) = (side(width), side(height)) else {
            return Err(Error::invalid("image", format!("instances of {width}x{height} pixels cannot be numbered")));
        };
        let geometry = Geometry::new(width, height, options)?;
        // Holes of instances that a network tells apart are filled once they are: several may enclose a background.
        let union = Union::new(w, h, options.connectivity, options.fill_holes && geometry.is_none());
        Ok(Self {
            width,
            height,
            options: options.clone(),
            union,
            classes: geometry.is_some().then(|| Classes::new(Rows::new(&options.scratch))),
            geometry,
            rows: Rows::new(&options.scratch),
            row: Vec::new(),
            samples: None,
            confidence: (options.min_confidence > 0.0).then(|| Samples::new(&options.scratch, width, 1)),
            resized: None,
            pushed: 0,
        })
    }

    /// Resizes the instances to `width` x `height` pixels once they are found: every pixel belongs to the instance of the nearest
    /// one, as [`Self::with_samples`] has them. For networks that take the image resized; call it before the first row.
    #[must_use]
    pub fn resized(mut self, width: usize, height: usize) -> Self {
        self.resized = Some([height, width]);
        self
    }

    /// Also stores the image's samples in instances, for their means; call it before the first row, and after
    /// [`Self::resized`]. Every row (of the resized instances) then needs samples of `channels` channels.
    #[must_use]
    pub fn with_samples(mut self, channels: usize) -> Self {
        let width = self.resized.map_or(self.width, |[_, width]| width);
        self.samples = Some(Samples::new(&self.options.scratch, width, channels));
        self
    }

    /// Appends the samples of the last row, or of the next row of resized instances: planar (channel, column).
    pub fn push_samples(&mut self, planes: &[f32]) -> Result<()> {
        match &mut self.samples {
            // The instances of these pixels are known at the end.
            Some(samples) if self.resized.is_some() => samples.push_row(planes),
            // A gap that is closed later belongs to no run yet.
            Some(samples) if self.options.close_gaps > 0 => {
                samples.push(&[Run { start: 0, end: self.width as u32, label: 0 }], planes)
            }
            Some(samples) => samples.push(&self.row, planes),
            None => Err(Error::invalid("objects", "push_samples without with_samples")),
        }
    }

    /// Appends the next row: one class id per column; 0 is the background.
    pub fn push_row<T: Copy + Into<u32>>(&mut self, classes: &[T]) -> Result<()> {
        if classes.len() != self.width || self.pushed == self.height {
            let reason = format!("row {} of {} class ids", self.pushed, classes.len());
            return Err(Error::invalid("objects", format!("{reason} is not of {}x{} pixels", self.width, self.height)));
        }
        let ids = classes.iter().map(|&c| c.into());
        if let Some(classes) = &mut self.classes {
            classes.push(ids.clone())?;
        }
        match &mut self.geometry {
            None => self.union.row(ids, &mut self.row),
            Some(Geometry::Elevation(_)) => self.union.row(ids.map(|id| id.min(1)), &mut self.row),
            Some(Geometry::Offsets(_, inside)) => {
                inside.clear();
                inside.extend(ids.map(|id| id > 0));
                // Which pixels are of instances shows at the end.
                self.row.clear();
                self.row.push(Run { start: 0, end: self.width as u32, label: 0 });
                self.pushed += 1;
                return Ok(());
            }
        }
        self.pushed += 1;
        self.rows.push(&self.row)?;
        // Numbering needs further tables of the same size.
        let needed = 2 * self.union.bytes();
        if needed > self.options.memory || self.union.labels() > (u32::MAX - 2) as usize - self.width {
            return Err(Error::Limit {
                what: format!("the table of {} pieces of instances up to row {}", self.union.labels(), self.pushed - 1),
                needed: mib(needed),
                limit: self.options.limit().to_string(),
            });
        }
        Ok(())
    }

    /// Numbers the instances after all rows were pushed.
    pub fn finish(self) -> Result<Instances> {
        let Self {
            width, height, options, union, rows, samples, confidence, geometry, classes, resized, pushed, ..
        } = self;
        let sampled = resized.map_or(height, |[height, _]| height);
        if pushed != height || samples.as_ref().is_some_and(|s| s.rows() != sampled) {
            return Err(Error::invalid("objects", format!("only {pushed} of {height} rows were pushed")));
        }
        if confidence.as_ref().is_some_and(|c| c.rows() != height) {
            return Err(Error::invalid("instances", "probabilities are missing"));
        }
        let mut instances = match geometry {
            Some(Geometry::Offsets(offsets, _)) => {
                let (mut instances, first) = offsets.finish(&options)?;
                if options.fill_holes {
                    fill::fill(&mut instances, &options)?;
                }
                instances.renumber(&first);
                Instances { samples, ..instances }
            }
            geometry => {
                // With their holes, parts may be large enough.
                let min_area = if geometry.is_some() { 0 } else { options.min_area };
                let numbered = union.finish(min_area);
                let mut whole = Instances {
                    width,
                    height,
                    memory: options.limit(),
                    source: Source::Rows(rows),
                    samples,
                    number: numbered.number,
                    class: numbered.class,
                    last: numbered.last,
                    whole: Vec::new(),
                };
                match (options.separation, geometry) {
                    (Separation::Watershed { depth }, _) => {
                        split::split(&mut whole, Relief::Distance { depth }, &options)?
                    }
                    (_, Some(Geometry::Elevation(elevation))) => {
                        let (heights, rule) = elevation.finish(height)?;
                        let every = options.clone().with_min_area(0);
                        let mut parts = split::split(&mut whole, Relief::Elevation { heights, rule }, &every)?;
                        if options.fill_holes {
                            fill::fill(&mut parts, &options)?;
                        }
                        parts
                    }
                    _ => whole,
                }
            }
        };
        if let Some(classes) = classes {
            classes.vote(&mut instances)?;
        }
        filter::filter(&mut instances, confidence, &options)?;
        if options.close_gaps > 0 {
            gaps::close(&mut instances, options.close_gaps as usize, &options.scratch)?;
        }
        if let Some(size) = resized {
            resized::resize(&mut instances, size, &options.scratch)?;
        }
        Ok(instances)
    }
}

/// Yields the next row.
type NextRow<'a> = Box<dyn FnMut(&mut Vec<Run>) -> Result<()> + 'a>;

#[derive(Debug)]
enum Source {
    Rows(Rows),
    Bands(Bands),
}

/// The numbered instances of an image.
#[derive(Debug)]
pub struct Instances {
    width: usize,
    height: usize,
    memory: MemoryLimit,
    source: Source,
    samples: Option<Samples>,
    /// Instance number by the label of runs in `source`.
    number: Vec<u32>,
    /// Class by instance number; entry 0 is unused.
    class: Vec<u32>,
    last: Vec<u32>,
    whole: Vec<String>,
}

impl Instances {
    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of instances, which is also the largest number.
    pub fn count(&self) -> usize {
        self.class.len() - 1
    }

    /// Class of instance `number`; 0 if there is none.
    pub fn class(&self, number: u32) -> usize {
        self.class.get(number as usize).map_or(0, |&c| c as usize)
    }

    /// Channels of the image whose means the instances have; 0 without them.
    pub(crate) fn sample_channels(&self) -> usize {
        self.samples.as_ref().map_or(0, |s| s.channels())
    }

    /// Positions of instances that were not split for lack of memory.
    pub fn left_whole(&self) -> &[String] {
        &self.whole
    }

    /// Keeps the instances for which `keep` holds, and numbers them anew in the same order.
    fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        let mut new = vec![0u32; self.class.len()];
        let mut count = 0;
        for (old, new) in new.iter_mut().enumerate().skip(1) {
            if keep(old) {
                count += 1;
                *new = count as u32;
                (self.class[count], self.last[count]) = (self.class[old], self.last[old]);
            }
        }
        self.class.truncate(count + 1);
        self.last.truncate(count + 1);
        self.number.iter_mut().for_each(|n| *n = new[*n as usize]);
    }

    /// Numbers the instances anew by their first pixels (row and column), given by number; entry 0 is unused.
    fn renumber(&mut self, first: &[(u32, u32)]) {
        let mut order: Vec<u32> = (1..self.class.len() as u32).collect();
        order.sort_unstable_by_key(|&n| first[n as usize]);
        let mut new = vec![0; self.class.len()];
        let (class, last) = (self.class.clone(), self.last.clone());
        for (number, old) in (1..).zip(order) {
            let (to, from) = (number as usize, old as usize);
            new[from] = number;
            (self.class[to], self.last[to]) = (class[from], last[from]);
        }
        self.number.iter_mut().for_each(|n| *n = new[*n as usize]);
    }

    /// Visits the rows of the image in order, as runs of instances sorted by column and labelled with the instance's
    /// number. Runs of one instance do not touch.
    pub fn rows(&mut self, mut each: impl FnMut(usize, &[Run]) -> Result<()>) -> Result<()> {
        let Self { source, number, height, .. } = self;
        let mut next: NextRow = match source {
            Source::Rows(rows) => Box::new(rows.read()?),
            Source::Bands(bands) => Box::new(bands.read()),
        };
        let (mut raw, mut row): (Vec<Run>, Vec<Run>) = Default::default();
        for y in 0..*height {
            next(&mut raw)?;
            row.clear();
            for run in &raw {
                let label = number.get(run.label as usize).copied().unwrap_or(0);
                match row.last_mut() {
                    _ if label == 0 => {}
                    Some(last) if last.label == label && last.end == run.start => last.end = run.end,
                    _ => row.push(Run { label, ..*run }),
                }
            }
            each(y, &row)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod rules;
#[cfg(test)]
mod tests;

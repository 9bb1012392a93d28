//! Single instances of a segmented image of any size: numbered, measured, outlined, in bounded memory.
//!
//! Rows of class ids go into a [`ConnectedComponents`], which finds connected components by union-find over runs of equal classes and
//! keeps the runs (in a temporary file when there are many). [`ConnectedComponents::finish`] numbers the instances from 1 on in the
//! order of their first pixels (row by row), so the numbers do not depend on how the rows came about: tiles leave no trace.
//! The [`Instances`] it gives are read as rows ([`Instances::rows`]) or as instances ([`Instances::instances`]).
//!
//! Memory is for tables of some 20 bytes an instance and for the instances that the current row meets, never for the image.

pub mod contour;
mod export;
mod instance;
mod runs;
mod samples;
mod shown;
mod sink;
mod split;
mod union;

use std::path::PathBuf;

pub use contour::{Polygon, Ring};
#[cfg(feature = "bioimage")]
pub use export::Rois;
pub use export::{Coco, Coordinates, GeoJson, Labels, Source as InstanceSource, Table, write_instances};
pub use instance::{Instance, InstanceRun};
pub use runs::Run;
use runs::{Bands, Rows};
use samples::Samples;
pub use sink::{InstanceReport, InstanceSink};
pub use union::Connectivity;
pub(super) use union::Union;

use crate::error::{Error, Result};
use crate::text::mib;

/// How touching instances are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Separation {
    /// Not at all: instances are the connected components of a class.
    #[default]
    Components,
    /// By the watershed of the distance to the instance's edge. Seeds are the maxima of the distance that stand at least
    /// `depth` pixels above every path to a higher one.
    Watershed {
        /// Pixels, above 0. Small values split more.
        depth: f64,
    },
}

/// How instances are found.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceOptions {
    /// How touching instances are told apart.
    pub separation: Separation,
    /// Which pixels are connected.
    pub connectivity: Connectivity,
    /// Instances of fewer pixels are left out.
    pub min_area: u64,
    /// Makes background that one instance encloses part of that instance. Holes at the image's border are open, and a hole
    /// with another instance in it is not filled.
    pub fill_holes: bool,
    /// Memory to stay under, bytes.
    pub memory: u64,
    /// Where temporary files lie.
    pub scratch: PathBuf,
}

impl Default for InstanceOptions {
    fn default() -> Self {
        Self {
            separation: Separation::Components,
            connectivity: Connectivity::Four,
            min_area: 0,
            fill_holes: false,
            memory: 1 << 30,
            scratch: crate::io::temporary_folder(),
        }
    }
}

impl InstanceOptions {
    fn check(&self) -> Result<()> {
        match self.separation {
            Separation::Watershed { depth } if !(depth.is_finite() && depth > 0.0) => {
                Err(Error::invalid("watershed", format!("depth {depth} is not a number above 0")))
            }
            _ => Ok(()),
        }
    }
}

/// Takes the class ids of an image row by row.
#[derive(Debug)]
pub struct ConnectedComponents {
    width: usize,
    height: usize,
    options: InstanceOptions,
    union: Union,
    rows: Rows,
    row: Vec<Run>,
    samples: Option<Samples>,
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
        Ok(Self {
            width,
            height,
            options: options.clone(),
            union: Union::new(w, h, options.connectivity, options.fill_holes),
            rows: Rows::new(&options.scratch),
            row: Vec::new(),
            samples: None,
            pushed: 0,
        })
    }

    /// Keeps the image's samples of instances, for their means; comes before the first row. From then on every row has
    /// samples of `channels` channels.
    #[must_use]
    pub fn with_samples(mut self, channels: usize) -> Self {
        self.samples = Some(Samples::new(&self.options.scratch, self.width, channels));
        self
    }

    /// Takes the samples of the row last given: planar (channel, column).
    pub fn push_samples(&mut self, planes: &[f32]) -> Result<()> {
        match &mut self.samples {
            Some(samples) => samples.push(&self.row, planes),
            None => Err(Error::invalid("objects", "samples were given that nobody asked for")),
        }
    }

    /// Takes the next row: as many class ids as the image has columns; 0 is the background.
    pub fn push_row<T: Copy + Into<u32>>(&mut self, classes: &[T]) -> Result<()> {
        if classes.len() != self.width || self.pushed == self.height {
            let reason = format!("row {} of {} class ids", self.pushed, classes.len());
            return Err(Error::invalid("objects", format!("{reason} is not of {}x{} pixels", self.width, self.height)));
        }
        self.union.row(classes.iter().map(|&c| c.into()), &mut self.row);
        self.pushed += 1;
        self.rows.push(&self.row)?;
        // Later tables are as long as those of now.
        let needed = 2 * self.union.bytes();
        if needed > self.options.memory || self.union.labels() > (u32::MAX - 2) as usize - self.width {
            return Err(Error::Limit {
                what: format!("the table of {} pieces of instances up to row {}", self.union.labels(), self.pushed - 1),
                needed: mib(needed),
                limit: format!("{} of memory", mib(self.options.memory)),
            });
        }
        Ok(())
    }

    /// Numbers the instances, once all rows are in.
    pub fn finish(self) -> Result<Instances> {
        let Self { width, height, options, union, rows, samples, pushed, .. } = self;
        if pushed != height || samples.as_ref().is_some_and(|s| s.rows() != height) {
            return Err(Error::invalid("objects", format!("{pushed} of {height} rows were given")));
        }
        let min_area = options.min_area;
        let numbered = union.finish(min_area);
        let mut instances = Instances {
            width,
            height,
            memory: options.memory,
            source: Source::Rows(rows),
            samples,
            number: numbered.number,
            class: numbered.class,
            last: numbered.last,
            whole: Vec::new(),
        };
        match options.separation {
            Separation::Components => Ok(instances),
            Separation::Watershed { depth } => split::split(&mut instances, depth, &options),
        }
    }
}

/// Gives the next row.
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
    memory: u64,
    source: Source,
    samples: Option<Samples>,
    /// Number of the instance by the label of runs in `source`.
    number: Vec<u32>,
    /// By number; entry 0 stands for no instance.
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

    /// Number of instances, and the largest number of one.
    pub fn count(&self) -> usize {
        self.class.len() - 1
    }

    /// Class of the instance `number`; 0 if there is none.
    pub fn class(&self, number: u32) -> usize {
        self.class.get(number as usize).map_or(0, |&c| c as usize)
    }

    /// What was not split for want of memory, and where it lies.
    pub fn left_whole(&self) -> &[String] {
        &self.whole
    }

    /// Gives the rows of the image in order: the runs of instances, by column, labelled with the instance's number. No two
    /// runs of one instance touch.
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
mod tests;

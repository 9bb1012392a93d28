//! A page of an image, read by chunks.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::array::Array;
use super::group::{Multiscale, Role};
use super::samples::{Kind, Plane};
use crate::error::{Error, Message, Result};
use crate::infer::channel_kind::ChannelKind;
use crate::infer::decode::chunks::{Chunk, ChunkCache};
use crate::infer::decode::{Bounds, MAX_CHANNELS};
use crate::infer::image::{Image, Pixels, Sample};
use crate::infer::source::{ImageSource, SourceInfo};
use crate::text::mib;

/// Default size of the cache of decoded chunks, in bytes.
const CACHE: u64 = 64 << 20;

/// A plane of an image at one time, with all its channels.
pub(in crate::low_level::infer::decode) struct ZarrImage {
    folder: PathBuf,
    array: Array,
    /// Positions of the axes x and y; of channels, z and time if there are such.
    across: usize,
    down: usize,
    channels: Option<usize>,
    /// Axes on which the page has one position, with this position.
    fixed: Vec<(usize, u64)>,
    info: SourceInfo,
    cache: ChunkCache,
    rounded: Cell<bool>,
    described: usize,
}

/// Numbers of a plane as stored, row by row.
pub(in crate::low_level::infer::decode) enum Numbers {
    Integers(Vec<i64>),
    /// With the bound below which all integers are exact.
    Floats(Vec<f64>, f64),
}

impl ZarrImage {
    pub(super) fn open(multiscale: Multiscale, bounds: &Bounds, page: usize, level: usize) -> Result<Self> {
        let folder = multiscale.folder().to_path_buf();
        let wrong = |reason: String| Error::file(&folder, reason);
        let array = multiscale.array(level)?;
        let side = |role| multiscale.axis(role).and_then(|i| array.shape.get(i)).copied().unwrap_or(1);
        let [times, planes] = multiscale.stack(&array);
        let count = times.saturating_mul(planes);
        if page as u64 >= count {
            let have = if count == 1 { "one page".to_string() } else { format!("{count} pages") };
            return Err(wrong(format!("has {have}, there is no page {page} (they count from 0)")));
        }
        let (width, height, count) = (side(Role::X), side(Role::Y), side(Role::Channel));
        let pixels = width.checked_mul(height).filter(|&p| p <= bounds.pixels);
        if pixels.is_none() || width.max(height) > u64::from(u32::MAX) {
            let limit = bounds.pixels;
            return Err(wrong(format!("the image of {width}x{height} is over the limit of {limit} pixels")));
        }
        if count > MAX_CHANNELS as u64 {
            return Err(wrong(format!("{count} channels are more than the {MAX_CHANNELS} that are supported")));
        }
        if array.chunk_bytes() > bounds.memory {
            return Err(Error::Limit {
                what: format!("{}: a chunk of {:?} samples", array.folder.display(), array.chunk),
                needed: mib(array.chunk_bytes()),
                limit: format!("{} of memory", mib(bounds.memory)),
            });
        }
        let at = |role, position: u64| multiscale.axis(role).map(|axis| (axis, position));
        let fixed = [at(Role::Time, page as u64 / planes), at(Role::Z, page as u64 % planes)];
        let [Some(across), Some(down)] = [Role::X, Role::Y].map(|r| multiscale.axis(r)) else {
            return Err(wrong("has no axes x and y".into()));
        };
        let channels = count as usize;
        let info = SourceInfo {
            width: width as usize,
            height: height as usize,
            channels,
            sample: array.kind.sample(),
            kind: ChannelKind::of_count(channels),
        };
        Ok(Self {
            across,
            down,
            channels: multiscale.axis(Role::Channel),
            fixed: fixed.into_iter().flatten().collect(),
            info,
            cache: ChunkCache::new(CACHE),
            rounded: Cell::new(false),
            described: multiscale.described,
            array,
            folder,
        })
    }

    /// The first page in its full size.
    pub(in crate::low_level::infer::decode) fn first(folder: &Path, bounds: &Bounds) -> Result<Self> {
        Self::open(Multiscale::open(folder)?, bounds, 0, 0)
    }

    /// Columns and rows.
    pub(in crate::low_level::infer::decode) fn size(&self) -> [usize; 2] {
        [self.info.width, self.info.height]
    }

    /// A side of a chunk.
    fn side(&self, axis: usize) -> usize {
        self.array.chunk.get(axis).map_or(1, |&n| n as usize)
    }

    /// Channels of a chunk.
    fn together(&self) -> usize {
        self.channels.map_or(1, |axis| self.side(axis))
    }

    /// The bytes of a chunk with this number along channels, rows and columns, and where the page's plane lies in them.
    fn bytes(&mut self, [part, row, column]: [usize; 3]) -> Result<(Vec<u8>, Plane)> {
        let mut index = vec![0; self.array.shape.len()];
        let steps = self.array.steps();
        let step = |axis: usize| steps.get(axis).copied().unwrap_or(0);
        let mut first = 0;
        for &(axis, at) in &self.fixed {
            let side = self.side(axis) as u64;
            index[axis] = at / side;
            first += (at % side) as usize * step(axis);
        }
        (index[self.across], index[self.down]) = (column as u64, row as u64);
        if let Some(axis) = self.channels {
            index[axis] = part as u64;
        }
        let (cw, ch, together) = (self.side(self.across), self.side(self.down), self.together());
        let plane = Plane {
            first,
            width: cw.min(self.info.width.saturating_sub(column * cw)),
            height: ch.min(self.info.height.saturating_sub(row * ch)),
            channels: together.min(self.info.channels.saturating_sub(part * together)),
            steps: [step(self.across), step(self.down), self.channels.map_or(0, step)],
        };
        Ok(match self.array.chunk(&index)? {
            Some(bytes) => (bytes, plane),
            // One sample stands for all.
            None => (self.array.fill.clone(), Plane { first: 0, steps: [0; 3], ..plane }),
        })
    }

    fn chunk(&mut self, number: [usize; 3]) -> Result<Arc<Chunk>> {
        let key = (number[0], number[1], number[2]);
        if let Some(chunk) = self.cache.get(key) {
            return Ok(chunk);
        }
        let (bytes, plane) = self.bytes(number)?;
        let pixels = self.array.kind.pixels(&self.array.folder, &bytes, &plane, &self.rounded)?;
        let chunk = Arc::new(Chunk { pixels, width: plane.width, height: plane.height, together: plane.channels });
        self.cache.put(key, chunk.clone());
        Ok(chunk)
    }

    fn window<T: Copy + Default>(
        &mut self,
        [x0, y0, w, h]: [usize; 4],
        samples: fn(&Pixels) -> &[T],
    ) -> Result<Vec<T>> {
        let (cw, ch, together, channels) =
            (self.side(self.across), self.side(self.down), self.together(), self.info.channels);
        let mut out = Vec::new();
        let len = w * h * channels;
        out.try_reserve_exact(len)
            .map_err(|_| Error::file(&self.folder, format!("{len} samples do not fit in memory")))?;
        out.resize(len, T::default());
        for part in 0..channels.div_ceil(together) {
            for cy in y0 / ch..=(y0 + h - 1) / ch {
                for cx in x0 / cw..=(x0 + w - 1) / cw {
                    let chunk = self.chunk([part, cy, cx])?;
                    let from = samples(&chunk.pixels);
                    let (left, right) = (x0.max(cx * cw), (x0 + w).min(cx * cw + chunk.width));
                    let (top, bottom) = (y0.max(cy * ch), (y0 + h).min(cy * ch + chunk.height));
                    for y in top..bottom {
                        let row = ((y - cy * ch) * chunk.width + left - cx * cw) * chunk.together;
                        for k in 0..chunk.together {
                            let line = from.get(row + k..).unwrap_or_default().iter().step_by(chunk.together);
                            let at = ((y - y0) * w + left - x0) * channels + part * together + k;
                            let to = out.get_mut(at..).unwrap_or_default().iter_mut().step_by(channels);
                            to.zip(line).take(right.saturating_sub(left)).for_each(|(to, &v)| *to = v);
                        }
                    }
                }
            }
        }
        Ok(out)
    }

    /// The numbers of a page of one channel, exactly as stored.
    pub(in crate::low_level::infer::decode) fn numbers(&mut self) -> Result<Numbers> {
        let SourceInfo { width, height, channels, .. } = self.info;
        if channels != 1 {
            return Err(Error::file(&self.folder, format!("holds {channels} channels, not labels")));
        }
        super::check_whole(&self.folder, (width as u64 * height as u64).saturating_mul(8))?;
        let kind = self.array.kind;
        if kind.kind == Kind::Float {
            let values = self.whole(|bytes| Some(kind.float(bytes)))?;
            let exact = match kind.bytes {
                2 => 2048.0,
                4 => 16_777_216.0,
                _ => 9_007_199_254_740_992.0,
            };
            return Ok(Numbers::Floats(values, exact));
        }
        Ok(Numbers::Integers(self.whole(|bytes| kind.integer(bytes))?))
    }

    fn whole<T: Copy + Default>(&mut self, value: impl Fn(&[u8]) -> Option<T>) -> Result<Vec<T>> {
        let SourceInfo { width, height, .. } = self.info;
        let (cw, ch) = (self.side(self.across), self.side(self.down));
        let mut out = Vec::new();
        out.try_reserve_exact(width * height).map_err(|_| Error::file(&self.folder, "does not fit in memory"))?;
        out.resize(width * height, T::default());
        for cy in 0..height.div_ceil(ch) {
            for cx in 0..width.div_ceil(cw) {
                let (bytes, plane) = self.bytes([0, cy, cx])?;
                let mut beyond = false;
                let values = plane.gather(&self.folder, &bytes, self.array.kind.bytes, |b| {
                    value(b).unwrap_or_else(|| {
                        beyond = true;
                        T::default()
                    })
                })?;
                if beyond {
                    return Err(Error::file(&self.folder, "holds an integer beyond 9223372036854775807"));
                }
                for (y, row) in values.chunks_exact(plane.width.max(1)).enumerate() {
                    let at = (cy * ch + y) * width + cx * cw;
                    let to = out.get_mut(at..at + row.len()).unwrap_or_default();
                    to.iter_mut().zip(row).for_each(|(to, &v)| *to = v);
                }
            }
        }
        Ok(out)
    }
}

impl ImageSource for ZarrImage {
    fn info(&self) -> SourceInfo {
        self.info
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        self.info.check_inside(x0, y0, w, h)?;
        let window = [x0, y0, w, h];
        let pixels = match self.info.sample {
            Sample::U8 => Pixels::U8(self.window(window, |p| if let Pixels::U8(v) = p { v } else { &[] })?),
            Sample::U16 => Pixels::U16(self.window(window, |p| if let Pixels::U16(v) = p { v } else { &[] })?),
            Sample::F32 => Pixels::F32(self.window(window, |p| if let Pixels::F32(v) = p { v } else { &[] })?),
        };
        Image::new(w, h, self.info.channels, pixels)
    }

    fn notes(&self) -> Vec<Message> {
        match self.described {
            0 | 1 => Vec::new(),
            n => vec![format!("its metadata describe {n} images; the first is used").into()],
        }
    }

    fn rows_at_once(&self) -> usize {
        self.side(self.down).min(self.info.height)
    }

    fn held_bytes(&self) -> u64 {
        // A chunk as stored, twice while codecs are undone, and the page's part of it as pixels.
        let part = (self.side(self.across).min(self.info.width) * self.rows_at_once()) as u64;
        let pixels = part * (self.together().min(self.info.channels) * self.info.sample.bytes()) as u64;
        3 * self.array.chunk_bytes() + pixels
    }

    fn cache_bytes(&self, rows: usize) -> u64 {
        let (h, height) = (self.side(self.down), self.info.height);
        let rows = ((rows.div_ceil(h) + 1) * h).min(height);
        rows as u64 * self.info.row_bytes()
    }

    fn set_cache(&mut self, bytes: u64) {
        self.cache.resize(bytes);
    }
}

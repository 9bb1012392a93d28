//! Contents of a label file, and the ids that follow from them.

use std::path::Path;

use super::at;
use super::colours::through_table;
use crate::error::{Error, Result};
use crate::infer::channel_kind::Alpha;
use crate::infer::colours::{Found, OPAQUE, Rgba};
use crate::infer::decode::Source;
use crate::infer::image::{Image, Pixels};
use crate::infer::labels::{LabelMap, LabelOptions};

/// The pixels of a label file, not yet interpreted.
#[derive(Debug, PartialEq)]
pub(super) struct Stored {
    pub width: usize,
    pub height: usize,
    pub pixels: Values,
}

#[derive(Debug, PartialEq)]
pub(super) enum Values {
    Integers(Vec<i64>, Shown),
    /// Floats, and the bound below which all integers are exact.
    Floats(Vec<f64>, f64),
    Colours(Vec<Rgba>),
}

/// How a file displays its numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    /// Not at all: the file is an array of numbers.
    Nothing,
    /// From black at 0 to white at this value.
    Grey(u16),
    /// Grey, white is zero.
    Inverted,
    Palette(Vec<Rgba>),
}

impl Shown {
    /// Grey of an unsigned depth in bits.
    pub(super) fn grey(bits: u8) -> Self {
        match bits {
            1 | 2 | 4 | 8 | 16 => Self::Grey(((1u32 << bits) - 1) as u16),
            _ => Self::Nothing,
        }
    }
}

impl Stored {
    /// Converts the pixels to ids.
    pub(super) fn labels(self, path: &Path, options: &LabelOptions) -> Result<LabelMap> {
        let Self { width, height, pixels } = self;
        let labels = match pixels {
            Values::Colours(colours) if options.colours.is_empty() => {
                return Err(Error::file(path, Found::of(colours).message()));
            }
            Values::Colours(colours) => through_table(path, width, &options.colours, &colours, |&c| Some(c))?,
            Values::Integers(values, Shown::Grey(top)) if !options.colours.is_empty() => {
                let grey = |&v: &i64| {
                    let v = u16::try_from(v).ok()?.checked_mul(OPAQUE / top.max(1))?;
                    Some([v, v, v, OPAQUE])
                };
                through_table(path, width, &options.colours, &values, grey)?
            }
            Values::Integers(values, Shown::Palette(palette)) if !options.colours.is_empty() => {
                let colour = |&v: &i64| palette.get(usize::try_from(v).ok()?).copied();
                through_table(path, width, &options.colours, &values, colour)?
            }
            Values::Integers(_, Shown::Inverted) if !options.colours.is_empty() => {
                let reason = "is grey with white as zero: whether `colours` or its numbers count is not clear; save it as \
                              RGB, or leave `colours` out";
                return Err(Error::file(path, reason));
            }
            Values::Integers(values, _) => ids(path, width, options, values.into_iter())?,
            Values::Floats(values, exact) => {
                let mut whole = Vec::new();
                whole.try_reserve_exact(values.len()).map_err(|_| Error::file(path, "does not fit in memory"))?;
                for (i, v) in values.into_iter().enumerate() {
                    if v.fract() != 0.0 || !v.is_finite() {
                        return Err(at(path, width, i, &format!("the value {v}"), "labels are whole numbers from 0"));
                    }
                    if v.abs() >= exact {
                        let why = format!("its type of float has whole numbers only below {exact}; save integers");
                        return Err(at(path, width, i, &format!("the value {v}"), &why));
                    }
                    whole.push(v as i64);
                }
                ids(path, width, options, whole.into_iter())?
            }
        };
        LabelMap::new(width, height, labels)
    }
}

/// Ids from integers. All must fit a `u32`, except the ignored value.
fn ids(path: &Path, width: usize, options: &LabelOptions, values: impl Iterator<Item = i64>) -> Result<Vec<u32>> {
    let negative = options.ignore.filter(|&i| i < 0);
    let id = |(i, v): (usize, i64)| match u32::try_from(v) {
        _ if Some(v) == negative => Ok(LabelMap::IGNORED),
        Ok(LabelMap::IGNORED) if negative.is_some() => Err(at(
            path,
            width,
            i,
            &format!("the value {v}"),
            &format!("ids are below it where `ignore` is {}", negative.unwrap_or(-1)),
        )),
        Ok(id) => Ok(id),
        Err(_) if v < 0 => {
            let why =
                format!("labels are whole numbers from 0; if {v} marks pixels that do not count, set ignore = {v}");
            Err(at(path, width, i, &format!("the value {v}"), &why))
        }
        Err(_) => Err(at(path, width, i, &format!("the value {v}"), &format!("the largest label is {}", u32::MAX))),
    };
    values.enumerate().map(id).collect()
}

/// Interprets interleaved samples: numbers if there is one channel or all are equal, otherwise colours. `depth` is the
/// largest sample value; `None` if the samples are not colours.
pub(super) fn of_samples(
    source: &Source,
    [width, height]: [usize; 2],
    channels: usize,
    depth: Option<u16>,
    samples: Vec<i64>,
) -> Result<Stored> {
    let pixels = width * height;
    let (colour, opaque) = match channels {
        1 => {
            return Ok(Stored {
                width,
                height,
                pixels: Values::Integers(samples, depth.map_or(Shown::Nothing, Shown::Grey)),
            });
        }
        2 | 4 => {
            let top = i64::from(depth.unwrap_or(OPAQUE));
            (channels - 1, samples.chunks_exact(channels).all(|p| p.last() == Some(&top)))
        }
        3 => (3, true),
        n => return Err(source.error(format!("holds {n} channels, not labels"))),
    };
    let equal = samples.chunks_exact(channels).all(|p| p.iter().take(colour).all(|v| Some(v) == p.first()));
    if opaque && equal {
        let mut samples = samples;
        (0..pixels).for_each(|i| samples[i] = samples[i * channels]);
        samples.truncate(pixels);
        return Ok(Stored {
            width,
            height,
            pixels: Values::Integers(samples, depth.map_or(Shown::Nothing, Shown::Grey)),
        });
    }
    let Some(depth) = depth else { return Err(source.error(format!("holds {channels} channels, not labels"))) };
    let scale = OPAQUE / depth.max(1);
    let part = |v: i64| u16::try_from(v).unwrap_or(OPAQUE).saturating_mul(scale);
    let mut colours = source.zeros::<Rgba>(pixels)?;
    for (to, pixel) in colours.iter_mut().zip(samples.chunks_exact(channels)) {
        *to = match *pixel {
            [v, a] => [part(v), part(v), part(v), part(a)],
            [r, g, b] => [part(r), part(g), part(b), OPAQUE],
            [r, g, b, a] => [part(r), part(g), part(b), if opaque { OPAQUE } else { part(a) }],
            _ => [0; 4],
        };
    }
    Ok(Stored { width, height, pixels: Values::Colours(colours) })
}

/// For a file whose format's decoder does not change numbers.
pub(super) fn of_image(source: &Source, image: &Image) -> Result<Stored> {
    let (size, channels) = ([image.width(), image.height()], image.channels());
    if let Alpha::At(alpha) = image.kind().alpha
        && alpha + 1 != channels
    {
        return Err(source.error(format!("holds {channels} channels, not labels")));
    }
    let wide = |len: usize, of: &mut dyn FnMut(usize) -> i64| {
        let mut v = source.zeros::<i64>(len)?;
        v.iter_mut().enumerate().for_each(|(i, to)| *to = of(i));
        Ok::<_, Error>(v)
    };
    match image.pixels() {
        Pixels::U8(v) => of_samples(source, size, channels, Some(255), wide(v.len(), &mut |i| v[i].into())?),
        Pixels::U16(v) => of_samples(source, size, channels, Some(OPAQUE), wide(v.len(), &mut |i| v[i].into())?),
        Pixels::F32(_) => Err(source.error("holds floats of a kind that is not read as labels")),
    }
}

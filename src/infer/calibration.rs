//! Pixel size and georeference of images, as read from files and updated by crops, levels and orientations.

mod geo;

pub use geo::{Affine, Georeference};

/// Origin of a pixel size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PixelSizeSource {
    /// OME-XML's `PhysicalSizeX`.
    Ome,
    /// OME-Zarr's `coordinateTransformations`.
    OmeZarr,
    /// ImageJ's description; its unit as written there.
    ImageJ {
        /// `micron`, `um`, `mm`...
        unit: String,
    },
    /// `MPP` in Aperio's description.
    Aperio,
    /// Resolution tags of a plain TIFF, if as fine as a microscope's.
    Tiff,
    /// The density in a PNG or JPEG file, if as fine as a microscope's.
    Density,
    /// The user.
    User,
}

/// Size of a pixel in micrometres.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelSize {
    /// Horizontal distance between columns.
    pub x: f64,
    /// Vertical distance between rows.
    pub y: f64,
    /// Distance between z planes of a stack.
    pub z: Option<f64>,
    /// Where the size comes from.
    pub source: PixelSizeSource,
}

/// TIFF's resolution tags as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// `XResolution`, a fraction: pixels per unit.
    pub x: [u32; 2],
    /// `YResolution`.
    pub y: [u32; 2],
    /// `ResolutionUnit`: 1 none, 2 inch, 3 centimetre.
    pub unit: u16,
}

/// Scale and position of an image, as far as known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// Pixel size.
    pub pixel: Option<PixelSize>,
    /// Georeference.
    pub georeference: Option<Georeference>,
    /// Resolution tags, copied to results even if they say nothing about the pixel size.
    pub resolution: Option<Resolution>,
}

/// Pixels of more micrometres come from print or screen resolutions (254 per inch is 100), or from a photograph.
const COARSEST: f64 = 10.0;
/// The same limit for resolutions per inch, which scanners use too.
const COARSEST_BY_INCH: f64 = 5.0;
/// Lower limit: electron microscopes resolve a tenth of a nanometre.
const FINEST: f64 = 1e-5;

impl PixelSize {
    /// `None` unless both sizes are finite and above 0.
    pub fn new(x: f64, y: f64, source: PixelSizeSource) -> Option<Self> {
        let sound = |v: f64| v.is_finite() && v > 0.0;
        (sound(x) && sound(y)).then_some(Self { x, y, z: None, source })
    }

    /// A pixel size from a plain file's resolution tags. `None` unless it is finer than those of prints, screens and
    /// scanners, which are unrelated to the size of what the image shows. `unit` is TIFF's: 2 inch, 3 centimetre.
    pub fn of_density(x: f64, y: f64, unit: u16, source: PixelSizeSource) -> Option<Self> {
        let (micrometres, coarsest) = match unit {
            2 => (25_400.0, COARSEST_BY_INCH),
            3 => (10_000.0, COARSEST),
            _ => return None,
        };
        let size = Self::new(micrometres / x, micrometres / y, source)?;
        let plausible = |v: f64| (FINEST..=coarsest).contains(&v);
        (plausible(size.x) && plausible(size.y)).then_some(size)
    }
}

/// Micrometres per unit of length; `None` for pixels and other non-lengths.
pub fn micrometres(unit: &str) -> Option<f64> {
    let unit = unit.trim();
    // ImageJ escapes non-ASCII characters.
    let unit = unit.replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace("\\u03BC", "μ").replace("\\u00C5", "Å");
    let exact = match unit.as_str() {
        // Symbols that differ only in case.
        "pm" => Some(1e-6),
        "nm" => Some(1e-3),
        "µm" | "μm" | "um" | "Âµm" => Some(1.0),
        "mm" => Some(1e3),
        "cm" => Some(1e4),
        "dm" => Some(1e5),
        "m" => Some(1e6),
        "km" => Some(1e9),
        "Å" | "A" => Some(1e-4),
        "in" | "\"" => Some(25_400.0),
        "ft" => Some(304_800.0),
        _ => None,
    };
    exact.or_else(|| match unit.to_lowercase().as_str() {
        "micron" | "microns" | "micrometer" | "micrometers" | "micrometre" | "micrometres" => Some(1.0),
        "nanometer" | "nanometers" | "nanometre" | "nanometres" => Some(1e-3),
        "millimeter" | "millimeters" | "millimetre" | "millimetres" => Some(1e3),
        "centimeter" | "centimeters" | "centimetre" | "centimetres" => Some(1e4),
        "meter" | "meters" | "metre" | "metres" => Some(1e6),
        "angstrom" | "angstroms" | "ångström" => Some(1e-4),
        "inch" | "inches" => Some(25_400.0),
        _ => None,
    })
}

impl Resolution {
    /// Pixels per unit, across and down; `None` if a fraction is zero or has a zero denominator.
    pub fn values(&self) -> Option<[f64; 2]> {
        let value = |[n, d]: [u32; 2]| (n > 0 && d > 0).then(|| f64::from(n) / f64::from(d));
        Some([value(self.x)?, value(self.y)?])
    }

    fn divided(&self, [x, y]: [f64; 2]) -> Self {
        let less = |fraction: [u32; 2], by: f64| match by == 1.0 || fraction[1] == 0 {
            true => fraction,
            false => fraction_of(f64::from(fraction[0]) / f64::from(fraction[1]) / by),
        };
        Self { x: less(self.x, x), y: less(self.y, y), unit: self.unit }
    }
}

/// The fraction of 32-bit integers nearest to a value, by continued fractions.
pub fn fraction_of(value: f64) -> [u32; 2] {
    if !(value.is_finite() && value > 0.0) {
        return [0, 1];
    }
    if value >= f64::from(u32::MAX) {
        return [u32::MAX, 1];
    }
    let (mut before, mut now) = ([0u64, 1u64], [1u64, 0u64]);
    let mut rest = value;
    loop {
        let whole = rest.floor();
        let step = whole as u64;
        let next = [step.saturating_mul(now[0]) + before[0], step.saturating_mul(now[1]) + before[1]];
        if next.iter().any(|&n| n > u64::from(u32::MAX)) {
            break;
        }
        (before, now) = (now, next);
        let part = rest - whole;
        // The remainder is the value's own rounding error.
        if part < 1e-9 || (now[0] as f64 / now[1] as f64 - value).abs() <= value * 1e-15 {
            break;
        }
        rest = 1.0 / part;
    }
    match now {
        // Too small for the first step: invert.
        [0, _] => [1, fraction_of(1.0 / value)[0]],
        [n, d] => [n as u32, d.max(1) as u32],
    }
}

impl Calibration {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Replaces the pixel size by the user's, in micrometres.
    #[must_use]
    pub fn with_pixel_size(self, x: f64, y: f64) -> Self {
        let z = self.pixel.as_ref().and_then(|p| p.z);
        let pixel = PixelSize::new(x, y, PixelSizeSource::User).map(|p| PixelSize { z, ..p });
        Self { pixel: pixel.or(self.pixel), ..self }
    }

    /// The calibration of a crop that begins at column `x0`, row `y0`.
    #[must_use]
    pub fn cropped(self, x0: usize, y0: usize) -> Self {
        let to_whole = Affine { origin: [x0 as f64, y0 as f64], ..Affine::IDENTITY };
        Self { georeference: self.georeference.map(|g| g.of_pixels(&to_whole)), ..self }
    }

    /// The calibration of the image resized to pixels `by` times as large, across and down.
    #[must_use]
    pub fn scaled(self, by: [f64; 2]) -> Self {
        let to_full = Affine { origin: [0.0; 2], columns: [by[0], 0.0], rows: [0.0, by[1]] };
        Self {
            pixel: self.pixel.map(|p| PixelSize { x: p.x * by[0], y: p.y * by[1], ..p }),
            georeference: self.georeference.map(|g| if by == [1.0; 2] { g } else { g.of_pixels(&to_full) }),
            resolution: self.resolution.map(|r| r.divided(by)),
        }
    }

    /// The calibration of the upright image, by its orientation tag (TIFF, EXIF: 1 to 8) and its stored columns and
    /// rows.
    #[must_use]
    pub fn oriented(self, orientation: u16, [width, height]: [usize; 2]) -> Self {
        let (w, h) = (width as f64, height as f64);
        // Maps a position in the upright image to the stored one.
        let (origin, columns, rows) = match orientation {
            2 => ([w, 0.0], [-1.0, 0.0], [0.0, 1.0]),
            3 => ([w, h], [-1.0, 0.0], [0.0, -1.0]),
            4 => ([0.0, h], [1.0, 0.0], [0.0, -1.0]),
            5 => ([0.0, 0.0], [0.0, 1.0], [1.0, 0.0]),
            6 => ([0.0, h], [0.0, -1.0], [1.0, 0.0]),
            7 => ([w, h], [0.0, -1.0], [-1.0, 0.0]),
            8 => ([w, 0.0], [0.0, 1.0], [-1.0, 0.0]),
            _ => return self,
        };
        let swap = orientation >= 5;
        Self {
            pixel: self.pixel.map(|p| if swap { PixelSize { x: p.y, y: p.x, ..p } } else { p }),
            georeference: self.georeference.map(|g| g.of_pixels(&Affine { origin, columns, rows })),
            resolution: self.resolution.map(|r| if swap { Resolution { x: r.y, y: r.x, ..r } } else { r }),
        }
    }
}

#[cfg(test)]
mod tests;

//! GeoTIFF georeferences (OGC 19-008): from pixels to coordinates of a reference system.

/// An affine map of the plane: `origin + x * columns + y * rows`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Where (0, 0), the first pixel's outer corner, maps to.
    pub origin: [f64; 2],
    /// Displacement per column.
    pub columns: [f64; 2],
    /// Displacement per row.
    pub rows: [f64; 2],
}

impl Affine {
    /// The identity.
    pub const IDENTITY: Self = Self { origin: [0.0; 2], columns: [1.0, 0.0], rows: [0.0, 1.0] };

    /// Maps a point.
    pub fn at(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|i| self.origin[i] + x * self.columns[i] + y * self.rows[i])
    }

    /// Area of a pixel, negative where the map mirrors.
    pub fn determinant(&self) -> f64 {
        self.columns[0] * self.rows[1] - self.columns[1] * self.rows[0]
    }

    /// The composition: first `inner`, then this.
    #[must_use]
    pub fn after(&self, inner: &Self) -> Self {
        let step = |v: [f64; 2]| [0, 1].map(|i| v[0] * self.columns[i] + v[1] * self.rows[i]);
        Self { origin: self.at(inner.origin), columns: step(inner.columns), rows: step(inner.rows) }
    }

    /// The inverse; `None` if the map is singular.
    pub fn inverse(&self) -> Option<Self> {
        let d = self.determinant();
        if !d.is_finite() || d == 0.0 {
            return None;
        }
        let ([a, c], [b, e], [x, y]) = (self.columns, self.rows, self.origin);
        let (columns, rows) = ([e / d, -c / d], [-b / d, a / d]);
        let origin = [0, 1].map(|i| -x * columns[i] - y * rows[i]);
        Some(Self { origin, columns, rows })
    }
}

/// GeoTIFF's tags. Their coordinates refer to pixel corners, or to pixel centres if the file says so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Georeference {
    /// `ModelPixelScale` (33550).
    pub pixel_scale: Option<[f64; 3]>,
    /// `ModelTiepoint` (33922): column, row, height, and the coordinates there.
    pub tie_points: Vec<[f64; 6]>,
    /// `ModelTransformation` (34264), row by row.
    pub transformation: Option<[f64; 16]>,
    /// `GeoKeyDirectory` (34735).
    pub keys: Vec<u16>,
    /// `GeoDoubleParams` (34736).
    pub doubles: Vec<f64>,
    /// `GeoAsciiParams` (34737), with its terminating zero.
    pub ascii: Vec<u8>,
}

const MODEL_TYPE: u16 = 1024;
const RASTER_TYPE: u16 = 1025;
const CITATION: u16 = 1026;
const GEOGRAPHIC: u16 = 2048;
const PROJECTED: u16 = 3072;
/// A coordinate system described by further keys.
const USER_DEFINED: u16 = 32767;

impl Georeference {
    /// A key whose value is a number.
    fn key(&self, key: u16) -> Option<u16> {
        let keys = self.keys.get(4..)?.as_chunks::<4>().0;
        keys.iter().find(|k| k[0] == key && k[1] == 0).map(|k| k[3])
    }

    /// The EPSG code of the coordinate system, if it has one.
    pub fn epsg(&self) -> Option<u16> {
        // Codes 1 to 1023 are from an obsolete list of GeoTIFF.
        let code = |key| self.key(key).filter(|c| (1024..USER_DEFINED).contains(c));
        match self.key(MODEL_TYPE) {
            Some(2) => code(GEOGRAPHIC),
            _ => code(PROJECTED).or_else(|| code(GEOGRAPHIC).filter(|_| self.key(MODEL_TYPE) != Some(1))),
        }
    }

    /// Name of the coordinate system in the file.
    pub fn citation(&self) -> Option<String> {
        let keys = self.keys.get(4..)?.as_chunks::<4>().0;
        let key = keys.iter().find(|k| k[0] == CITATION && k[1] == 34737)?;
        let text = self.ascii.get(usize::from(key[3])..)?.get(..usize::from(key[2]))?;
        let text = String::from_utf8_lossy(text);
        Some(text.trim_end_matches(['|', '\0']).to_string()).filter(|t| !t.is_empty())
    }

    /// Whether coordinates refer to pixel centres.
    fn of_centres(&self) -> bool {
        self.key(RASTER_TYPE) == Some(2)
    }

    /// The map from pixels (the first one's outer corner is (0, 0)) to coordinates, or why there is none.
    pub fn to_world(&self) -> Result<Affine, String> {
        let map = match (&self.transformation, self.pixel_scale, self.tie_points.first()) {
            (Some(m), ..) => Affine { origin: [m[3], m[7]], columns: [m[0], m[4]], rows: [m[1], m[5]] },
            // Rows run against the second coordinate whatever the sign of the scale, as in GDAL.
            (None, Some([sx, sy, _]), Some([i, j, _, x, y, _])) => {
                let (sx, sy) = (sx, -sy.abs());
                Affine { origin: [x - i * sx, y - j * sy], columns: [sx, 0.0], rows: [0.0, sy] }
            }
            (None, _, Some(_)) => {
                let count = self.tie_points.len();
                return Err(format!("{count} control points and no scale, which is not one affine map"));
            }
            (None, ..) => return Err("no tie point and no transformation".into()),
        };
        let half = Affine { origin: [-0.5; 2], ..Affine::IDENTITY };
        let map = if self.of_centres() { map.after(&half) } else { map };
        match map.inverse() {
            Some(_) if map.origin.iter().all(|v| v.is_finite()) => Ok(map),
            _ => Err("a transformation that maps the image to a line or beyond all numbers".into()),
        }
    }

    /// The georeference of an image whose pixels map to this one's by `pixels`: a crop, a reduced copy, an upright
    /// version.
    #[must_use]
    pub fn of_pixels(&self, pixels: &Affine) -> Self {
        // Offset of the tags' pixel coordinates.
        let shift = if self.of_centres() { 0.5 } else { 0.0 };
        let (to, from) =
            (Affine { origin: [-shift; 2], ..Affine::IDENTITY }, Affine { origin: [shift; 2], ..Affine::IDENTITY });
        let inner = to.after(&pixels.after(&from));
        let Some(back) = inner.inverse() else { return self.clone() };
        let mut out = self.clone();
        for point in &mut out.tie_points {
            let [i, j] = back.at([point[0], point[1]]);
            (point[0], point[1]) = (i, j);
        }
        let straight = inner.columns[1] == 0.0 && inner.rows[0] == 0.0 && inner.columns[0] > 0.0 && inner.rows[1] > 0.0;
        if let Some(m) = &mut out.transformation {
            let map = Affine { origin: [m[3], m[7]], columns: [m[0], m[4]], rows: [m[1], m[5]] }.after(&inner);
            *m = matrix(&map, m);
        } else if let (Some(scale), true) = (&mut out.pixel_scale, straight) {
            scale[0] *= inner.columns[0];
            scale[1] *= inner.rows[1];
        } else if let (Some(_), Some(&[i, j, _, x, y, z])) = (out.pixel_scale, self.tie_points.first()) {
            // A scale cannot rotate; a matrix can.
            let [sx, sy, _] = self.pixel_scale.unwrap_or_default();
            let sy = -sy.abs();
            let map = Affine { origin: [x - i * sx, y - j * sy], columns: [sx, 0.0], rows: [0.0, sy] }.after(&inner);
            let mut m = [0.0; 16];
            (m[11], m[15]) = (z, 1.0);
            out.transformation = Some(matrix(&map, &m));
            (out.pixel_scale, out.tie_points) = (None, Vec::new());
        }
        out
    }
}

/// A transformation with the map of columns and rows replaced.
fn matrix(map: &Affine, m: &[f64; 16]) -> [f64; 16] {
    let mut out = *m;
    (out[0], out[1], out[3]) = (map.columns[0], map.rows[0], map.origin[0]);
    (out[4], out[5], out[7]) = (map.columns[1], map.rows[1], map.origin[1]);
    out
}

use proptest::prelude::*;

use super::super::blend::{BlendGrid, Blended};
use super::*;
use crate::infer::image::Pixels;
use crate::infer::source::InMemory;
use crate::infer::tile::grid::TileSpec;
use crate::ops::{MaskRule, mirror};

/// An image whose pixels encode their positions.
fn image(width: usize, height: usize) -> Image {
    let pixels = (0..width * height).map(|i| (i % 60_000) as u16).collect();
    Image::new(width, height, 1, Pixels::U16(pixels)).unwrap()
}

/// Counts how often and in which order every pixel arrives, and records it.
struct Recorder {
    needs: Needs,
    classes: Vec<usize>,
    planes: Vec<Vec<f32>>,
    geometry: Vec<f32>,
    pixels: Vec<u16>,
    next: usize,
}

impl Recorder {
    fn new(planes: usize) -> Self {
        let needs = Needs { probabilities: true, geometry: true, pixels: true, contrast: false };
        let planes = vec![Vec::new(); planes];
        Self { needs, classes: Vec::new(), planes, geometry: Vec::new(), pixels: Vec::new(), next: 0 }
    }
}

impl BandSink for Recorder {
    fn needs(&self) -> Needs {
        self.needs
    }
    fn start(&mut self, _: &BandInfo) -> Result<()> {
        *self = Self::new(self.planes.len());
        Ok(())
    }
    fn band(&mut self, band: &Band) -> Result<()> {
        assert_eq!(band.first, self.next);
        assert!(band.height >= 1 && band.height <= SLICE_ROWS);
        self.next += band.height;
        let pixels = band.height * band.width;
        self.classes.extend((0..pixels).map(|i| band.class(i)));
        let values = band.probabilities.unwrap();
        assert_eq!(values.len(), pixels * self.planes.len());
        self.planes.iter_mut().zip(values.chunks_exact(pixels)).for_each(|(all, part)| all.extend(part));
        assert_eq!(band.geometry.unwrap().len(), pixels);
        self.geometry.extend(band.geometry.unwrap());
        let Pixels::U16(samples) = band.pixels.unwrap().pixels() else { panic!() };
        assert_eq!(samples.len(), pixels);
        self.pixels.extend(samples);
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// The value that a pointwise network gives a pixel: the same as in the whole image.
fn value(pixel: f32) -> f32 {
    pixel / 60_000.0
}

type Progress<'a> = &'a mut dyn FnMut(f64) -> Result<()>;

/// A mock network: looks its pixels up in the tile's data as the device does, and fills the invalid margin at edges
/// inside the image with NaN, which must not be used.
fn mock(
    shape: [usize; 2],
    output: [usize; 2],
    halo: usize,
    size: [usize; 2],
) -> impl FnMut(&TilePlace, &[f32], Progress<'_>) -> Result<TileResult> {
    move |place, pixels, progress| {
        progress(0.5)?;
        let start = place.start.map(|n| n as i64);
        let margin = (shape[0] - output[0]) / 2;
        let mut tile =
            TileResult { mask: vec![0.0; output[0] * output[1]], planes: vec![0.0; 3 * output[0] * output[1]] };
        for y in 0..output[0] {
            for x in 0..output[1] {
                let at = [start[0] + (y + margin) as i64, start[1] + (x + margin) as i64];
                // Only edges inside the whole run's output have an invalid margin.
                let inside = |d: i64, start: i64, len: usize, image: usize| {
                    let (first, last) = (start + margin as i64, start + (len - margin) as i64 - 1);
                    (d >= first + halo as i64 || first <= 0) && (d <= last - halo as i64 || last >= image as i64 - 1)
                };
                let right = inside(at[0], start[0], shape[0], size[0]) && inside(at[1], start[1], shape[1], size[1]);
                let row = mirror(at[0] as isize, size[0]) - place.rows.start;
                let column = mirror(at[1] as isize, size[1]) - place.columns.start;
                let v = if right { value(pixels[row * place.columns.len() + column]) } else { f32::NAN };
                let i = y * output[1] + x;
                tile.mask[i] = if right { (v > 0.5) as u8 as f32 } else { 77.0 };
                tile.planes[i] = v;
                tile.planes[output[0] * output[1] + i] = 1.0 - v;
                tile.planes[2 * output[0] * output[1] + i] = 8.0 * v;
            }
        }
        Ok(tile)
    }
}

/// Runs the tiles of a batch one by one; none has more than `at_once`.
struct Each<F> {
    at_once: usize,
    one: F,
}

fn each<F>(at_once: usize, one: F) -> Each<F>
where
    F: FnMut(&TilePlace, &[f32], Progress<'_>) -> Result<TileResult>,
{
    Each { at_once, one }
}

impl<F> RunTiles for Each<F>
where
    F: FnMut(&TilePlace, &[f32], Progress<'_>) -> Result<TileResult>,
{
    async fn run(
        &mut self,
        queued: &[QueuedTile],
        mut progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Vec<TileResult>> {
        assert!((1..=self.at_once).contains(&queued.len()));
        queued.iter().map(|w| (self.one)(&w.place, &w.pixels, &mut progress)).collect()
    }
}

fn info(width: usize, height: usize) -> BandInfo {
    let classes = vec!["background".to_string(), "cell".to_string()];
    BandInfo { width, height, channels: 1, classes, planes: 2, geometry: 1, contrast: None, network: None }
}

fn check(recorder: &Recorder, counts: &[u64], image: &Image, exact: bool) {
    let Pixels::U16(samples) = image.pixels() else { panic!() };
    let expected: Vec<f32> = samples.iter().map(|&p| value(f32::from(p))).collect();
    assert_eq!(&recorder.pixels, samples);
    let classes: Vec<usize> = expected.iter().map(|&v| usize::from(v > 0.5)).collect();
    assert_eq!(counts.iter().sum::<u64>() as usize, samples.len());
    if exact {
        assert_eq!(recorder.classes, classes);
        assert_eq!(counts[1] as usize, classes.iter().sum::<usize>());
        assert_eq!(recorder.planes[0], expected);
        assert_eq!(recorder.geometry, expected.iter().map(|v| 8.0 * v).collect::<Vec<f32>>());
    } else {
        // The mean of equal values is that value, up to rounding.
        assert_eq!(recorder.planes[0].len(), expected.len());
        let off = recorder.planes[0].iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= 1e-6, "{off}");
        let off = recorder.geometry.iter().zip(&expected).map(|(a, b)| (a / 8.0 - b).abs()).fold(0.0, f32::max);
        assert!(recorder.geometry.len() == expected.len() && off <= 1e-6, "{off}");
        let different = recorder
            .classes
            .iter()
            .zip(&expected)
            .filter(|(c, v)| (**v - 0.5).abs() > 1e-5 && **c != usize::from(**v > 0.5));
        assert_eq!(different.count(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Every pixel arrives exactly once, in order, with the value of the whole image, for any sizes.
    #[test]
    fn bands_equal_the_whole_image(
        width in 1usize..220, height in 1usize..220, tile_h in 1usize..12, tile_w in 1usize..12, depth in 0u32..4,
        halo in 0usize..3, margin in 0usize..2, at_once in 1usize..7,
    ) {
        let align = 1usize << depth;
        let halo = halo * align;
        let spec = if margin == 0 { TileSpec::same(align, halo) } else { TileSpec::valid(align, 5, 11 + align) };
        let smallest = spec.smallest_tile().unwrap();
        let tile = (smallest + tile_h * align, smallest + tile_w * align);
        let grid = TileGrid::plan(height, width, tile, &spec).unwrap();
        let image = image(width, height);
        let mut source = InMemory::borrowed(&image);
        let mut recorder = Recorder::new(2);
        let (info, needs) = (info(width, height), recorder.needs());
        let mut sinks: [&mut dyn BandSink; 1] = [&mut recorder];
        let out = Emitter::new(&info, needs, &mut sinks, None).unwrap();
        let channels = ChannelMap::of(&source.info(), &[], 1).unwrap();
        let windows = Windows { source: &mut source, channels: &channels, coloured: false, resize: None };
        let (shape, output) = ([grid.rows.window, grid.columns.window], [grid.rows.output, grid.columns.output]);
        let mut in_progress = [ImageInProgress { windows, out, assembly: Box::new(Exact::new(&grid)) }];
        let mut run = each(at_once, mock(shape, output, spec.halo, [height, width]));
        let mut last = 0.0;
        let mut progress = |f| { assert!(f >= last && f <= 1.0); last = f; Ok(()) };
        pollster::block_on(run_tiles(&mut in_progress, at_once, &mut run, &mut progress)).unwrap();
        let counts = std::mem::take(&mut in_progress[0].out.counts);
        drop(in_progress);
        check(&recorder, &counts, &image, true);
    }

    /// Blended tiles of a pointwise network give that network's output, each pixel once.
    #[test]
    fn blended_bands_are_complete(width in 1usize..200, height in 1usize..200, tile_h in 4usize..90, tile_w in 4usize..90, at_once in 1usize..5) {
        let spec = TileSpec::same(1, 0);
        let tile = [tile_h.min(spec.whole(height).unwrap()), tile_w.min(spec.whole(width).unwrap())];
        let grid = BlendGrid::new([height, width], tile);
        let image = image(width, height);
        let mut source = InMemory::borrowed(&image);
        let mut recorder = Recorder::new(2);
        let (info, needs) = (info(width, height), recorder.needs());
        let mut sinks: [&mut dyn BandSink; 1] = [&mut recorder];
        let out = Emitter::new(&info, needs, &mut sinks, None).unwrap();
        let channels = ChannelMap::of(&source.info(), &[], 1).unwrap();
        let windows = Windows { source: &mut source, channels: &channels, coloured: false, resize: None };
        let mut network = mock(tile, tile, 0, [height, width]);
        let mut run = each(at_once, move |p: &TilePlace, x: &[f32], f: &mut dyn FnMut(f64) -> Result<()>| {
            let mut tile = network(p, x, f)?;
            // One decision plane, the probability of class 1, then both probabilities and the geometry.
            let first = tile.planes[..tile.planes.len() / 3].to_vec();
            tile.planes.splice(0..0, first);
            Ok(tile)
        });
        let assembly = Box::new(Blended::new(&grid, MaskRule::Threshold(0.5), 1));
        let mut in_progress = [ImageInProgress { windows, out, assembly }];
        pollster::block_on(run_tiles(&mut in_progress, at_once, &mut run, &mut |_| Ok(()))).unwrap();
        let counts = std::mem::take(&mut in_progress[0].out.counts);
        drop(in_progress);
        check(&recorder, &counts, &image, false);
    }
}

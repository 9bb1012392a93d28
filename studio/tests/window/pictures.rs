//! Pictures of the manual. STUDIO_COMPARE=1 compares the window with them, STUDIO_RENEW=1 draws them anew: look at them before you
//! commit them.

use std::path::{Path, PathBuf};
use unet_wgpu::Pixels;
use unet_wgpu::low_level::infer::read_image;

/// The pictures by their names in the tests, each with the share of blocks that may differ. Trainings and instances of another
/// driver round otherwise, and colours of instances follow their numbers.
const MANUAL: [(&str, f64); 4] = [("segment", 0.01), ("live", 0.01), ("label", 0.01), ("train", 0.05)];

/// Pixels along the side of a block: texts and outlines that lie a pixel beside are the same to a reader.
const BLOCK: usize = 16;

/// Levels by which the mean of a block may differ.
const LEVELS: f64 = 6.0;

/// The lowest rows name the device and the zoom.
const STATUS: usize = 40;

/// Pixels as RGB, with the number of columns.
type Rgb = (Vec<u8>, usize);

/// Whether the manual has a picture of this name, and it is asked for.
pub fn is_of_manual(name: &str) -> bool {
    let asked = ["STUDIO_COMPARE", "STUDIO_RENEW"].iter().any(|name| std::env::var_os(name).is_some());
    asked && MANUAL.iter().any(|(known, _)| *known == name)
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/images/studio-{name}.png"))
}

fn read(path: &Path) -> Rgb {
    let (image, _) = read_image(path, &Default::default()).unwrap();
    let Pixels::U8(values) = image.pixels() else { panic!("{}: not 8 bits", path.display()) };
    (values.chunks_exact(image.channels()).flat_map(|p| [p[0], p[1], p[2]]).collect(), image.width())
}

/// The share of blocks whose mean colours differ, those of the image's last rows apart.
fn differing((one, width): &Rgb, (other, other_width): &Rgb) -> f64 {
    if (one.len(), width) != (other.len(), other_width) {
        return 1.0;
    }
    let rows = (one.len() / 3 / width - STATUS) / BLOCK;
    let mean = |of: &[u8], x: usize, y: usize, c: usize| {
        let row = |dy: usize| (0..BLOCK).map(move |dx| ((y * BLOCK + dy) * width + x * BLOCK + dx) * 3 + c);
        (0..BLOCK).flat_map(row).map(|i| f64::from(of[i])).sum::<f64>() / (BLOCK * BLOCK) as f64
    };
    let differs = |x, y| (0..3).any(|c| (mean(one, x, y, c) - mean(other, x, y, c)).abs() > LEVELS);
    let columns = width / BLOCK;
    let count = (0..rows).flat_map(|y| (0..columns).map(move |x| (x, y))).filter(|&(x, y)| differs(x, y)).count();
    count as f64 / (columns * rows) as f64
}

/// Compares a picture of the window, as RGBA, with that of the manual.
pub fn compare(name: &str, path: &Path) {
    let Some((_, most)) = MANUAL.iter().find(|(known, _)| *known == name && is_of_manual(name)) else { return };
    if std::env::var_os("STUDIO_RENEW").is_some() {
        std::fs::copy(path, file(name)).unwrap();
        return;
    }
    let share = differing(&read(path), &read(&file(name)));
    println!("{name}: {:.2} % of the blocks differ from the manual's picture", 100.0 * share);
    let renew = "look at both, and renew it with STUDIO_RENEW=1 if the window is right";
    assert!(share <= *most, "{name}: {:.1} % differ from {}: {renew}", 100.0 * share, file(name).display());
}

#[test]
fn other_pictures_are_told_apart() {
    let all: Vec<Rgb> = MANUAL.iter().map(|(name, _)| read(&file(name))).collect();
    for (i, one) in all.iter().enumerate() {
        assert_eq!(differing(one, one), 0.0);
        let most = MANUAL[i].1;
        for other in all.iter().skip(i + 1) {
            let share = differing(one, other);
            assert!(share > 1.5 * most.max(MANUAL[i].1), "{share}");
        }
        // A window that is half a block aside, and one without the overlay's colours.
        let (values, width) = one;
        let aside: Vec<u8> = values.iter().cycle().skip(3 * BLOCK / 2).take(values.len()).copied().collect();
        let grey = values.chunks_exact(3).flat_map(|p| [p[0].min(p[1]).min(p[2]); 3]).collect();
        for changed in [aside, grey] {
            let share = differing(one, &(changed, *width));
            assert!(share > 1.5 * most, "{}: {share}", MANUAL[i].0);
        }
    }
}

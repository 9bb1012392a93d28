//! The application on a device without a window, driven by mouse and keys.

use super::pictures;
use eframe::egui::{self, Key, Modifiers, PointerButton, Pos2, Vec2, vec2};
use eframe::egui_wgpu::WgpuSetup;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unet_studio::app::Studio;
use unet_studio::device::descriptor;

pub const IMAGE: &str = "nuclei_hff.png";

pub fn image() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/images").join(IMAGE)
}

pub fn studio(folder: &Path) -> Harness<'static, Studio> {
    window(folder, vec2(1280.0, 800.0), 1.0, None)
}

/// A window of so many points, with a file of preferences.
pub fn window(
    folder: &Path,
    size: Vec2,
    pixels_per_point: f32,
    preferences: Option<PathBuf>,
) -> Harness<'static, Studio> {
    let mut setup = egui_kittest::wgpu::default_wgpu_setup();
    if let WgpuSetup::CreateNew(new) = &mut setup {
        new.device_descriptor = Arc::new(descriptor);
    }
    let folder = folder.to_path_buf();
    Harness::builder()
        .with_size(size)
        .with_pixels_per_point(pixels_per_point)
        .with_render_every_step(true)
        .with_render_cursor(false)
        .with_step_dt(1.0 / 60.0)
        .wgpu_setup(setup)
        .build_eframe(move |cc| {
            let render = cc.wgpu_render_state.as_ref().unwrap();
            Studio::new(render, &cc.egui_ctx, Some(folder)).unwrap().with_preferences(preferences)
        })
}

/// Draws frames until something has happened.
pub fn until(harness: &mut Harness<'_, Studio>, what: &str, done: impl Fn(&Studio) -> bool) {
    let start = Instant::now();
    while !done(harness.state()) {
        let status = || harness.state().status();
        assert!(start.elapsed() < Duration::from_secs(600) && status().failures == 0, "{what}: {:?}", status());
        harness.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    harness.step();
}

pub fn press(harness: &mut Harness<'_, Studio>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    harness.step();
    harness.step();
}

/// A picture into the folder STUDIO_PICTURES. One of the manual is compared with it.
pub fn picture(harness: &mut Harness<'_, Studio>, name: &str) {
    let folder = std::env::var_os("STUDIO_PICTURES").map(PathBuf::from);
    if folder.is_none() && !pictures::is_of_manual(name) {
        return;
    }
    if pictures::is_of_manual(name) {
        quiet(harness);
    }
    let own = tempfile::tempdir().unwrap();
    let path = folder.unwrap_or_else(|| own.path().into()).join(format!("{name}.png"));
    // Textures arrive over some frames.
    (0..20).for_each(|_| harness.step());
    harness.render().unwrap().save(&path).unwrap();
    pictures::compare(name, &path);
}

/// Closes messages: how long they are shown is a matter of frames, and they take room.
pub fn quiet(harness: &mut Harness<'_, Studio>) {
    let close = |harness: &Harness<'_, Studio>| {
        let first = harness.query_all_by_label("x").next();
        first.map(|button| button.click()).is_some()
    };
    while close(harness) {
        harness.step();
        harness.step();
    }
}

/// A stroke of the mouse over the canvas.
pub fn drag(harness: &mut Harness<'_, Studio>, points: &[Pos2]) {
    let button = |pos, pressed| egui::Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    harness.event(egui::Event::PointerMoved(points[0]));
    harness.step();
    harness.event(button(points[0], true));
    harness.step();
    for &point in points {
        harness.event(egui::Event::PointerMoved(point));
        harness.step();
    }
    harness.event(button(points[points.len() - 1], false));
    harness.step();
    harness.step();
}

/// The image as rows of grey values, and its side.
pub fn grey() -> (Vec<u8>, usize) {
    let (pixels, _) = unet_wgpu::low_level::infer::read_image(image(), &Default::default()).unwrap();
    let unet_wgpu::Pixels::U8(values) = pixels.pixels() else { panic!("not 8 bits") };
    assert_eq!(pixels.width(), pixels.height());
    (values.clone(), pixels.width())
}

/// Writes a PNM file: of one or three channels.
pub fn write_pnm(path: &Path, [width, height]: [usize; 2], samples: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let kind = if samples.len() == 3 * width * height { "P6" } else { "P5" };
    std::fs::write(path, [format!("{kind} {width} {height} 255\n").as_bytes(), samples].concat()).unwrap();
}

/// A network of so many classes that has learned nothing, with the same weights every time.
pub fn model_of(classes: usize, path: &Path) {
    use unet_wgpu::low_level::model::{parse, whole_graph};
    use unet_wgpu::low_level::train::initial;
    use unet_wgpu::low_level::weights::{Checkpoint, ModelMetadata, Normalisation, StoredType, save};
    let config = serde_json::json!({ "width": 4, "depth": 2, "padding": "same", "out_channels": classes });
    let graph = whole_graph(&*parse("unet", &config).unwrap(), 1, 4, 4).unwrap();
    let first = initial(&graph, 3);
    let weights = graph.parameters().map(|(name, dims)| (name.to_string(), first(name, dims).unwrap())).collect();
    let names = (0..classes).map(|class| ["background", "round", "long"][class].to_string()).collect();
    let metadata = ModelMetadata {
        format: 1,
        arch: "unet".into(),
        config,
        normalisation: Normalisation::ZScore,
        classes: names,
        target: None,
        instances: None,
        scale: None,
        recipe: None,
    };
    save(path, &Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() }, StoredType::F32).unwrap();
}

/// The colour of the window at a position in points.
pub fn colour_at(shot: &Shot, at: Pos2, pixels_per_point: f32) -> [u8; 3] {
    let [x, y] = [at.x, at.y].map(|v| (v * pixels_per_point) as usize);
    let i = (y * shot.0[0] + x) * 4;
    [shot.1[i], shot.1[i + 1], shot.1[i + 2]]
}

/// Columns and rows of a frame, and its pixels as RGBA.
pub type Shot = ([usize; 2], Vec<u8>);

/// A frame once textures have arrived.
pub fn shot(harness: &mut Harness<'_, Studio>) -> Shot {
    (0..20).for_each(|_| harness.step());
    let picture = harness.render().unwrap();
    ([picture.width() as usize, picture.height() as usize], picture.into_raw())
}

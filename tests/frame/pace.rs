//! Frame times of a host that gives a network 8 ms of each frame, and whose interface takes 5 ms, for docs/embedding.md:
//!
//!     cargo test --release --test frame pace -- --ignored --nocapture

use super::host::{Host, blobs};
use super::nuclei_options;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unet_wgpu::Model;
use unet_wgpu::frame::{Budget, FrameInput, FrameModel, FrameOutput, OutputRequest, OutputTarget, Roi};
use wgpu::TextureFormat as F;

const SIZE: usize = 512;
const FRAMES: usize = 200;
const INTERFACE: Duration = Duration::from_millis(5);

#[test]
#[ignore = "a measurement"]
fn pace() {
    let Some(host) = Host::open(true) else { return };
    let options = nuclei_options(SIZE, vec![OutputRequest::texture(FrameOutput::Mask)]);
    let mut frame = FrameModel::new(&host.gpu, Model::open("nuclei-unet3+").unwrap()).prepare(&options).unwrap();
    println!("the network alone: {:.1} ms", frame.measure().unwrap());
    println!("in parts of at most about 2 ms: {:.1} ms", frame.divide(2.0).unwrap());
    let (input, ids) = (host.texture(F::R8Unorm, SIZE, SIZE, &blobs(SIZE, SIZE)), host.target(F::R8Uint, SIZE, SIZE));
    let targets = [OutputTarget::texture(&ids)];
    // When the device had finished each frame; the frame with the latest part of the network.
    let (finished, mut worked) = (Arc::new(Mutex::new(Vec::new())), 0);
    let (mut running, mut whole, mut parts, mut previous) = (false, 0, 0, None);
    for i in 0..FRAMES {
        let start = Instant::now();
        while start.elapsed() < INTERFACE {}
        let mut encoder = host.encoder();
        if finished.lock().unwrap().len() >= worked {
            if !running {
                let roi = Roi::of_size(SIZE as u32, SIZE as u32);
                frame.start(FrameInput::Texture(&input), &targets, roi).unwrap();
            }
            let progress = frame.encode_some(&mut encoder, Budget::Milliseconds(8.0)).unwrap();
            (running, worked, parts) = (!progress.finished(), i + 1, parts + 1);
            whole += usize::from(progress.finished());
        }
        let times = finished.clone();
        encoder.on_submitted_work_done(move || times.lock().unwrap().push(Instant::now()));
        let submission = host.gpu.queue().submit([encoder.finish()]);
        // A display holds the next frame back until the one before it is shown.
        if let Some(previous) = previous.replace(submission) {
            host.gpu.wait(previous).unwrap();
        }
    }
    host.gpu.wait(previous.unwrap()).unwrap();
    let finished = finished.lock().unwrap();
    let mut times: Vec<f64> = finished.windows(2).map(|t| (t[1] - t[0]).as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let [half, most, slowest] = [50, 95, 100].map(|percent| times[(times.len() * percent / 100).min(times.len() - 1)]);
    println!("{FRAMES} frames: 50 % under {half:.1} ms, 95 % under {most:.1} ms, the slowest {slowest:.1} ms");
    println!("{parts} parts, {whole} whole results");
    assert!(whole > 0 && host.read_texture(&ids).contains(&1), "the network runs beside the interface");
}

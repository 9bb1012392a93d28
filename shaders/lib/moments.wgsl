// Mean and squared deviations of a block of channels, over rows of some images, by a workgroup of 16 x HEIGHT (lib/reduce).
// The importing shader binds x: array<Stored>, with a view p.x.
#import "lib/reduce_sum"
#import "lib/storage"
#import "lib/tensor"

struct Moments {
    mean: vec4<f32>,
    offset: vec4<f32>,   // of the mean from the one that deviations are taken from
    squares: vec4<f32>,  // sum of squared deviations
}

// The rough mean takes HEIGHT of so many rows, in maps of more than FEW_ROWS.
const OF_ROWS: u32 = 8u * HEIGHT;
const FEW_ROWS: u32 = 16u;
// Rows that are summed apart: 16 of each invocation.
const BAND: u32 = 16u * HEIGHT;

// Over images and rows from the first number to before the second; factor is 1 / elements.
fn moments(
    lane: u32, local: vec2<u32>, block: u32, images: vec2<u32>, rows: vec2<u32>, columns: u32, factor: f32,
) -> Moments {
    // A rough mean, of an eighth of the rows or more: it is at most sqrt(7) standard deviations from the mean, whatever the
    // rows hold, so deviations from it lose no more than three bits.
    // Sums within rows first, then of 16 rows an invocation: rounding error grows with W / 16 + 16 + H / BAND, not with W * H.
    let height = rows.y - rows.x;
    let few = height <= FEW_ROWS;
    let some = select(height / OF_ROWS * HEIGHT + min(height % OF_ROWS, HEIGHT), height, few);
    let apart = select(OF_ROWS, HEIGHT, few);
    var total = vec4<f32>(0.0);
    for (var n = images.x; n < images.y; n++) {
        for (var iy = rows.x + local.y; iy < rows.y; iy += apart) {
            let row = plane_start(p.x, n, block) + iy * p.x.row;
            var part = vec4<f32>(0.0);
            for (var ix = local.x; ix < columns; ix += 16u) {
                part += vec4<f32>(x[row + ix]);
            }
            total += part;
        }
    }
    let rough = reduce(lane, total) / f32((images.y - images.x) * some * columns);

    // Deviations from the rough mean: their mean corrects it, and the squares too.
    var deviation = vec4<f32>(0.0);
    var square = vec4<f32>(0.0);
    for (var n = images.x; n < images.y; n++) {
        for (var band = rows.x; band < rows.y; band += BAND) {
            var band_deviation = vec4<f32>(0.0);
            var band_square = vec4<f32>(0.0);
            let end = min(band + BAND, rows.y);
            for (var iy = band + local.y; iy < end; iy += HEIGHT) {
                let row = plane_start(p.x, n, block) + iy * p.x.row;
                var part = vec4<f32>(0.0);
                var part_square = vec4<f32>(0.0);
                for (var ix = local.x; ix < columns; ix += 16u) {
                    let d = vec4<f32>(x[row + ix]) - rough;
                    part += d;
                    part_square += d * d;
                }
                band_deviation += part;
                band_square += part_square;
            }
            deviation += band_deviation;
            square += band_square;
        }
    }
    let offset = reduce(lane, deviation) * factor;
    return Moments(rough + offset, offset, reduce(lane, square));
}

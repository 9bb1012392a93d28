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

// Rows that the rough mean takes, of as many.
const SOME_ROWS: u32 = HEIGHT;
const OF_ROWS: u32 = 8u * HEIGHT;

// Over images and rows from the first number to before the second; factor is 1 / elements.
fn moments(
    lane: u32, local: vec2<u32>, block: u32, images: vec2<u32>, rows: vec2<u32>, columns: u32, factor: f32,
) -> Moments {
    // A rough mean, of an eighth of the rows or more: it is at most sqrt(7) standard deviations from the mean, whatever the
    // rows hold, so deviations from it lose no more than three bits.
    // Sums within rows first: rounding error grows with W + H, not with W * H.
    let height = rows.y - rows.x;
    let some = height / OF_ROWS * SOME_ROWS + min(height % OF_ROWS, SOME_ROWS);
    var total = vec4<f32>(0.0);
    for (var n = images.x; n < images.y; n++) {
        for (var iy = rows.x + local.y; iy < rows.y; iy += OF_ROWS) {
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
        for (var iy = rows.x + local.y; iy < rows.y; iy += SOME_ROWS) {
            let row = plane_start(p.x, n, block) + iy * p.x.row;
            var part = vec4<f32>(0.0);
            var part_square = vec4<f32>(0.0);
            for (var ix = local.x; ix < columns; ix += 16u) {
                let d = vec4<f32>(x[row + ix]) - rough;
                part += d;
                part_square += d * d;
            }
            deviation += part;
            square += part_square;
        }
    }
    let offset = reduce(lane, deviation) * factor;
    return Moments(rough + offset, offset, reduce(lane, square));
}

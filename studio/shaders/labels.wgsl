// A tile of labels: instances filled, outlined inside their edges, or both; a hatch where nothing is labelled.
//   tile   [1, rows, columns]  labels: MARGIN texels, those of the tile, MARGIN texels
//   table  [instances]  colours, RGBA premultiplied by alpha, 8 bits each
// Bindings: group 0: 0 style, 1 table (read); group 1: 0 tile.
// Draw: as common.wgsl.
struct Style {
    screen: Screen,
    anchor: vec2<f32>,     // the hatch moves with the image
    opacity: f32,          // of fills; 0 for none
    width: f32,            // of outlines in points; 0 for none
    selected: u32,         // UNLABELLED for none
    unlabelled: u32,       // 1: hatch
    entries: u32,          // of the table
    point: f32,            // screen pixels
    palette: array<vec4<u32>, 9>,
}

const MARGIN: i32 = 4;
const UNLABELLED: u32 = 0xffffffffu;

@group(0) @binding(0) var<uniform> style: Style;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(1) @binding(0) var tile: texture_2d_array<u32>;

fn label(p: vec2<f32>) -> u32 {
    let last = vec2<i32>(textureDimensions(tile)) - 1;
    return textureLoad(tile, clamp(vec2<i32>(floor(p)) + MARGIN, vec2<i32>(0), last), 0, 0).x;
}

fn edge(p: vec2<f32>, id: u32, width: f32) -> bool {
    let d = min(width, f32(MARGIN) - 0.01);
    let e = d * 0.7071;
    return label(p + vec2<f32>(d, 0.0)) != id || label(p - vec2<f32>(d, 0.0)) != id
        || label(p + vec2<f32>(0.0, d)) != id || label(p - vec2<f32>(0.0, d)) != id
        || label(p + vec2<f32>(e, e)) != id || label(p - vec2<f32>(e, e)) != id
        || label(p + vec2<f32>(e, -e)) != id || label(p - vec2<f32>(e, -e)) != id;
}

// The colour, not premultiplied, and its alpha.
fn colour(id: u32) -> vec4<f32> {
    if (id < style.entries) {
        let c = unpack4x8unorm(table[id]);
        return vec4<f32>(c.rgb / max(c.a, 0.001), c.a);
    }
    let turn = id / 12u;
    let place = turn % 3u * 12u + (id * 5u + turn + id / 432u) % 12u;
    return unpack4x8unorm(style.palette[place / 4u][place % 4u]);
}

@fragment
fn labels(in: Corner) -> @location(0) vec4<f32> {
    let scale = in.place.z;
    let p = (in.position.xy - in.place.xy) * scale;
    let id = label(p);
    if (id == UNLABELLED) {
        let along = in.position.x + in.position.y - style.anchor.x - style.anchor.y;
        let line = fract(along / (12.0 * style.point)) * 12.0;
        return select(vec4<f32>(0.0), shown(vec3<f32>(0.6), 0.35), style.unlabelled == 1u && line < 1.5);
    }
    if (id == 0u) {
        return vec4<f32>(0.0);
    }
    let c = colour(id);
    if (id == style.selected) {
        // White on black, seen on any image.
        if (edge(p, id, 2.0 * style.point * scale)) {
            return shown(vec3<f32>(1.0), 1.0);
        }
        if (edge(p, id, 3.5 * style.point * scale)) {
            return shown(vec3<f32>(0.0), 1.0);
        }
        return shown(c.rgb, min(style.opacity + 0.2, 1.0) * max(c.a, 0.5));
    }
    if (style.width > 0.0 && edge(p, id, style.width * style.point * scale)) {
        return shown(c.rgb, c.a);
    }
    return shown(c.rgb, style.opacity * c.a);
}

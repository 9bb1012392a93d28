//! Storage images in place of storage buffers, as a rewriting of a kernel's text.
//!
//! llvmpipe loads a vec4 of a storage buffer lane by lane behind a branch and a bounds check, 40 ns a subgroup; one of a
//! storage image without branches, 7 ns. It stores into a buffer in 19 ns and into an image in about 49. So what is read
//! more than once is better an image there; and whatever is read, where kernels can write the image as a buffer in the same
//! memory ([`Images::Aliased`](super::Images)). Element `i` of the array is texel `(i % IMAGE_COLUMNS, i / IMAGE_COLUMNS)`.

use super::compose::is_active;
use super::{F16, KernelKey, sources};

/// Texels in a row of an image that has more than one.
pub const IMAGE_COLUMNS: u64 = 1 << 12;

/// Rows that an image may have: WebGPU's default limit.
const IMAGE_ROWS: u64 = 8192;

/// The constant of a [`KernelKey`] that says which bindings are images: bit `i` for binding `i`.
pub const IMAGES: &str = "IMAGES";

/// Columns and rows of an image that holds `bytes` bytes, if one can.
pub fn image_size(bytes: u64) -> Option<[u32; 2]> {
    let texels = bytes.div_ceil(16).max(1);
    let (columns, rows) = (texels.min(IMAGE_COLUMNS), texels.div_ceil(IMAGE_COLUMNS));
    (rows <= IMAGE_ROWS).then_some([columns as u32, rows as u32])
}

/// Whether a binding of a kernel may be an image: it is an array of vec4 wherever the shader declares it.
/// One that the shader counts by constants, such as `@binding(INPUTS + 1)`, may not.
pub fn may_be_image(key: &KernelKey, binding: usize) -> bool {
    let text = sources::source(key.shader).unwrap_or_default();
    if key.value(F16).is_some() {
        return false;
    }
    let declared = format!("@binding({binding})");
    let mut open = Vec::new();
    let lines = text.lines().filter(|line| is_active(line, key, &mut open));
    let mut lines = lines.filter(|l| l.contains(&declared)).peekable();
    lines.peek().is_some() && lines.all(|l| Image::parse(l).is_some())
}

/// A declaration that becomes one of an image, and what the text does with it.
struct Image<'a> {
    binding: &'a str,
    name: &'a str,
    writable: bool,
    loads: bool,
    stores: bool,
}

impl<'a> Image<'a> {
    /// `@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;`
    fn parse(line: &'a str) -> Option<Self> {
        let (binding, rest) = line.strip_prefix("@group(0) @binding(")?.split_once(") var<storage, ")?;
        let (access, rest) = rest.split_once("> ")?;
        // `Stored` is vec4<f32> in kernels that may have images: see `shaders/lib/storage.wgsl`.
        let name = rest.strip_suffix(": array<vec4<f32>>;").or_else(|| rest.strip_suffix(": array<Stored>;"))?;
        Some(Self { binding, name, writable: access == "read_write", loads: false, stores: false })
    }

    fn in_mask(&self, bindings: u32) -> bool {
        self.binding.parse().is_ok_and(|b: u32| b < 32 && bindings >> b & 1 == 1)
    }

    fn declaration(&self) -> String {
        let Self { binding, name, .. } = self;
        let access = match (self.loads || !self.writable, self.stores) {
            (true, true) => "read_write",
            (true, false) => "read",
            (false, _) => "write",
        };
        let (mask, shift) = (IMAGE_COLUMNS - 1, IMAGE_COLUMNS.ilog2());
        // Parameters that no binding is called like.
        let at = format!("vec2<u32>(element & {mask}u, element >> {shift}u)");
        let mut text =
            format!("@group(0) @binding({binding}) var {name}: texture_storage_2d<rgba32float, {access}>;\n");
        if self.loads {
            text += &format!("fn load_{name}(element: u32) -> vec4<f32> {{ return textureLoad({name}, {at}); }}\n");
        }
        if self.stores {
            text +=
                &format!("fn store_{name}(element: u32, value: vec4<f32>) {{ textureStore({name}, {at}, value); }}\n");
        }
        text
    }
}

/// The text with the bindings of the mask turned into images: `x[i]` becomes `load_x(i)`, and `x[i] = v` becomes
/// `store_x(i, v)`.
pub(super) fn rewrite(text: &str, bindings: u32) -> Result<String, String> {
    let mut images = Vec::new();
    let mut rest = String::with_capacity(text.len());
    for line in text.lines() {
        match Image::parse(line).filter(|i| i.in_mask(bindings)) {
            Some(image) => images.push(image),
            None => {
                rest.push_str(line);
                rest.push('\n');
            }
        }
    }
    if images.len() != bindings.count_ones() as usize {
        return Err(format!("bindings {bindings:#b} are not all arrays of vec4"));
    }
    let body = uses(&rest, &mut images)?;
    Ok(images.iter().map(Image::declaration).collect::<String>() + &body)
}

fn uses(text: &str, images: &mut [Image]) -> Result<String, String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if word(first) {
            rest.find(|c| !word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (piece, after) = rest.split_at(end);
        rest = after;
        let member = out.ends_with('.');
        let Some(k) = images.iter().position(|i| i.name == piece && !member && after.starts_with('[')) else {
            out.push_str(piece);
            continue;
        };
        let close = closing(after).ok_or_else(|| format!("no end of `{piece}[`"))?;
        let at = uses(&after[1..close], images)?;
        rest = &after[close + 1..];
        match rest.trim_start().strip_prefix('=').filter(|r| !r.starts_with('=')) {
            Some(assigned) => {
                let (value, tail) = assigned.split_once(';').ok_or_else(|| format!("no end of `{piece}[..] =`"))?;
                out += &format!("store_{piece}({at}, {});", uses(value, images)?.trim());
                images[k].stores = true;
                rest = tail;
            }
            None => {
                out += &format!("load_{piece}({at})");
                images[k].loads = true;
            }
        }
    }
    Ok(out)
}

/// Where the bracket that `text` begins with is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (i, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(i);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
// x[0] stays
fn main() {
y[i + 1u] = max(y[i], x[p.x[2] + u32(x[0].w)]);
if (x[1].x == 2.0) { p.y[0] = 1; }
}
";

    #[test]
    fn uses_become_calls() {
        let got = rewrite(TEXT, 0b110).unwrap();
        assert!(got.contains("store_y(i + 1u, max(load_y(i), load_x(p.x[2] + u32(load_x(0).w))));"), "{got}");
        assert!(got.contains("if (load_x(1).x == 2.0) { p.y[0] = 1; }"), "{got}");
        assert!(got.contains("// x[0] stays"), "{got}");
        assert!(got.contains("var y: texture_storage_2d<rgba32float, read_write>"), "{got}");
        assert!(got.contains("var x: texture_storage_2d<rgba32float, read>"), "{got}");
    }

    #[test]
    fn other_bindings_stay_buffers() {
        let got = rewrite(TEXT, 0b10).unwrap();
        assert!(got.contains("y[i + 1u] = max(y[i], load_x("), "{got}");
        assert!(rewrite(TEXT, 0b1000).is_err());
        assert!(rewrite(&TEXT.replace("y[i + 1u] =", "y[i + 1u]"), 0b110).is_ok());
    }

    #[test]
    fn sizes() {
        assert_eq!(image_size(0), Some([1, 1]));
        assert_eq!(image_size(17), Some([2, 1]));
        assert_eq!(image_size(4096 * 16), Some([4096, 1]));
        assert_eq!(image_size(4097 * 16), Some([4096, 2]));
        assert_eq!(image_size(4096 * 16 * 8192), Some([4096, 8192]));
        assert_eq!(image_size(4096 * 16 * 8192 + 1), None);
    }
}

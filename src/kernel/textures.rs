//! Rewrites a kernel's text to use storage textures in place of storage buffers, for devices that read them faster: see
//! [`DriverPolicy`](super::DriverPolicy). Element `i` of the array is texel `(i % TEXTURE_COLUMNS, i /
//! TEXTURE_COLUMNS)`.

use super::conditions::{F16, is_active};
use super::{KernelKey, sources};

/// Width of a texture with more than one row, in texels.
pub(super) const TEXTURE_COLUMNS: u64 = 1 << 12;

/// Max rows of a texture: WebGPU's default limit.
const TEXTURE_ROWS: u64 = 8192;

/// Constant of a [`KernelKey`]: the mask of bindings that are textures, bit `i` for binding `i`.
pub const TEXTURES: &str = "TEXTURES";

/// Columns and rows of a texture that holds `bytes` bytes; `None` if that exceeds the limit.
pub fn texture_size(bytes: u64) -> Option<[u32; 2]> {
    let texels = bytes.div_ceil(16).max(1);
    let (columns, rows) = (texels.min(TEXTURE_COLUMNS), texels.div_ceil(TEXTURE_COLUMNS));
    (rows <= TEXTURE_ROWS).then_some([columns as u32, rows as u32])
}

/// Whether a binding of a kernel may be a texture: every declaration in the shader is an array of vec4.
/// A binding numbered by an expression, such as `@binding(INPUTS + 1)`, may not.
pub fn may_be_texture(key: &KernelKey, binding: usize) -> bool {
    let text = sources::source(key.shader).unwrap_or_default();
    if key.value(F16).is_some() {
        return false;
    }
    let declared = format!("@binding({binding})");
    let mut open = Vec::new();
    let lines = text.lines().filter(|line| is_active(line, key, &mut open));
    let mut lines = lines.filter(|l| l.contains(&declared)).peekable();
    lines.peek().is_some() && lines.all(|l| Texture::parse(l).is_some())
}

/// A declaration to turn into a texture, and how the text uses it.
struct Texture<'a> {
    binding: &'a str,
    name: &'a str,
    writable: bool,
    loads: bool,
    stores: bool,
}

impl<'a> Texture<'a> {
    /// `@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;`
    fn parse(line: &'a str) -> Option<Self> {
        let (binding, rest) = line.strip_prefix("@group(0) @binding(")?.split_once(") var<storage, ")?;
        let (access, rest) = rest.split_once("> ")?;
        // `Stored` is vec4<f32> in kernels that may have textures: see `shaders/lib/storage.wgsl`.
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
        let (mask, shift) = (TEXTURE_COLUMNS - 1, TEXTURE_COLUMNS.ilog2());
        // Parameter names that no binding has.
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

/// Turns the bindings of the mask into textures: `x[i]` becomes `load_x(i)`, and `x[i] = v` becomes `store_x(i, v)`.
pub(super) fn rewrite(text: &str, bindings: u32) -> Result<String, String> {
    let mut textures = Vec::new();
    let mut rest = String::with_capacity(text.len());
    for line in text.lines() {
        match Texture::parse(line).filter(|i| i.in_mask(bindings)) {
            Some(texture) => textures.push(texture),
            None => {
                rest.push_str(line);
                rest.push('\n');
            }
        }
    }
    if textures.len() != bindings.count_ones() as usize {
        return Err(format!("bindings {bindings:#b} are not all arrays of vec4"));
    }
    let body = rewrite_uses(&rest, &mut textures)?;
    Ok(textures.iter().map(Texture::declaration).collect::<String>() + &body)
}

fn rewrite_uses(text: &str, textures: &mut [Texture]) -> Result<String, String> {
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
        let Some(k) = textures.iter().position(|i| i.name == piece && !member && after.starts_with('[')) else {
            out.push_str(piece);
            continue;
        };
        let close = closing(after).ok_or_else(|| format!("`{piece}[` is not closed"))?;
        let at = rewrite_uses(&after[1..close], textures)?;
        rest = &after[close + 1..];
        match rest.trim_start().strip_prefix('=').filter(|r| !r.starts_with('=')) {
            Some(assigned) => {
                let (value, tail) = assigned.split_once(';').ok_or_else(|| format!("`{piece}[..] =` has no `;`"))?;
                out += &format!("store_{piece}({at}, {});", rewrite_uses(value, textures)?.trim());
                textures[k].stores = true;
                rest = tail;
            }
            None => {
                out += &format!("load_{piece}({at})");
                textures[k].loads = true;
            }
        }
    }
    Ok(out)
}

/// Index of the bracket that closes the one `text` begins with.
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
        assert_eq!(texture_size(0), Some([1, 1]));
        assert_eq!(texture_size(17), Some([2, 1]));
        assert_eq!(texture_size(4096 * 16), Some([4096, 1]));
        assert_eq!(texture_size(4097 * 16), Some([4096, 2]));
        assert_eq!(texture_size(4096 * 16 * 8192), Some([4096, 8192]));
        assert_eq!(texture_size(4096 * 16 * 8192 + 1), None);
    }
}

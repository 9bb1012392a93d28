//! SSIM in `f64` from raw moments, derived independently of the kernels, which use central moments.

use super::{C, Scale, SsimMeans};
use crate::tensor::{HostTensor, Shape};

/// The planes of both inputs at every scale.
struct Pyramid {
    /// Indexed by scale, input, plane.
    maps: Vec<[Vec<Vec<f64>>; 2]>,
}

fn pyramid(op: &SsimMeans, s: Shape, inputs: &[&HostTensor]) -> Pyramid {
    let planes = |t: &HostTensor| -> Vec<Vec<f64>> {
        t.data().chunks(s.pixels()).map(|p| p.iter().map(|&v| f64::from(v)).collect()).collect()
    };
    let mut maps = vec![[planes(inputs[0]), planes(inputs[1])]];
    for pair in op.scales(s).windows(2) {
        let (fine, coarse) = (pair[0], pair[1]);
        let half = |x: &Vec<f64>| {
            let at = |y: usize, c: usize| x[y * fine.w + c];
            let mean = |i: usize| {
                let (y, c) = (2 * (i / coarse.w), 2 * (i % coarse.w));
                (at(y, c) + at(y, c + 1) + at(y + 1, c) + at(y + 1, c + 1)) / 4.0
            };
            (0..coarse.h * coarse.w).map(mean).collect()
        };
        let last = &maps[maps.len() - 1];
        maps.push([0, 1].map(|i| last[i].iter().map(half).collect()));
    }
    Pyramid { maps }
}

/// Filtered windows of one plane `x` of `h` x `w`.
fn blur(x: &[f64], scale: Scale, taps: &[f64]) -> Vec<f64> {
    let [w2, h2] = scale.windows();
    let row = |i: usize| {
        let start = i / w2 * scale.w + i % w2;
        taps.iter().enumerate().map(|(k, t)| t * x[start + k]).sum::<f64>()
    };
    let rows: Vec<f64> = (0..scale.h * w2).map(row).collect();
    (0..h2 * w2).map(|i| taps.iter().enumerate().map(|(k, t)| t * rows[i + k * w2]).sum()).collect()
}

/// The transpose of [`blur`].
fn spread(x: &[f64], scale: Scale, taps: &[f64]) -> Vec<f64> {
    let [w2, h2] = scale.windows();
    let mut columns = vec![0.0; scale.h * w2];
    for i in 0..h2 * w2 {
        taps.iter().enumerate().for_each(|(k, t)| columns[i + k * w2] += t * x[i]);
    }
    let mut out = vec![0.0; scale.h * scale.w];
    for (i, v) in columns.iter().enumerate() {
        taps.iter().enumerate().for_each(|(k, t)| out[i / w2 * scale.w + i % w2 + k] += t * v);
    }
    out
}

/// SSIM maps of one plane at one scale.
struct Maps {
    mean: [Vec<f64>; 2],
    denominators: [Vec<f64>; 2],
    l: Vec<f64>,
    cs: Vec<f64>,
}

fn maps(a: &[f64], b: &[f64], scale: Scale, taps: &[f64]) -> Maps {
    let product = |x: &[f64], y: &[f64]| blur(&x.iter().zip(y).map(|(x, y)| x * y).collect::<Vec<_>>(), scale, taps);
    let mean = [blur(a, scale, taps), blur(b, scale, taps)];
    let (aa, bb, ab) = (product(a, a), product(b, b), product(a, b));
    let mut out = Maps { mean, denominators: [vec![], vec![]], l: vec![], cs: vec![] };
    for i in 0..aa.len() {
        let (ma, mb) = (out.mean[0][i], out.mean[1][i]);
        let (va, vb, cov) = (aa[i] - ma * ma, bb[i] - mb * mb, ab[i] - ma * mb);
        let pair = [ma * ma + mb * mb + C[0], va + vb + C[1]];
        out.l.push((2.0 * ma * mb + C[0]) / pair[0]);
        out.cs.push((2.0 * cov + C[1]) / pair[1]);
        (0..2).for_each(|k| out.denominators[k].push(pair[k]));
    }
    out
}

/// `[scales, N, K, 3]`
pub(super) fn means(op: &SsimMeans, s: Shape, inputs: &[&HostTensor]) -> Vec<f32> {
    let pyramid = pyramid(op, s, inputs);
    let mut out = Vec::new();
    for (scale, [a, b]) in op.scales(s).into_iter().zip(&pyramid.maps) {
        let taps = op.taps(scale.window);
        for (a, b) in a.iter().zip(b) {
            let m = maps(a, b, scale, &taps);
            let count = m.l.len() as f64;
            let both: f64 = m.l.iter().zip(&m.cs).map(|(l, cs)| l * cs).sum();
            out.extend([m.l.iter().sum::<f64>(), m.cs.iter().sum(), both].map(|v| (v / count) as f32));
        }
    }
    out
}

/// `[N, K, H, W]`; the third input is the gradient of the means.
pub(super) fn gradient(op: &SsimMeans, s: Shape, inputs: &[&HostTensor]) -> Vec<f32> {
    let pyramid = pyramid(op, s, inputs);
    let planes = s.n * s.c;
    let mut out = Vec::new();
    for plane in 0..planes {
        let mut coarse: Option<(Scale, Vec<f64>)> = None;
        for (m, scale) in op.scales(s).into_iter().enumerate().rev() {
            let taps = op.taps(scale.window);
            let (a, b) = (&pyramid.maps[m][0][plane], &pyramid.maps[m][1][plane]);
            let f = maps(a, b, scale, &taps);
            let count = f.l.len();
            let d = |k: usize| f64::from(inputs[2].data()[(m * planes + plane) * 3 + k]) / count as f64;
            let (mut by_mean, mut by_square, mut by_product) = (vec![0.0; count], vec![0.0; count], vec![0.0; count]);
            for i in 0..count {
                let (ma, mb, l, cs) = (f.mean[0][i], f.mean[1][i], f.l[i], f.cs[i]);
                let (dl, dcs) = (d(0) + d(2) * cs, d(1) + d(2) * l);
                let luminance = dl * (2.0 * mb - 2.0 * ma * l) / f.denominators[0][i];
                by_mean[i] = luminance + dcs * (2.0 * cs * ma - 2.0 * mb) / f.denominators[1][i];
                by_square[i] = -dcs * cs / f.denominators[1][i];
                by_product[i] = 2.0 * dcs / f.denominators[1][i];
            }
            let [by_mean, by_square, by_product] = [by_mean, by_square, by_product].map(|g| spread(&g, scale, &taps));
            let mut da: Vec<f64> =
                (0..a.len()).map(|i| by_mean[i] + 2.0 * a[i] * by_square[i] + b[i] * by_product[i]).collect();
            if let Some((c, grad)) = coarse {
                for (i, g) in grad.iter().enumerate() {
                    let start = 2 * (i / c.w) * scale.w + 2 * (i % c.w);
                    [0, 1, scale.w, scale.w + 1].iter().for_each(|k| da[start + k] += g / 4.0);
                }
            }
            coarse = Some((scale, da));
        }
        out.extend(coarse.into_iter().flat_map(|c| c.1).map(|v| v as f32));
    }
    out
}

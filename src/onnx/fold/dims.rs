//! Shape inference of operators that move elements.

use crate::onnx::Reason;
use crate::onnx::attributes::Attributes;
use crate::onnx::tensor::{MAX_FOLDED, MAX_RANK, Tensor, count};

/// The result of `Shape`, with its optional attributes `start` and `end`.
pub(crate) fn shape_of(dims: &[usize], a: Attributes<'_>) -> Tensor {
    let rank = dims.len() as i64;
    let at = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (start, end) = (at(a.int("start").unwrap_or(0)), at(a.int("end").unwrap_or(rank)));
    Tensor::ints(dims.get(start..end).unwrap_or_default().iter().map(|&d| d as i64))
}

/// Resolves axis `axis` of `rank`, counted from the end if negative.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize, Reason> {
    let at = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(at).ok().filter(|&a| a < rank).ok_or_else(|| format!("axis {axis} of {rank} dimensions").into())
}

/// Dimensions from integers.
pub(crate) fn lengths(v: &[i64]) -> Result<Vec<usize>, Reason> {
    let dims: Option<Vec<usize>> = v.iter().map(|&d| usize::try_from(d).ok()).collect();
    let dims = dims.ok_or_else(|| Reason::from(format!("negative dimensions {v:?}")))?;
    count(&dims)?;
    Ok(dims)
}

/// Number of elements of a constant; fails above [`MAX_FOLDED`].
pub(super) fn bounded(dims: &[usize]) -> Result<usize, Reason> {
    let n = count(dims)?;
    if n > MAX_FOLDED {
        return Err(format!("a constant of dimensions {dims:?} is larger than {MAX_FOLDED} elements").into());
    }
    Ok(n)
}

/// The dimensions of `Reshape`.
pub(crate) fn reshape(from: &[usize], to: &[i64], zero_is_zero: bool) -> Result<Vec<usize>, Reason> {
    if to.len() > MAX_RANK {
        return Err(format!("a reshape to {} dimensions", to.len()).into());
    }
    let total = count(from)?;
    let wrong = || Reason::from(format!("{from:?} cannot be reshaped to {to:?}"));
    let mut dims = Vec::with_capacity(to.len());
    let mut open = None;
    for (i, &d) in to.iter().enumerate() {
        dims.push(match d {
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            0 if !zero_is_zero => *from.get(i).ok_or_else(wrong)?,
            d => usize::try_from(d).map_err(|_| wrong())?,
        });
    }
    let known = count(&dims)?;
    if let Some(i) = open {
        dims[i] = total.checked_div(known).ok_or_else(wrong)?;
    }
    if count(&dims)? == total { Ok(dims) } else { Err(wrong()) }
}

/// The dimensions of `Flatten`.
pub(crate) fn flatten(dims: &[usize], at: i64) -> Result<Vec<usize>, Reason> {
    let at = if at == dims.len() as i64 { dims.len() } else { axis(at, dims.len())? };
    Ok(vec![count(&dims[..at])?, count(&dims[at..])?])
}

/// The dimensions of `Unsqueeze`.
pub(crate) fn unsqueeze(dims: &[usize], axes: &[i64]) -> Result<Vec<usize>, Reason> {
    let rank = dims.len() + axes.len();
    if rank > MAX_RANK {
        return Err(format!("{rank} dimensions").into());
    }
    let axes = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut rest = dims.iter();
    let dims: Vec<usize> =
        (0..rank).map(|i| if axes.contains(&i) { 1 } else { rest.next().copied().unwrap_or(1) }).collect();
    if rest.next().is_some() { Err(format!("axes {axes:?} repeat").into()) } else { Ok(dims) }
}

/// The dimensions of `Squeeze`.
pub(crate) fn squeeze(dims: &[usize], axes: Option<&[i64]>) -> Result<Vec<usize>, Reason> {
    let Some(axes) = axes else { return Ok(dims.iter().copied().filter(|&d| d != 1).collect()) };
    let axes = axes.iter().map(|&a| axis(a, dims.len())).collect::<Result<Vec<_>, _>>()?;
    if let Some(&a) = axes.iter().find(|&&a| dims[a] != 1) {
        return Err(format!("axis {a} of {dims:?} is not 1").into());
    }
    Ok(dims.iter().enumerate().filter(|d| !axes.contains(&d.0)).map(|d| *d.1).collect())
}

/// The permutation of `Transpose`.
pub(crate) fn permutation(rank: usize, perm: Option<&[i64]>) -> Result<Vec<usize>, Reason> {
    let Some(perm) = perm else { return Ok((0..rank).rev().collect()) };
    let found = perm.iter().map(|&p| axis(p, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = found.clone();
    sorted.sort_unstable();
    if sorted == (0..rank).collect::<Vec<_>>() {
        Ok(found)
    } else {
        Err(format!("permutation {perm:?} of {rank} dimensions").into())
    }
}

/// A slice of an axis: `count` elements from `start`, `step` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// First index.
    pub start: i64,
    /// Step; may be negative.
    pub step: i64,
    /// Number of elements.
    pub count: usize,
}

/// The slice of every axis for `Slice`. `list(name, input)` returns an attribute or an input.
pub(crate) fn slice(
    dims: &[usize],
    list: impl Fn(&str, usize) -> Result<Option<Vec<i64>>, Reason>,
) -> Result<Vec<Range>, Reason> {
    let starts = list("starts", 1)?.ok_or("starts are missing")?;
    let ends = list("ends", 2)?.ok_or("ends are missing")?;
    let axes = list("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("starts, ends, axes and steps differ in length".into());
    }
    let mut ranges: Vec<Range> = dims.iter().map(|&n| Range { start: 0, step: 1, count: n }).collect();
    for (((&start, &end), &at), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let at = axis(at, dims.len())?;
        let n = dims[at] as i64;
        let wrap = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
        let (start, span) = match step {
            0 => return Err("a step of 0".into()),
            1.. => {
                let start = wrap(start).clamp(0, n);
                (start, wrap(end).clamp(0, n) - start)
            }
            _ => {
                let start = wrap(start).clamp(-1, n - 1);
                // The end is exclusive; here -1 means "before the first element".
                let end = if end < -n { -1 } else { wrap(end).clamp(-1, n - 1) };
                (start, start - end)
            }
        };
        let count = (span.max(0) as u64).div_ceil(step.unsigned_abs()) as usize;
        ranges[at] = Range { start, step, count };
    }
    Ok(ranges)
}

/// The parts of `Split`: axis, start and length of each.
pub(crate) fn split(
    dims: &[usize],
    a: Attributes<'_>,
    sizes: Option<&Tensor>,
    outputs: usize,
) -> Result<Vec<(usize, usize, usize)>, Reason> {
    let at = axis(a.int("axis").unwrap_or(0), dims.len())?;
    let n = dims[at];
    let sizes = match (sizes, a.ints("split")) {
        (Some(t), _) => lengths(t.as_ints()?)?,
        (None, Some(list)) => lengths(list)?,
        (None, None) => {
            if outputs == 0 || a.int("num_outputs").is_some_and(|n| usize::try_from(n) != Ok(outputs)) {
                return Err(format!("num_outputs is not the number of its outputs, {outputs}").into());
            }
            let size = n.div_ceil(outputs);
            (0..outputs).map(|i| size.min(n.saturating_sub(i * size))).collect()
        }
    };
    if sizes.len() != outputs || sizes.iter().sum::<usize>() != n {
        return Err(format!("{n} along axis {at} do not split into {sizes:?} for {outputs} outputs").into());
    }
    let mut start = 0;
    let part = |size: &usize| {
        start += size;
        (at, start - size, *size)
    };
    Ok(sizes.iter().map(part).collect())
}

/// The dimensions two tensors broadcast to, as in NumPy.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Reason> {
    let rank = a.len().max(b.len());
    let get = |d: &[usize], i: usize| if i + d.len() < rank { 1 } else { d[i + d.len() - rank] };
    (0..rank)
        .map(|i| match (get(a, i), get(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(format!("{a:?} and {b:?} cannot be broadcast").into()),
        })
        .collect()
}

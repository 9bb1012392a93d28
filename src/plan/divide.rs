//! A plan whose long dispatches are divided, for applications that record it in parts.

use super::{Plan, PlannedDispatch};

impl Plan {
    /// The same plan with each dispatch in as many parts as `parts` says of its index, or as its grid allows. Results are the
    /// same bit for bit.
    #[must_use]
    pub fn divided(&self, parts: impl Fn(usize) -> u32) -> Self {
        let divided = self.dispatches.iter().enumerate().flat_map(|(i, d)| d.divided(parts(i)));
        Self { dispatches: divided.collect(), ..self.clone() }
    }
}

impl PlannedDispatch {
    /// Ranges of the workgroups along the dimension that divides most evenly; the slowest of those, so that neighbours stay
    /// together.
    fn divided(&self, parts: u32) -> Vec<Self> {
        let count = |axis: usize| self.workgroups[axis].min(parts).max(1);
        let largest =
            |axis: usize| f64::from(self.workgroups[axis].div_ceil(count(axis))) / f64::from(self.workgroups[axis]);
        let axis = [2, 1, 0].into_iter().min_by(|&a, &b| largest(a).total_cmp(&largest(b))).unwrap_or(2);
        let (of, count) = (u64::from(self.workgroups[axis]), u64::from(count(axis)));
        if count == 1 {
            return vec![self.clone()];
        }
        let part = |i: u64| {
            let (start, end) = (i * of / count, (i + 1) * of / count);
            let share = |whole: u64| {
                let before = |workgroup: u64| (u128::from(whole) * u128::from(workgroup) / u128::from(of)) as u64;
                before(end) - before(start)
            };
            let (mut first, mut workgroups) = ([0; 3], self.workgroups);
            (first[axis], workgroups[axis]) = (start as u32, (end - start) as u32);
            Self {
                params: self.params.of_part(first, self.kernel.is_part()),
                kernel: self.kernel.clone().in_parts(),
                workgroups,
                macs: share(self.macs),
                bytes: share(self.bytes),
                ..self.clone()
            }
        };
        (0..count).map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::KernelKey;
    use crate::ops::halo;
    use crate::tensor::{Shape, TensorDesc};

    fn dispatch(workgroups: [u32; 3]) -> PlannedDispatch {
        let params = halo(TensorDesc::blocked(Shape::new(1, 4, 8, 8)), 0, None).params;
        let (label, kernel, bindings) = ("a".to_string(), KernelKey::new("halo"), Vec::new());
        PlannedDispatch { label, kernel, params, bindings, workgroups, macs: 1000, bytes: 7, choice: None, node: 0 }
    }

    /// The first workgroup and the extent of each part.
    fn ranges(parts: &[PlannedDispatch]) -> Vec<[[u32; 3]; 2]> {
        let first = |d: &PlannedDispatch| [0, 1, 2].map(|i| d.params[d.params.len() - 4 + i]);
        parts.iter().map(|d| [first(d), d.workgroups]).collect()
    }

    #[test]
    fn the_dimension_that_divides_most_evenly_is_divided() {
        assert_eq!(dispatch([4, 4, 4]).divided(1), [dispatch([4, 4, 4])]);
        assert_eq!(dispatch([1, 1, 1]).divided(9), [dispatch([1, 1, 1])]);
        assert_eq!(dispatch([3, 2, 1]).divided(0), [dispatch([3, 2, 1])]);
        let slowest = dispatch([8, 8, 8]).divided(2);
        assert_eq!(ranges(&slowest), [[[0, 0, 0], [8, 8, 4]], [[0, 0, 4], [8, 8, 4]]]);
        let even = dispatch([2, 64, 3]).divided(2);
        assert_eq!(ranges(&even), [[[0, 0, 0], [2, 32, 3]], [[0, 32, 0], [2, 32, 3]]]);
        let few = dispatch([5, 2, 1]).divided(9);
        assert_eq!(ranges(&few).len(), 5);
        assert!(slowest.iter().all(|d| d.kernel == KernelKey::new("halo").in_parts()));
    }

    #[test]
    fn parts_cover_a_dispatch_and_its_work() {
        let parts = dispatch([7, 1, 1]).divided(3);
        assert_eq!(ranges(&parts), [[[0, 0, 0], [2, 1, 1]], [[2, 0, 0], [2, 1, 1]], [[4, 0, 0], [3, 1, 1]]]);
        assert_eq!((parts.iter().map(|d| d.macs).sum::<u64>(), parts.iter().map(|d| d.bytes).sum::<u64>()), (1000, 7));
        let again = parts[2].divided(3);
        assert_eq!(ranges(&again), [[[4, 0, 0], [1, 1, 1]], [[5, 0, 0], [1, 1, 1]], [[6, 0, 0], [1, 1, 1]]]);
        assert_eq!(again[0].kernel, parts[2].kernel);
    }
}

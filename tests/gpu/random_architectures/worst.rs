//! The worst difference of each check.

use std::collections::BTreeMap;
use std::fmt;
use unet_wgpu::low_level::tensor::Comparison;

#[derive(Default)]
struct Figure {
    count: usize,
    /// Of a comparison within a tolerance: the largest difference relative to scale, its network, the tolerance.
    worst: Option<(f32, u64, f32)>,
}

/// The worst difference of each check, and how many networks were compared.
#[derive(Default)]
pub(super) struct Worst(BTreeMap<&'static str, Figure>);

impl Worst {
    /// Notes a comparison, which must be within its tolerance.
    pub(super) fn compare(
        &mut self,
        check: &'static str,
        seed: u64,
        c: &Comparison,
        tolerance: f32,
    ) -> Result<(), String> {
        let figure = self.0.entry(check).or_default();
        figure.count += 1;
        // As `Comparison::within` has it.
        let relative = c.max_error / c.scale.max(1e-3);
        if figure.worst.is_none_or(|w| relative > w.0) {
            figure.worst = Some((relative, seed, tolerance));
        }
        if c.within(tolerance) { Ok(()) } else { Err(format!("{check}: error {} of scale {}", c.max_error, c.scale)) }
    }

    /// Notes a comparison of bytes that were equal.
    pub(super) fn exact(&mut self, check: &'static str) {
        self.0.entry(check).or_default().count += 1;
    }
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (check, Figure { count, worst }) in &self.0 {
            match worst {
                Some((w, seed, tolerance)) => {
                    writeln!(f, "{check}: {count} compared, worst {w:.1e} (seed {seed}), allowed {tolerance:.0e}")?;
                }
                None => writeln!(f, "{check}: {count} compared, all bytes equal")?,
            }
        }
        Ok(())
    }
}

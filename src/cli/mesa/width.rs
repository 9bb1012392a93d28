//! Which width of vectors llvmpipe gets, decided from what is known of the machine. Plain data: nothing is measured here.

use std::fmt;

/// llvmpipe's own width on every processor that has more than 128 bits.
pub(in crate::cli) const NARROW: u32 = 256;
pub(in crate::cli) const WIDE: u32 = 512;
/// The newest Mesa whose llvmpipe can be faster with 512 bits.
const LAST_WITH_FAST_WIDE: u32 = 22;
/// What 512 bits must gain: they compile for longer.
const GAIN: f64 = 0.03;

/// The machine, as far as it matters.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The width that the user has set.
    pub set: Option<String>,
    pub has_gpu: bool,
    pub has_avx512: bool,
    /// Major version of each llvmpipe that may be loaded; `None` if it is unknown.
    pub versions: Vec<Option<u32>>,
    /// Whether kernels compiled for 512 bits have a folder of their own: Mesa's cache does not distinguish widths.
    pub has_folder: bool,
}

/// Milliseconds of the same work at both widths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Times {
    pub narrow: f64,
    pub wide: f64,
}

/// How wide llvmpipe's vectors are, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Vectors {
    /// What is asked for; `None` leaves the driver's default.
    pub bits: Option<String>,
    pub reason: String,
}

impl fmt::Display for Vectors {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.bits {
            Some(bits) => write!(f, "{bits} bits: {}", self.reason),
            None => write!(f, "the driver's default: {}", self.reason),
        }
    }
}

impl Vectors {
    pub(super) fn default_for(reason: impl Into<String>) -> Self {
        Self { bits: None, reason: reason.into() }
    }

    fn wide(reason: impl Into<String>) -> Self {
        Self { bits: Some(WIDE.to_string()), reason: reason.into() }
    }
}

/// What the facts alone decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// There is no choice.
    Fixed(Vectors),
    /// Either width may be the faster one. The vectors are what is taken without a measurement.
    Open(Vectors),
    /// 512 bits are not faster on any version like this one that was measured, but can be set.
    Unlikely(Vectors),
}

pub(super) fn rule(facts: &Facts) -> Rule {
    let fixed = |reason: &str| Rule::Fixed(Vectors::default_for(reason));
    if let Some(bits) = &facts.set {
        return Rule::Fixed(Vectors { bits: Some(bits.clone()), reason: "set by the user".into() });
    }
    if facts.has_gpu {
        return fixed("this machine has a GPU");
    }
    if !facts.has_avx512 {
        return fixed("the processor has no AVX-512");
    }
    if facts.versions.is_empty() {
        return fixed("no llvmpipe was found");
    }
    if !facts.has_folder {
        return fixed("kernels compiled for 512 bits need a cache folder of their own");
    }
    let old = |v: &Option<u32>| v.is_some_and(|v| v <= LAST_WITH_FAST_WIDE);
    if facts.versions.iter().all(old) {
        Rule::Open(Vectors::wide("usually faster up to Mesa 22 on a processor with AVX-512; not measured"))
    } else {
        Rule::Unlikely(Vectors::default_for(
            "512 bits are slower on Mesa after 22, and an unknown version is left alone",
        ))
    }
}

/// The faster width.
pub(super) fn faster(times: Times) -> Vectors {
    let Times { narrow, wide } = times;
    let times = format!("measured {wide:.1} ms at {WIDE} bits, {narrow:.1} at {NARROW}");
    if wide <= narrow * (1.0 - GAIN) { Vectors::wide(times) } else { Vectors::default_for(times) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(versions: &[Option<u32>]) -> Facts {
        Facts { has_avx512: true, has_folder: true, versions: versions.to_vec(), ..Facts::default() }
    }

    #[test]
    fn old_versions_are_open_and_newer_or_unknown_ones_unlikely() {
        for versions in [&[Some(22)][..], &[Some(22), Some(20)]] {
            assert!(
                matches!(rule(&facts(versions)), Rule::Open(v) if v.bits.as_deref() == Some("512")),
                "{versions:?}"
            );
        }
        for versions in [&[None][..], &[Some(23)], &[Some(22), Some(26)], &[Some(22), None]] {
            assert!(matches!(rule(&facts(versions)), Rule::Unlikely(v) if v.bits.is_none()), "{versions:?}");
        }
    }

    #[test]
    fn facts_that_leave_no_choice() {
        let open = facts(&[Some(22)]);
        for fixed in [
            Facts { has_gpu: true, ..open.clone() },
            Facts { has_avx512: false, ..open.clone() },
            Facts { versions: Vec::new(), ..open.clone() },
            Facts { has_folder: false, ..open.clone() },
        ] {
            assert!(matches!(rule(&fixed), Rule::Fixed(v) if v.bits.is_none()), "{fixed:?}");
        }
        let set = Facts { set: Some("128".into()), has_gpu: true, ..open };
        assert!(matches!(rule(&set), Rule::Fixed(v) if v.bits.as_deref() == Some("128")));
    }

    #[test]
    fn the_faster_width_wins_by_more_than_noise() {
        let bits = |narrow, wide| faster(Times { narrow, wide }).bits;
        assert_eq!(bits(100.0, 80.0).as_deref(), Some("512"));
        assert_eq!(bits(100.0, 98.0), None);
        assert_eq!(bits(100.0, 120.0), None);
        // Whatever is measured, the choice costs less than 5 %.
        for wide in (500..1500).map(|w| f64::from(w) / 10.0) {
            let chosen = if bits(100.0, wide).is_some() { wide } else { 100.0 };
            assert!(chosen <= 1.05 * wide.min(100.0), "{wide}");
        }
        assert!(faster(Times { narrow: 31.25, wide: 40.0 }).reason.contains("40.0 ms at 512 bits, 31.2 at 256"));
    }
}

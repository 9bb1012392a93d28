//! Limits of memory, as errors name them.

use crate::text::mib;
use std::fmt;

/// A limit of memory that instances and everything else share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryLimit {
    /// What the user allows for everything, in bytes.
    pub whole: u64,
    /// The part of it that is for instances.
    pub instances: u64,
}

impl MemoryLimit {
    /// What is left for everything but instances.
    pub(super) fn rest(self) -> u64 {
        self.whole.saturating_sub(self.instances)
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { whole, instances } = *self;
        write!(f, "{} of memory", mib(whole))?;
        match instances {
            0 => Ok(()),
            all if all >= whole => Ok(()),
            part => write!(f, ", of which {} are for instances", mib(part)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_the_user_comes_first() {
        let limit = |instances| MemoryLimit { whole: 4 << 20, instances };
        assert_eq!(limit(1 << 20).to_string(), "4.0 MiB of memory, of which 1.0 MiB are for instances");
        assert_eq!(
            (limit(0).to_string(), limit(4 << 20).to_string()),
            ("4.0 MiB of memory".into(), "4.0 MiB of memory".into())
        );
        assert_eq!((limit(1 << 20).rest(), limit(5 << 20).rest()), (3 << 20, 0));
    }
}

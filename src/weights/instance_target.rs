//! What a network was trained to predict so that touching instances can be told apart.

use crate::names::{Name, Named, named};

/// Pixels per unit of the offset planes.
pub const OFFSET_UNIT: f32 = 8.0;

/// What a network predicts for instances; the key `target` of a model's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InstanceTarget {
    /// Raw planes: foreground logit, normalised distance, touching-border logit, offset (y, x) to the centre in units of
    /// [`OFFSET_UNIT`].
    Multi,
    /// Raw planes: foreground logit, normalised distance.
    Distance,
    /// Two classes; touching instances have background between them.
    Gap,
    /// Three classes: background, inside, touching border.
    Border,
}

impl Named for InstanceTarget {
    const WHAT: &'static str = "target";
    const NAMES: &'static [Name<Self>] = &[
        Name::new(Self::Multi, "multi", "Foreground, distance, touching border and offsets"),
        Name::new(Self::Distance, "distance", "Foreground and distance to the edge"),
        Name::new(Self::Gap, "gap", "Two classes, with gaps between touching instances"),
        Name::new(Self::Border, "border", "Three classes: background, inside, touching border"),
    ];
}

named!(InstanceTarget);

impl InstanceTarget {
    /// Output channels of a network with one class of instances. Networks that predict geometry have one more per class if
    /// there are several.
    pub const fn planes(self) -> usize {
        match self {
            Self::Multi => 5,
            Self::Distance | Self::Gap => 2,
            Self::Border => 3,
        }
    }

    /// Planes of geometry in a segmented image. Multi: distance, probability of a touching border, offset (y, x) in units of
    /// [`OFFSET_UNIT`]; distance: that; border: an elevation, inside x (1 - border).
    pub const fn geometry(self) -> usize {
        match self {
            Self::Multi => 4,
            Self::Distance | Self::Border => 1,
            Self::Gap => 0,
        }
    }

    /// The number of classes of instances that a network with so many output channels tells apart; `None` if the channels do
    /// not fit.
    pub fn classes(self, out_channels: usize) -> Option<usize> {
        match out_channels.checked_sub(self.planes())? {
            0 => Some(1),
            1 => None,
            several => self.is_geometry().then_some(several),
        }
    }

    /// Whether outputs are raw planes with a meaning of their own; otherwise they are logits of classes.
    pub const fn is_geometry(self) -> bool {
        matches!(self, Self::Multi | Self::Distance)
    }
}

#[cfg(test)]
mod tests {
    use super::InstanceTarget::{Border, Distance, Gap, Multi};

    #[test]
    fn channels_tell_the_classes() {
        for (target, channels, classes) in [
            (Multi, 5, Some(1)),
            (Multi, 6, None),
            (Multi, 7, Some(2)),
            (Multi, 4, None),
            (Distance, 2, Some(1)),
            (Distance, 5, Some(3)),
            (Gap, 2, Some(1)),
            (Gap, 4, None),
            (Border, 3, Some(1)),
            (Border, 2, None),
        ] {
            assert_eq!(target.classes(channels), classes, "{target} {channels}");
        }
    }
}

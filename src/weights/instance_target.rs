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

    /// Whether outputs are raw planes with a meaning of their own; otherwise they are logits of classes.
    pub const fn is_geometry(self) -> bool {
        matches!(self, Self::Multi | Self::Distance)
    }
}

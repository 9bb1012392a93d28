//! What a caller can change so that a call succeeds or gives another result.

use std::fmt;

/// A remedy that an error or a note names. The library writes it as an item of its API; a program can write its own options
/// instead, see [`Message::with_hints`](super::Message::with_hints).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// Choose channels of the image, for example these; empty if any may be chosen.
    SetChannels(Vec<usize>),
    /// Read the pages of a file as channels of one image.
    PagesAsChannels,
    /// Read another page of the file.
    SetPage,
    /// Replace NaN and infinity with a number.
    FillNan,
    /// Leave rows and columns as stored, whatever the orientation tag.
    IgnoreOrientation,
    /// Blend overlapping tiles.
    BlendGaussian,
    /// Resize the image by a factor for the model.
    SetScale,
    /// Run on the CPU reference.
    UseCpu,
    /// Give settings to the model as it is loaded.
    SetModelOptions,
    /// Give the model this setting, for example with this value.
    SetModelOption {
        /// Its name.
        key: String,
        /// An example of its value.
        value: Option<String>,
    },
    /// Read label files as class ids.
    GroundTruthClasses,
    /// Assign a class to each colour of the masks.
    SetColours,
    /// Resume the training run.
    Resume,
    /// Limit the device memory of a training step, which divides its batch.
    TrainMemory,
}

impl Hint {
    /// A setting of a model, without a value.
    pub fn model_option(key: impl Into<String>) -> Self {
        Self::SetModelOption { key: key.into(), value: None }
    }

    /// A setting of a model with a value for it.
    pub fn model_option_with(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::SetModelOption { key: key.into(), value: Some(value.into()) }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::SetChannels(channels) if channels.is_empty() => f.write_str("OpenOptions::channels"),
            Self::SetChannels(channels) => write!(f, "OpenOptions::channels = {channels:?}"),
            Self::PagesAsChannels => f.write_str("OpenOptions::pages_as_channels"),
            Self::SetPage => f.write_str("OpenOptions::page"),
            Self::FillNan => f.write_str("OpenOptions::fill_nan"),
            Self::IgnoreOrientation => f.write_str("OpenOptions::ignore_orientation"),
            Self::BlendGaussian => f.write_str("Blend::Gaussian"),
            Self::SetScale => f.write_str("SegmentOptions::scale"),
            Self::UseCpu => f.write_str("Backend::Cpu"),
            Self::SetModelOptions => f.write_str("model settings"),
            Self::SetModelOption { key, value: None } => write!(f, "model setting {key}"),
            Self::SetModelOption { key, value: Some(value) } => write!(f, "model setting {key}={value}"),
            Self::GroundTruthClasses => f.write_str("GroundTruthKind::Classes"),
            Self::SetColours => f.write_str("LabelOptions::colours"),
            Self::Resume => f.write_str("resume = true"),
            Self::TrainMemory => f.write_str("TrainConfig::memory"),
        }
    }
}

//! The library's hints as options of this program.

use unet_wgpu::{Error, Hint, Message};

/// An error as this program shows it.
pub(super) fn error_text(e: &Error) -> String {
    let more = if matches!(e, Error::NoAdapter) { "; `unet doctor` finds what is missing" } else { "" };
    text(&e.message()) + more
}

/// A message as this program shows it.
pub(super) fn text(message: &Message) -> String {
    message.with_hints(option)
}

fn option(hint: &Hint) -> String {
    match hint {
        Hint::SetChannels(channels) if channels.is_empty() => "--channels".into(),
        Hint::SetChannels(channels) => {
            let numbers: Vec<String> = channels.iter().map(usize::to_string).collect();
            format!("--channels {}", numbers.join(","))
        }
        Hint::PagesAsChannels => "--pages-as-channels".into(),
        Hint::SetPage => "--page N".into(),
        Hint::FillNan => "--fill-nan VALUE".into(),
        Hint::IgnoreOrientation => "--ignore-orientation".into(),
        Hint::BlendGaussian => "--blend gaussian".into(),
        Hint::SetScale => "--scale FACTOR".into(),
        Hint::UseCpu => "--device cpu".into(),
        Hint::SetModelOptions => "--set".into(),
        Hint::SetModelOption { key, value: None } => format!("--set {key}"),
        Hint::SetModelOption { key, value: Some(value) } => format!("--set {key}={value}"),
        Hint::GroundTruthClasses => "--ground-truth classes".into(),
        Hint::SetColours => "--colours".into(),
        Hint::Resume => "--resume".into(),
        Hint::TrainMemory => "--memory SIZE".into(),
        // The enum is non-exhaustive: fall back to the library's own wording.
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_options() {
        let e = Error::invalid(Hint::model_option("width"), Message::from("no; ").then(Hint::SetChannels(vec![0, 2])));
        assert_eq!(error_text(&e), "--set width: no; --channels 0,2");
        assert!(error_text(&Error::NoAdapter).contains("on the CPU reference with `--device cpu`; `unet doctor`"));
        assert_eq!(text(&Hint::model_option_with("size", "8x8").into()), "--set size=8x8");
    }
}

//! Values over steps, plotted as SVG.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::rows::Row;

const WIDTH: f64 = 920.0;
const LEFT: f64 = 76.0;
/// Width of the legend.
const RIGHT: f64 = 220.0;
/// Gap above each panel: its title, and the ticks of the previous panel.
const GAP: f64 = 52.0;
/// Maximum points of a line: more are not visible.
const POINTS: usize = 600;
/// Number of points from which a smoothed line is drawn over the pale original.
const SMOOTHED: usize = 60;
/// Number of points up to which each is marked.
const MARKED: usize = 40;
/// Ratio of the largest to the smallest loss above which the axis is logarithmic.
const DECADES: f64 = 100.0;
/// A colour-blind safe palette (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// Panels from top to bottom: title and height in pixels.
const PANELS: [(&str, f64); 3] = [("loss", 250.0), ("measures", 250.0), ("learning rate", 90.0)];

type Points = Vec<(f64, f64)>;

/// The plot: losses, other measures and the learning rate. Empty panels are left out.
pub(super) fn svg(rows: &[Row]) -> String {
    let mut panels: [BTreeMap<String, Points>; 3] = Default::default();
    for row in rows {
        for (name, value) in row.values.iter().filter(|v| v.1.is_finite()) {
            let panel = match name.as_str() {
                "lr" => 2,
                n if n.contains("loss") => 0,
                _ => 1,
            };
            let name = format!("{} {name}", row.split.name());
            panels[panel].entry(name).or_default().push((row.step as f64, *value));
        }
    }
    let last = rows.iter().map(|r| r.step).max().unwrap_or(0).max(1) as f64;
    let (mut body, mut top) = (String::new(), GAP - 12.0);
    for ((title, height), series) in PANELS.iter().zip(&panels).filter(|p| !p.1.is_empty()) {
        panel(&mut body, title, [top, *height], last, series);
        top += height + GAP;
    }
    top -= GAP / 2.0;
    if body.is_empty() {
        let _ = writeln!(body, r#"<text x="{LEFT}" y="{top}">no numbers yet</text>"#);
        top += GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{top}\" viewBox=\"0 0 {WIDTH} {top}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{top}\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

/// Draws a panel between `top` and `top + height`.
fn panel(out: &mut String, title: &str, [top, height]: [f64; 2], last: f64, series: &BTreeMap<String, Points>) {
    let values = || series.values().flatten().map(|p| p.1);
    let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let logarithmic = title == "loss" && low > 0.0 && high / low > DECADES;
    let axis = if logarithmic { Axis::decades(low, high) } else { Axis::linear(low, high) };
    let (right, bottom) = (WIDTH - RIGHT, top + height);
    let x = |step: f64| LEFT + step / last * (right - LEFT);
    let y = |value: f64| bottom - axis.fraction(value) * height;
    let title = if logarithmic { format!("{title} (logarithmic)") } else { title.to_string() };
    let _ = writeln!(out, r#"<text x="{LEFT}" y="{:.1}" font-weight="bold">{title}</text>"#, top - 8.0);
    for (value, label) in &axis.ticks {
        let y = y(*value);
        let _ = writeln!(out, r##"<path d="M{LEFT} {y:.1}H{right:.1}" stroke="#ddd"/>"##);
        let _ = writeln!(out, r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{label}</text>"#, LEFT - 6.0, y + 4.0);
    }
    for step in steps(last) {
        let x = x(step);
        let _ = writeln!(out, r##"<path d="M{x:.1} {bottom:.1}v4" stroke="#222"/>"##);
        let y = bottom + 17.0;
        let _ = writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="middle">{}</text>"#, step as u64);
    }
    let _ = writeln!(out, r#"<text x="{:.1}" y="{:.1}">step</text>"#, right + 30.0, bottom + 17.0);
    let _ = writeln!(out, r##"<path d="M{LEFT} {top:.1}V{bottom:.1}H{right:.1}" fill="none" stroke="#222"/>"##);
    for (i, (name, points)) in series.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let drawn = binned(points);
        let line = |points: &[(f64, f64)]| {
            let at = |p: &(f64, f64)| format!("{:.1},{:.1}", x(p.0), y(p.1));
            points.iter().map(at).collect::<Vec<_>>().join(" ")
        };
        let mut draw = |points: &[(f64, f64)], style: &str| {
            let points = line(points);
            let _ = writeln!(out, r#"<polyline points="{points}" fill="none" stroke="{colour}" {style}/>"#);
        };
        if drawn.len() >= SMOOTHED {
            draw(&drawn, r#"stroke-opacity="0.3""#);
            draw(&smoothed(&drawn), r#"stroke-width="2""#);
        } else {
            draw(&drawn, r#"stroke-width="2""#);
        }
        for p in drawn.iter().filter(|_| drawn.len() <= MARKED) {
            let _ = writeln!(out, r#"<circle cx="{:.1}" cy="{:.1}" r="3" fill="{colour}"/>"#, x(p.0), y(p.1));
        }
        let (at, middle) = (right + 14.0, top + 10.0 + 20.0 * i as f64);
        let _ = writeln!(out, r#"<path d="M{at:.1} {middle:.1}h18" stroke="{colour}" stroke-width="3"/>"#);
        let value = points.last().map_or(0.0, |p| p.1);
        let (at, base) = (at + 24.0, middle + 4.0);
        let _ = writeln!(out, r#"<text x="{at:.1}" y="{base:.1}">{} {}</text>"#, escaped(name), short(value));
    }
}

/// An axis of values.
struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    /// Values and their labels.
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// A linear axis between round numbers.
    fn linear(low: f64, high: f64) -> Self {
        // Centre a flat line.
        let extra = if high > low { 0.0 } else { low.abs().max(1e-9) * 0.5 };
        let (low, high) = (low - extra, high + extra);
        let step = round_step((high - low) / 5.0);
        let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
        let ticks = (first..=last).map(|i| (i as f64 * step, label(i, step))).collect();
        Self { low: first as f64 * step, high: last as f64 * step, logarithmic: false, ticks }
    }

    /// A logarithmic axis between powers of ten.
    fn decades(low: f64, high: f64) -> Self {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let each = ((last - first) as usize).div_ceil(8).max(1);
        let ticks = (first..=last).step_by(each).map(|e| (10f64.powi(e), short(10f64.powi(e)))).collect();
        Self { low: 10f64.powi(first), high: 10f64.powi(last), logarithmic: true, ticks }
    }

    /// Position of a value on the axis, from 0 to 1.
    fn fraction(&self, value: f64) -> f64 {
        let of = |v: f64| if self.logarithmic { v.log10() } else { v };
        ((of(value) - of(self.low)) / (of(self.high) - of(self.low))).clamp(0.0, 1.0)
    }
}

/// The smallest of 1, 2 or 5 times a power of ten that is at least `min`.
fn round_step(min: f64) -> f64 {
    let power = 10f64.powf(min.log10().floor());
    // Slack for rounding errors.
    [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= min * 0.999_999).unwrap_or(10.0 * power)
}

/// `i * step` with just enough digits to distinguish ticks.
fn label(i: i64, step: f64) -> String {
    let digits = -step.log10().floor();
    match digits {
        _ if i == 0 => "0".into(),
        ..-5.0 | 5.0.. => format!("{:.1e}", i as f64 * step),
        _ => format!("{:.*}", digits.max(0.0) as usize, i as f64 * step),
    }
}

/// A number with few digits.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        ..1e-3 | 1e5.. => {
            let text = format!("{value:.2e}");
            text.replace(".00e", "e")
        }
        ..10.0 => format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').into(),
        _ => format!("{value:.1}").trim_end_matches(".0").into(),
    }
}

/// Round ticks from 0 to `last`.
fn steps(last: f64) -> impl Iterator<Item = f64> {
    let step = round_step(last / 8.0).max(1.0);
    (0..).map(move |i| f64::from(i) * step).take_while(move |s| *s <= last)
}

/// Means of neighbours: at most [`POINTS`] points.
fn binned(points: &[(f64, f64)]) -> Points {
    points.chunks(points.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

/// Means over a window of a twentieth of all points.
fn smoothed(points: &[(f64, f64)]) -> Points {
    let reach = points.len() / 40;
    let around = |i: usize| {
        // A symmetric window, so that slopes are preserved at the ends.
        let reach = reach.min(i).min(points.len() - 1 - i);
        mean(&points[i - reach..=i + reach])
    };
    (0..points.len()).map(around).collect()
}

fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let n = points.len() as f64;
    (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n)
}

fn escaped(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::rows::Split;
    use super::*;

    fn row(step: u64, split: Split, values: &[(&str, f64)]) -> Row {
        Row { step, split, values: values.iter().map(|v| (v.0.to_string(), v.1)).collect() }
    }

    #[test]
    fn axes_are_round() {
        let labels = |a: Axis| a.ticks.into_iter().map(|t| t.1).collect::<Vec<_>>().join(" ");
        assert_eq!(labels(Axis::linear(0.03, 0.98)), "0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(Axis::linear(0.913, 0.947)), "0.91 0.92 0.93 0.94 0.95");
        assert_eq!(labels(Axis::linear(-3.0, 120.0)), "-50 0 50 100 150");
        assert_eq!(labels(Axis::linear(0.0, 1e-4)), "0 2.0e-5 4.0e-5 6.0e-5 8.0e-5 1.0e-4");
        assert_eq!(labels(Axis::linear(0.5, 0.5)), "0.2 0.3 0.4 0.5 0.6 0.7 0.8");
        assert_eq!(labels(Axis::decades(2e-4, 3.0)), "1e-4 0.001 0.01 0.1 1 10");
        assert!(Axis::linear(0.0, 0.0).ticks.len() < 10);
        assert_eq!(Axis::decades(0.01, 1.0).fraction(0.1), 0.5);
        assert_eq!(steps(1200.0).collect::<Vec<_>>(), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0]);
        assert_eq!(steps(3.0).collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!([0.93714, 123.04, 2e-7, 0.5].map(short), ["0.9371", "123", "2e-7", "0.5"]);
    }

    #[test]
    fn lines_are_thinned_and_smoothed() {
        let points: Points = (0..6001).map(|i| (f64::from(i), f64::from(i) * 2.0)).collect();
        let thin = binned(&points);
        assert!((POINTS / 2..=POINTS).contains(&thin.len()));
        assert!(thin.iter().all(|p| p.1 == p.0 * 2.0));
        assert_eq!(smoothed(&thin).len(), thin.len());
        assert!(smoothed(&thin).iter().all(|p| (p.1 - p.0 * 2.0).abs() < 1e-9), "a straight line stays");
    }

    #[test]
    fn panels_show_all_values() {
        assert!(svg(&[]).contains("no numbers yet"));
        let mut rows = vec![row(0, Split::Validation, &[("dice", 0.5), ("a<b&c", f64::NAN), ("d<e", 0.3)])];
        rows.extend((1..=100).map(|s| row(s, Split::Train, &[("loss", 1.0 / s as f64), ("lr", 1e-3)])));
        let got = svg(&rows);
        for part in ["train loss 0.01<", "validation dice 0.5<", "d&lt;e 0.3<", "learning rate<", "train lr 0.001<"] {
            assert!(got.contains(part), "{part}: {got}");
        }
        assert!(!got.contains("NaN") && !got.contains("inf") && !got.contains("a&lt;b"));
        assert!(!got.contains("logarithmic"));
        assert_eq!(got.matches("<polyline").count(), 6, "two lines for those of many points");
        rows.push(row(101, Split::Train, &[("loss", 1e-5)]));
        assert!(svg(&rows).contains("loss (logarithmic)"));
        // Balanced XML tags.
        assert_eq!(got.matches("<text").count(), got.matches("</text>").count());
        assert_eq!(got.matches('<').count(), got.matches('>').count());
        assert_eq!(svg(&rows[..1]).matches("<polyline").count(), 2, "one step is enough");
    }
}

use super::*;
use crate::infer::image::Pixels;

/// 1003 pixels of three channels, from a formula that numpy was given too.
fn formula(kind: &str) -> Image {
    let v = (0u64..3009).map(|i| (i * i * 7 + i * 13) % 65537 % 60000);
    let pixels = match kind {
        "u8" => Pixels::U8(v.map(|v| (v % 251) as u8).collect()),
        "u16" => Pixels::U16(v.map(|v| v as u16).collect()),
        _ => Pixels::F32(v.map(|v| (v as f32 - 30000.0) / 8.0).collect()),
    };
    Image::new(59, 17, 3, pixels).unwrap()
}

#[test]
fn percentiles_and_moments_are_numpys() {
    // np.percentile(x, [0, 1, 37.5, 50, 99.8, 100]), x.mean(), x.std() of the channel as float64.
    let expected = [
        ("u8", 0, [0.0, 2.0, 95.75, 127.0, 250.0, 250.0], 126.14955134596211, 73.2608361742293),
        ("u8", 2, [0.0, 3.0, 99.0, 125.0, 250.0, 250.0], 127.35692921236291, 72.72721962181845),
        ("u16", 0, [0.0, 327.06, 18833.5, 26244.0, 59672.888, 59899.0], 27315.730807577267, 18026.80314151152),
        ("u16", 2, [28.0, 239.02, 17121.5, 25720.0, 59830.727999999996, 59898.0], 26650.774675972083, 18410.4024504061),
        ("f32", 0, [-3750.0, -3709.1175, -1395.8125, -469.5, 3709.111, 3737.375], -335.5336490528415, 2253.35039268894),
        (
            "f32",
            2,
            [-3746.5, -3720.1225, -1609.8125, -535.0, 3728.841, 3737.25],
            -418.6531655034895,
            2301.3003063007627,
        ),
    ];
    let close = |got: f64, expected: f64| (got - expected).abs() <= 1e-12 * expected.abs().max(1.0);
    for (kind, channel, q, mean, std) in expected {
        let image = formula(kind);
        let got = percentiles(&image, [0.0, 1.0, 37.5, 50.0, 99.8, 100.0]).unwrap()[channel];
        assert!(got.iter().zip(q).all(|(&g, w)| close(g, w)), "{kind} {channel}: {got:?}");
        let mut source = InMemory::borrowed(&image);
        let mut c =
            Collector::new(source.info(), StatisticsRequest { deviation: true, ..StatisticsRequest::default() });
        collect(&mut source, &mut [(&mut c, None)]).unwrap();
        let s = c.moments(channel);
        assert!(close(s.mean, mean) && close(s.std, std), "{kind} {channel}: {} {}", s.mean, s.std);
        assert_eq!((s.min, s.max), (q[0], q[5]));
    }
    let small = Image::new(4, 1, 1, Pixels::U8(vec![8, 2, 4, 1])).unwrap();
    let got = percentiles(&small, [0.0, 10.0, 33.0, 50.0, 90.0, 100.0]).unwrap()[0];
    assert!(got.iter().zip([1.0, 1.3, 1.99, 3.0, 6.800000000000001, 8.0]).all(|(&g, w)| close(g, w)), "{got:?}");
    let one = Image::new(1, 1, 1, Pixels::F32(vec![0.1])).unwrap();
    assert_eq!(percentiles(&one, [0.0, 50.0, 100.0]).unwrap()[0], [f64::from(0.1f32); 3]);
}

fn map(image: &Image, rule: Normalisation) -> ChannelAffine {
    normalise(image, &rule).unwrap()[0]
}

fn near(got: f32, expected: f64) {
    assert!((f64::from(got) - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{got} {expected}");
}

#[test]
fn every_rule_is_its_formula() {
    let p = Image::new(4, 1, 1, Pixels::U8(vec![8, 2, 4, 1])).unwrap();
    assert_eq!(map(&p, Normalisation::None), ChannelAffine::IDENTITY);
    near(map(&p, Normalisation::Unit).apply(8.0), 8.0 / 255.0);
    near(map(&p, Normalisation::Scale { divisor: 50.0 }).apply(8.0), 0.16);
    near(map(&p, Normalisation::MinMax).apply(4.0), 3.0 / 7.0);
    near(map(&p, Normalisation::ZScore).apply(8.0), (8.0 - 3.75) / 7.1875f64.sqrt());
    let rule = Normalisation::Percentile { low: 10.0, high: 90.0, clamp: Some([0.0, 1.1]) };
    near(map(&p, rule.clone()).apply(4.0), 2.7 / 5.5);
    assert_eq!((map(&p, rule.clone()).apply(1.0), map(&p, rule).apply(8.0)), (0.0, 1.1));
    let fixed = Normalisation::Fixed { mean: vec![0.5], std: vec![0.25] };
    near(map(&p, fixed.clone()).apply(8.0), (8.0 / 255.0 - 0.5) / 0.25);
    let p = Image::new(1, 1, 2, Pixels::U16(vec![65535, 0])).unwrap();
    near(map(&p, Normalisation::Unit).apply(65535.0), 1.0);
    assert_eq!(normalise(&p, &fixed).unwrap().len(), 2);
    let each = Normalisation::Fixed { mean: vec![0.5, 0.0], std: vec![0.25, 1.0] };
    near(normalise(&p, &each).unwrap()[1].apply(65535.0), 1.0);
    let p = Image::new(1, 1, 1, Pixels::F32(vec![0.7])).unwrap();
    near(map(&p, Normalisation::Unit).apply(0.7), f64::from(0.7f32));
}

#[test]
fn a_flat_background_is_exactly_zero() {
    let rules =
        [Normalisation::MinMax, Normalisation::ZScore, Normalisation::Percentile { low: 1.0, high: 99.0, clamp: None }];
    for rule in rules {
        for x in [1235u16, 60001, 0] {
            let flat = Image::new(5, 5, 1, Pixels::U16(vec![x; 25])).unwrap();
            assert_eq!(map(&flat, rule.clone()).apply(f32::from(x)), 0.0);
        }
        for x in [137.3f32, 1e-9, -4e8] {
            let flat = Image::new(7, 1, 1, Pixels::F32(vec![x; 7])).unwrap();
            assert_eq!(map(&flat, rule.clone()).apply(x), 0.0, "{x} {rule:?}");
        }
    }
}

#[test]
fn nonsense_is_named() {
    let p = Image::new(2, 2, 1, Pixels::F32(vec![0.0, 1.0, 2.0, f32::NAN])).unwrap();
    let text = |r: Result<Vec<ChannelAffine>>| r.unwrap_err().to_string();
    assert_eq!(
        text(normalise(&p, &Normalisation::MinMax)),
        "image: the pixel at column 1, row 1 is NaN; OpenOptions::fill_nan puts a number in place of such"
    );
    let p = Image::new(1, 2, 1, Pixels::F32(vec![0.0, f32::INFINITY])).unwrap();
    assert!(text(normalise(&p, &Normalisation::None)).contains("inf"));
    let p = Image::new(2, 1, 1, Pixels::U8(vec![0, 1])).unwrap();
    for (low, high) in [(50.0, 50.0), (-1.0, 5.0), (f64::NAN, 5.0), (1.0, 101.0)] {
        let rule = Normalisation::Percentile { low, high, clamp: None };
        assert!(text(normalise(&p, &rule)).starts_with("normalisation: percentiles"));
    }
    for clamp in [[1.0, 0.0], [f64::NAN, 1.0]] {
        let rule = Normalisation::Percentile { low: 1.0, high: 99.0, clamp: Some(clamp) };
        assert!(text(normalise(&p, &rule)).contains("clamp"));
    }
    for (mean, std) in
        [(vec![], vec![1.0]), (vec![0.0; 3], vec![1.0]), (vec![0.0], vec![0.0]), (vec![f64::NAN], vec![1.0])]
    {
        assert!(text(normalise(&p, &Normalisation::Fixed { mean, std })).starts_with("normalisation: "));
    }
}

#[test]
fn bands_of_any_height_give_the_same_statistics() {
    for kind in ["u8", "u16", "f32"] {
        let image = formula(kind);
        let info = SourceInfo::of(&image);
        let gather = |rows: usize| {
            let requested =
                StatisticsRequest { percentiles: vec![0.5, 50.0, 99.8], deviation: true, finite: true, joint: false };
            let mut c = Collector::new(info, requested);
            for number in 0..c.passes() {
                if number > 0 {
                    c.next_pass();
                }
                for first in (0..17).step_by(rows) {
                    c.see(&image.part(0, first, 59, rows.min(17 - first)).unwrap()).unwrap();
                }
            }
            (0..3).map(|i| (c.percentiles(i), c.moments(i))).collect::<Vec<_>>()
        };
        let whole = gather(17);
        for rows in [1, 2, 5, 16] {
            assert_eq!(gather(rows), whole, "{kind} in bands of {rows}");
        }
    }
}

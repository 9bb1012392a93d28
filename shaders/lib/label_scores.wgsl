// Softmax over channels at one pixel, relative to its label. The importing shader declares x (blocked), its view `p.x`
// and gamma as `p.gamma`.
// Constants: FOCAL if gamma is not 0.
struct Scores {
    top: f32,     // the largest channel
    rest: f32,    // sum of exp(x - top) over the others
    own: f32,     // x - top of the label
    others: f32,  // sum of exp(x - top) over all but the label
}

fn channel(start: u32, c: u32) -> f32 {
    return f32(x[start + (c / 4u) * p.x.plane][c % 4u]);
}

// `start` is the pixel's index in channel block 0. The softmax is over the channels from `first` on; `channels` comes from
// `trip_count`.
fn scores(start: u32, first: u32, label: u32, channels: u32) -> Scores {
    var best = first;
    var s = Scores(channel(start, first), 0.0, 0.0, 0.0);
    for (var c = first + 1u; c < channels; c++) {
        let v = channel(start, c);
        if (v > s.top) {
            s.top = v;
            best = c;
        }
    }
    s.own = channel(start, label) - s.top;
    for (var c = first; c < channels; c++) {
        let e = exp(channel(start, c) - s.top);
        s.rest += select(e, 0.0, c == best);
        s.others += select(e, 0.0, c == label);
    }
    return s;
}

// -log p of the label.
fn surprise(s: Scores) -> f32 {
    let near = log1p_unit(vec4<f32>(min(s.rest, 1.0))).x;
    return select(log(1.0 + s.rest), near, s.rest <= 1.0) - s.own;
}

#ifdef FOCAL
// 1 - p of the label; above 0, for pow.
fn doubt(s: Scores) -> f32 {
    return max(s.others / (1.0 + s.rest), 1e-30);
}
#endif

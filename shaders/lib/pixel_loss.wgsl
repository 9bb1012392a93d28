// Elementwise losses and their derivatives, selected by the constant KIND: 1 BCE of logits, 2 focal of logits, 3 BCE of
// probabilities, 4 focal of probabilities, 5 -t log p, 6 the U-Net++ hybrid per pixel (TMI).
// Parameters: `p.gamma`; `p.positive` and `p.negative`, alpha where t = 1 and elsewhere; `p.eps`, the min probability.

// 1 / (1 + exp(-v)); WGSL guarantees nothing about infinities.
fn logistic(v: vec4<f32>) -> vec4<f32> {
    return 1.0 / (1.0 + exp(min(-v, vec4<f32>(87.0))));
}

// log(1 / (1 + exp(-v)))
fn log_logistic(v: vec4<f32>) -> vec4<f32> {
    return min(v, vec4<f32>(0.0)) - log1p_unit(exp(-abs(v)));
}

fn alpha(is_one: vec4<bool>) -> vec4<f32> {
    return select(vec4<f32>(p.negative), vec4<f32>(p.positive), is_one);
}

// log(v), or -100 where v is below the smallest normal float.
fn log_or_low(v: vec4<f32>) -> vec4<f32> {
    let smallest = vec4<f32>(1.2e-38);
    return select(log_unit(max(v, smallest)), vec4<f32>(-100.0), v < smallest);
}

// Focal loss: the probability of the target, at least eps. Its complement is own_of(x, !is_one); 1 - own would round.
fn own_of(x: vec4<f32>, is_one: vec4<bool>) -> vec4<f32> {
    return max(select(1.0 - x, x, is_one), vec4<f32>(p.eps));
}

fn loss_of(x: vec4<f32>, t: vec4<f32>) -> vec4<f32> {
    let is_one = t > vec4<f32>(0.5);
    if (KIND == 1u) {
        return max(x, vec4<f32>(0.0)) - x * t + log1p_unit(exp(-abs(x)));
    }
    if (KIND == 2u) {
        let z = select(-x, x, is_one);
        return -alpha(is_one) * exp(p.gamma * log_logistic(-z)) * log_logistic(z);
    }
    if (KIND == 3u) {
        return -(t * log_or_low(x) + (1.0 - t) * log_or_low(1.0 - x));
    }
    let v = max(x, vec4<f32>(p.eps));
    if (KIND == 4u) {
        return -alpha(is_one) * exp(p.gamma * log_unit(own_of(x, !is_one))) * log_unit(own_of(x, is_one));
    }
    if (KIND == 5u) {
        return -t * log_unit(v);
    }
    return -t * (log_unit(v) + 2.0 * x / max(t * t + x * x, vec4<f32>(p.eps)));
}

fn slope_of(x: vec4<f32>, t: vec4<f32>) -> vec4<f32> {
    let is_one = t > vec4<f32>(0.5);
    if (KIND == 1u) {
        return logistic(x) - t;
    }
    if (KIND == 2u) {
        let z = select(-x, x, is_one);
        let doubt = logistic(-z);
        let slope = exp(p.gamma * log_logistic(-z)) * (p.gamma * logistic(z) * log_logistic(z) - doubt);
        return alpha(is_one) * select(-slope, slope, is_one);
    }
    if (KIND == 3u) {
        return (x - t) / max(x * (1.0 - x), vec4<f32>(1e-12));
    }
    let v = max(x, vec4<f32>(p.eps));
    let low = x < vec4<f32>(p.eps);
    let zero = vec4<f32>(0.0);
    if (KIND == 4u) {
        let own = own_of(x, is_one);
        let doubt = own_of(x, !is_one);
        let power = exp(p.gamma * log_unit(doubt));
        let slope = alpha(is_one) * power * (p.gamma * log_unit(own) / doubt - 1.0 / own);
        let flat = low | (x > vec4<f32>(1.0 - p.eps));
        return select(select(-slope, slope, is_one), zero, flat);
    }
    let slope = select(1.0 / v, zero, low);
    if (KIND == 5u) {
        return -t * slope;
    }
    let square = t * t + x * x;
    let curved = (t * t - x * x) / max(square * square, vec4<f32>(1e-38));
    return -t * (slope + 2.0 * select(curved, vec4<f32>(1.0 / p.eps), square < vec4<f32>(p.eps)));
}

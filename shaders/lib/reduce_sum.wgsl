// A sum over the 256 invocations of a workgroup, as lib/reduce.
#import "lib/reduce"

fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return a + b;
}

// `activation_slope(v, a, b)`: the derivative of the function that the constant ACTIVATION selects from
// src/kernel/function.rs, from the function's result or its input, as the table says.
#import "lib/functions"
#generate activation_slope

// `activation_slope(v, a, b)`: the derivative of the function that the constant ACTIVATION chooses, from its result or from what
// it was applied to, as the table says.
#import "lib/functions"
#generate activation_slope

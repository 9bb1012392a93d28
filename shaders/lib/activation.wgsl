// `activate(v, a, b)`: the function of the table in src/kernel/function.rs that the constant ACTIVATION chooses, with its
// arguments.
#import "lib/functions"
#generate activation

// `activate(v, a, b)`: the function that the constant ACTIVATION selects from src/kernel/function.rs; a, b are its
// arguments.
#import "lib/functions"
#generate activation

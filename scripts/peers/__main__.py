"""`python peers` times inference, `python peers train` training; see ../bench_peers.sh and ../bench_train.sh."""

import sys

import options

if sys.argv[1:2] == ["train"]:
    del sys.argv[1]
    chosen = options.training()
    from training import main
else:
    chosen = options.inference()
    from inference import main

sys.exit(main(*chosen))

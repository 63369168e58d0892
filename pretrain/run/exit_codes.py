"""What the exit code of a run says beyond that it failed, to whoever starts runs: a scheduler, or a sweep.

0 is a finished run, 1 one that failed, 2 a mistake of the user's; `stopping.STOPPED_EXIT_CODE` one that was asked to
stop. torchrun has an exit code of its own, and names those of its processes in its last lines.
"""

DIVERGED_EXIT_CODE = 3
OUT_OF_MEMORY_EXIT_CODE = 4

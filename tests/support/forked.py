"""For processes that load modules once and are forked from then on.

Imported last, it takes all that is loaded out of the garbage collector. With PyTorch that is a
million objects: every fork would look through them several times, and copy their pages.
"""

from __future__ import annotations

import gc

gc.collect()
gc.freeze()

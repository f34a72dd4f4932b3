"""How fast the simulated shop is written: its reviews against bare gzip and json of as many equal reviews.

    python benchmarks/simulate.py [SCALE]

Prints both times (of the processor, one core), measured in this run, and their ratio. The simulator makes all five
sources;
the reference only serialises and compresses one review over and over, the least that any writer must do.
"""

import gzip
import json
import sys
import tempfile
import time
from pathlib import Path

from ecellm.data.simulator import simulate

REVIEW = {
    "overall": 5.0,
    "verified": True,
    "reviewTime": "06 17, 2018",
    "reviewerID": "A31UBHTUUIFJU",
    "asin": "B004LLIKVU",
    "reviewText": "The sound is perfect. We use it every single day and still love it. Bought a second one for my "
    "sister at once. Not one regret, it works like on the first day. Highly recommended.",
    "summary": "Five Stars",
    "unixReviewTime": 1529193600,
}


def main(scale: float) -> None:
    with tempfile.TemporaryDirectory() as space:
        began = time.process_time()
        rows = simulate(Path(space) / "shop", scale)
        ours = time.process_time() - began
        began = time.process_time()
        with gzip.open(Path(space) / "reference.json.gz", "wt", compresslevel=4) as file:
            for _ in range(rows["reviews"]):
                file.write(json.dumps(REVIEW) + "\n")
        bare = time.process_time() - began
    print(f"rows: {', '.join(f'{count:,} {name}' for name, count in rows.items())}")
    print(f"whole shop {ours:.1f} s, {ours / rows['reviews'] * 1e6:.1f} s per million reviews")
    print(f"bare gzip and json of as many reviews {bare:.1f} s; ratio {ours / bare:.1f}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)

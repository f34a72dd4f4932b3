"""The simulated shop: a seeded generator that writes all five sources in their real formats.

It is made up from word lists (`world.py`), so it may be shared freely, and it is the test bed for all else:
its signal can be learnt from the text, by meaning more than by equal words, and it has the dirt of real files.
"""

from ecellm.sources.simulator.simulate import simulate

__all__ = ["simulate"]

"""How the examples of each task are drawn from the tables, one file a task.

A task whose rows are only imported has no sampler. A new one is one new file and one line in `SAMPLERS`.
"""

from ecellm.data.samplers import ag, ap, ave, mpc, pm, prp, psi, qpr, sa, sr
from ecellm.data.samplers.base import Draw, Plan, Sampler

__all__ = ["SAMPLERS", "Draw", "Plan", "Sampler"]

SAMPLERS: dict[str, Sampler] = {
    "AVE": ave.SAMPLER,
    "PRP": prp.SAMPLER,
    "PM": pm.SAMPLER,
    "SA": sa.SAMPLER,
    "SR": sr.SAMPLER,
    "MPC": mpc.SAMPLER,
    "PSI": psi.SAMPLER,
    "QPR": qpr.SAMPLER,
    "AP": ap.SAMPLER,
    "AG": ag.SAMPLER,
}
"""By the task's abbreviation, in the paper's order."""

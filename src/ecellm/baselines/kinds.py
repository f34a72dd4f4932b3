"""The baselines by name, and the tasks that each is for."""

import difflib

from ecellm.baselines.part import Baseline

#: What `ecellm baseline NAME` takes.
KINDS: dict[str, tuple[str, ...]] = {
    "cheap": ("AVE", "PRP", "PM", "SA", "SR", "MPC", "PSI", "QPR", "AP", "AG"),
    "bm25": ("QPR",),
    "popularity": ("SR",),
    "last": ("SR",),
    "snippet": ("AG",),
    "encoder": ("PRP", "PM", "SA", "MPC", "PSI", "QPR", "AP"),
    "rgcn": ("PRP",),
    "gsasrec": ("SR",),
    "recformer": ("SR",),
    "suopentag": ("AVE",),
    "aveqa": ("AVE",),
}


def tasks_of(name: str) -> tuple[str, ...]:
    """Return the tasks that a baseline is for; raises ValueError for an unknown one."""
    if name not in KINDS:
        close = difflib.get_close_matches(name, KINDS, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"There is no baseline {name!r}: name one of {', '.join(KINDS)}.{hint}")
    return KINDS[name]


def kind(name: str, task: str) -> type[Baseline]:
    """Return the class that answers a task; raises ValueError where this baseline is not for it."""
    if task not in tasks_of(name):
        raise ValueError(f"The baseline {name!r} is for {', '.join(KINDS[name])}, not for {task}.")
    if name == "cheap":
        from ecellm.baselines import cheap

        own: dict[str, type[Baseline]] = {
            "AVE": cheap.CheapValues,
            "SR": cheap.CheapNext,
            "QPR": cheap.CheapOrder,
            "AG": cheap.CheapSnippet,
        }
        return own.get(task, cheap.CheapClasses)
    if name in ("bm25", "popularity", "last", "snippet"):
        from ecellm.baselines import simple

        simplest: dict[str, type[Baseline]] = {
            "bm25": simple.BM25,
            "popularity": simple.Popularity,
            "last": simple.LastItem,
            "snippet": simple.Snippet,
        }
        return simplest[name]
    if name == "gsasrec":
        from ecellm.baselines.gsasrec import GSASRec

        return GSASRec
    if name == "recformer":
        from ecellm.baselines.recformer import Recformer

        return Recformer
    if name == "rgcn":
        from ecellm.baselines.rgcn import RGCN

        return RGCN
    if name == "suopentag":
        from ecellm.baselines.suopentag import SUOpenTag

        return SUOpenTag
    if name == "aveqa":
        from ecellm.baselines.aveqa import AVEQA

        return AVEQA
    from ecellm.baselines.encoder import Classifier, Ranker

    return Ranker if task == "QPR" else Classifier

"""The errors for mistakes that the user can put right."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake of the caller's: the message names it, the rule and the way out.

    Entry points print such an error as one line, without a traceback
    (`stylegan_jax.commands.running.run_main`).
    """


class AgreedError(UserError):
    """A mistake that every process of the job raises at the same point.

    None has to tell the others, and all can leave as after success: together.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean A or B?` of known words that look like a misspelt one, or ""."""
    spelt = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), spelt, n=2)
    names = " or ".join(spelt[name] for name in close)
    return f"did you mean {names}?" if names else ""

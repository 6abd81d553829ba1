"""The errors for mistakes that the user can put right."""


class UserError(ValueError):
    """A mistake of the caller's: the message names it, the rule and the way out.

    Entry points print such an error as one line, without a traceback
    (`stylegan_jax.cli.run_main`).
    """


class AgreedError(UserError):
    """A mistake that every process of the job raises at the same point.

    None has to tell the others, and all can leave as after success: together.
    """

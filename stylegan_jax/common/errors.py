"""The error for mistakes that the user can put right."""


class UserError(ValueError):
    """A mistake of the caller's: the message names it, the rule and the way out.

    Entry points print such an error as one line, without a traceback
    (`stylegan_jax.cli.run_main`).
    """

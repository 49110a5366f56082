"""The exception for mistakes that a user can put right."""


class UserError(Exception):
    """A user's mistake found in pipelines/: what, where and how to fix it.

    The command line prints the message without a traceback and exits with status 2;
    with `SEQLOOM_DEBUG=1` it shows the traceback too. Errors in the data itself, found
    in tasks/, are `seqloom.tasks.records.DataError`; layers raise `ValueError`.
    """

"""Checks of constructor arguments: what, where and how to fix it, in one message."""


def check_positive(layer, **sizes):
    """Raise ValueError unless every size is an integer >= 1."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(
                f"{type(layer).__name__} needs an integer {name} >= 1, "
                f"got {name}={size!r}."
            )


def check_dropout(layer, rate):
    """Raise ValueError unless 0 <= rate < 1."""
    if not 0 <= rate < 1:
        raise ValueError(
            f"{type(layer).__name__} needs 0 <= dropout < 1, got dropout={rate!r}. "
            "It is the share of features to drop, for example 0.5."
        )


def check_share(layer, **shares):
    """Raise ValueError unless every share is from 0 to 1."""
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(
                f"{type(layer).__name__} needs 0 <= {name} <= 1, got {name}={share!r}."
            )


def check_choice(layer, name, choice, choices):
    """Raise ValueError unless choice is one of choices."""
    if choice not in choices:
        raise ValueError(
            f"{type(layer).__name__} does not know {name}={choice!r}. "
            f"Choose one of {', '.join(choices)}."
        )

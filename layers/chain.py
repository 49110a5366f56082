"""Dynamic programming over linear chains: the algorithms behind `LinearChainCRF`.

Shapes: B batch, T steps, K tags. Everywhere: emissions `(B, T, K)`, transitions
`(K, K)` from row to column, start and end `(K,)`, mask `(B, T)` padded on the right.
All float32 and finite; float64 is used inside, for its range.
"""

from keras import ops


def forward_backward(emissions, transitions, start, end, mask):
    """Log-sums of all beginnings and of all endings of the sequences.

    Returns:
        forward `(B, T, K)`: over all paths up to and with tag k at step t;
        backward `(B, T, K)`: over all continuations after it;
        log_z `(B,)`: over all paths, 0 for a row without a real step.
    """
    forward = forward_scores(emissions, transitions, start, mask)
    backward = backward_scores(emissions, transitions, end, mask)
    log_z = ops.logsumexp(forward[:, -1] + end, axis=-1)
    return forward, backward, ops.where(mask[:, 0], log_z, 0.0)


def forward_scores(emissions, transitions, start, mask):
    first = start + emissions[:, 0]  # (B, K)
    moves = exponentiate(transitions)

    def step(before, emitted, real):
        return ops.where(real, log_matmul(before, *moves) + emitted, before)

    rest = scan_steps(step, first, emissions, mask)
    return time_to_second(ops.concatenate([first[None], rest]))


def backward_scores(emissions, transitions, end, mask):
    last = ops.zeros_like(emissions[:, 0]) + end  # (B, K)
    moves = exponentiate(ops.transpose(transitions))

    def step(after, emitted, real):
        return ops.where(real, log_matmul(after + emitted, *moves), after)

    rest = scan_steps(step, last, emissions, mask, reverse=True)
    return time_to_second(ops.concatenate([rest, last[None]]))


def exponentiate(scores):
    """exp of `(K, K)` scores less their maximum in float64, and the maximum."""
    highest = ops.max(scores)
    return ops.exp(ops.cast(scores - highest, "float64")), highest


def log_matmul(scores, weights, log_scale):
    """log(exp(scores) @ weights) + log_scale for `(B, K)` scores: `(B, K)` float32.

    A matmul and not a logsumexp over `(B, K, K)`: for 50 tags it is four times as
    fast. Where a constraint forbids the moves from the best tags, the sum consists of
    small numbers alone; float64 keeps them down to 1e-300 of the largest (float32:
    1e-38, too little for confident emissions). Only what is below counts as 1e-300.
    """
    highest = ops.max(scores, axis=-1, keepdims=True)  # (B, 1)
    ratios = ops.exp(ops.cast(scores - highest, "float64"))
    logs = ops.log(ops.maximum(ops.matmul(ratios, weights), 1e-300))
    return ops.cast(logs, "float32") + highest + log_scale


def scan_steps(step, carry, emissions, mask, reverse=False):
    """Run `carry = step(carry, emissions[t], mask[t])` over t = 1 .. T-1.

    Returns:
        every carry `(T-1, B, ...)`, in the order of the steps also when reversed.
    """
    emissions = ops.transpose(emissions, (1, 0, 2))  # (T, B, K)
    mask = ops.transpose(mask)[..., None]  # (T, B, 1)

    def body(carry, t):
        carry = step(carry, emissions[t], mask[t])
        return carry, carry

    # Over the numbers of the steps: Keras' scan over several tensors fails on
    # TensorFlow where T is unknown.
    steps = ops.arange(1, ops.shape(emissions)[0])
    if reverse:
        steps = ops.flip(steps)
    _, carries = ops.scan(body, carry, steps)
    return ops.flip(carries, axis=0) if reverse else carries


def time_to_second(tensor):
    """`(T, B, K)` to `(B, T, K)`."""
    return ops.transpose(tensor, (1, 0, 2))


def step_marginals(forward, backward, mask):
    """Probability `(B, T, K)` of each tag at each step, 0 at masked steps."""
    return ops.where(mask[..., None], ops.softmax(forward + backward, axis=-1), 0.0)


def expected_counts(emissions, transitions, start, end, forward, backward, mask):
    """How often a random path uses each score, in each row of the batch.

    Returns:
        counts of emissions `(B, T, K)`, transitions `(B, K, K)`, start `(B, K)` and
        end `(B, K)`.
    """
    marginals = step_marginals(forward, backward, mask)
    last = ops.where(mask[:, :1], ops.softmax(forward[:, -1] + end, axis=-1), 0.0)
    pairs = pair_counts(emissions, transitions, forward, backward, mask)
    return marginals, pairs, marginals[:, 0], last


def pair_counts(emissions, transitions, forward, backward, mask):
    """Expected number `(B, K, K)` of moves from tag i to tag j.

        p[t, i, j] ~ exp(forward[t, i] + transitions[i, j]
                         + emissions[t+1, j] + backward[t+1, j])

    The sum over t is one matmul, since only the middle factor joins i and j.
    """
    moves, _ = exponentiate(transitions)
    before = exp_shifted(forward[:, :-1])  # (B, T-1, K)
    after = exp_shifted((emissions + backward)[:, 1:])
    total = ops.sum(ops.matmul(before, moves) * after, axis=-1)  # (B, T-1)
    real = ops.logical_and(mask[:, 1:], total > 0)
    share = ops.where(real, 1.0 / ops.where(real, total, 1.0), 0.0)
    before = ops.transpose(before * share[..., None], (0, 2, 1))  # (B, K, T-1)
    return ops.cast(ops.matmul(before, after) * moves, "float32")


def exp_shifted(scores):
    """exp of `(..., K)` scores less their maximum, in float64."""
    shifted = scores - ops.max(scores, axis=-1, keepdims=True)
    return ops.exp(ops.cast(shifted, "float64"))


def viterbi(emissions, transitions, start, end, mask):
    """The best path of each row.

    Returns:
        tags `(B, T)` int32, 0 at masked steps, and the score of the path `(B,)`, 0 for
        a row without a real step.
    """
    first = start + emissions[:, 0]  # (B, K)
    into = ops.transpose(transitions)

    def step(before, emitted, real):
        now = ops.max(ops.expand_dims(before, 1) + into, axis=-1) + emitted
        return ops.where(real, now, before)

    rest = scan_steps(step, first, emissions, mask)
    best = ops.concatenate([first[None], rest])  # (T, B, K)
    final = best[-1] + end
    tags = follow_back(best, final, transitions, mask)
    score = ops.where(mask[:, 0], ops.max(final, axis=-1), 0.0)
    return ops.where(mask, tags, 0), score


def follow_back(best, final, transitions, mask):
    """Read the tags `(B, T)` of the best path from `(T, B, K)` best scores, last first.

    No pointers are kept: the tag before is found again from the tag after.
    """
    last = ops.argmax(final, axis=-1)  # (B,)
    last = ops.cast(last, "int32")
    into = ops.transpose(transitions)
    mask = ops.transpose(mask)  # (T, B)

    def body(after, t):
        before = best[t] + ops.take(into, after, axis=0)  # (B, K)
        before = ops.cast(ops.argmax(before, axis=-1), "int32")
        now = ops.where(mask[t + 1], before, after)
        return now, now

    steps = ops.flip(ops.arange(ops.shape(best)[0] - 1))
    _, tags = ops.scan(body, last, steps)
    tags = ops.concatenate([ops.flip(tags, axis=0), last[None]])
    return ops.transpose(tags)

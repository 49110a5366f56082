"""Dynamic programming over linear chains: the algorithms behind `LinearChainCRF`.

Shapes: B batch, T steps, K tags. Everywhere: emissions `(B, T, K)`, transitions
`(K, K)` from row to column, start and end `(K,)`, mask `(B, T)` padded on the right.
All of one float dtype and finite; float64 is used inside, for its range.
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
    moves = exponentiate(transitions)

    def step(before, emitted, real):
        return ops.where(real, log_matmul(before, *moves) + emitted, before)

    first = start + emissions[:, 0]  # (B, K)
    return swap(scan_steps(step, first, emissions, after_first(mask)))


def backward_scores(emissions, transitions, end, mask):
    moves = exponentiate(ops.transpose(transitions))

    def step(after, emitted, real):
        return ops.where(real, log_matmul(after + emitted, *moves), after)

    last = ops.zeros_like(emissions[:, 0]) + end  # (B, K)
    following = shift_left(emissions), shift_left(mask)
    return swap(scan_steps(step, last, *following, reverse=True))


def exponentiate(scores):
    """exp of `(K, K)` scores less their maximum in float64, and the maximum."""
    highest = ops.max(scores)
    return ops.exp(ops.cast(scores - highest, "float64")), highest


def log_matmul(scores, weights, log_scale):
    """log(exp(scores) @ weights) + log_scale: `(B, K)` as scores, and of their dtype.

    A matmul and not a logsumexp over `(B, K, K)`: for 50 tags it is four times as
    fast. Where a constraint forbids the moves from the best tags, the sum consists of
    small numbers alone; float64 keeps them down to 1e-300 of the largest (float32:
    1e-38, too little for confident emissions). Only what is below counts as 1e-300.
    """
    highest = largest(scores)[:, None]  # (B, 1)
    ratios = ops.exp(ops.cast(scores - highest, "float64"))
    logs = ops.log(ops.maximum(ops.matmul(ratios, weights), 1e-300))
    return ops.cast(logs, scores.dtype) + highest + log_scale


def scan_steps(step, carry, emissions, moved, reverse=False):
    """Run `carry = step(carry, emissions[:, t], moved[:, t])` over all steps t.

    Where `moved` `(B, T)` is False the step must keep its carry. That is so at the
    step the scan begins with too: a scan over the T-1 others fails on TensorFlow
    where T is unknown and happens to be 1.

    Returns:
        every carry `(T, B, ...)`, in the order of the steps also when reversed.
    """
    emissions, moved = swap(emissions), ops.expand_dims(swap(moved), -1)

    def body(carry, t):
        carry = step(carry, emissions[t], moved[t])
        return carry, carry

    # Over the numbers of the steps: Keras' scan over several tensors fails on
    # TensorFlow where T is unknown.
    steps = ops.arange(ops.shape(emissions)[0])
    _, carries = ops.scan(body, carry, ops.flip(steps) if reverse else steps)
    return ops.flip(carries, axis=0) if reverse else carries


def swap(tensor):
    """`(T, B, ...)` of `(B, T, ...)`, and the other way around."""
    return ops.swapaxes(tensor, 0, 1)


def after_first(mask):
    """Mask `(B, T)` of the real steps that follow a real step."""
    return ops.logical_and(mask, ops.arange(ops.shape(mask)[1]) > 0)


def shift_left(tensor):
    """What comes at the next step, and zeros (False) at the last: `(B, T, ...)`."""
    return ops.concatenate([tensor[:, 1:], ops.zeros_like(tensor[:, :1])], axis=1)


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
    before = exp_shifted(forward)[:, :-1]  # (B, T-1, K)
    after = exp_shifted(emissions + backward)[:, 1:]
    total = ops.sum(ops.matmul(before, moves) * after, axis=-1)  # (B, T-1)
    real = ops.logical_and(mask[:, 1:], total > 0)
    share = ops.where(real, 1.0 / ops.where(real, total, 1.0), 0.0)
    before = ops.transpose(before * share[..., None], (0, 2, 1))  # (B, K, T-1)
    return ops.cast(ops.matmul(before, after) * moves, "float32")


def exp_shifted(scores):
    """exp of `(..., K)` scores less their maximum, in float64."""
    shifted = scores - largest(scores)[..., None]
    return ops.exp(ops.cast(shifted, "float64"))


def largest(scores):
    """Maximum `(...)` of `(..., K)` scores, also for a batch of no rows."""
    return ops.max(scores, axis=-1, initial=-float("inf"))


def viterbi(emissions, transitions, start, end, mask):
    """The best path of each row.

    Returns:
        tags `(B, T)` int32, 0 at masked steps, and the score of the path `(B,)`, 0 for
        a row without a real step.
    """
    into = ops.transpose(transitions)

    def step(before, emitted, real):
        now = largest(ops.expand_dims(before, 1) + into) + emitted
        return ops.where(real, now, before)

    first = start + emissions[:, 0]  # (B, K)
    best = swap(scan_steps(step, first, emissions, after_first(mask)))
    final = best[:, -1] + end
    tags = follow_back(best, final, into, mask)
    score = ops.where(mask[:, 0], largest(final), 0.0)
    return ops.where(mask, tags, 0), score


def follow_back(best, final, into, mask):
    """Read the tags `(B, T)` of the best path from `(B, T, K)` best scores, last first.

    No pointers are kept: the tag before is found again from the tag after.
    """

    def step(after, scores, real):
        before = scores + ops.take(into, after, axis=0)  # (B, K)
        return ops.where(real[:, 0], argmax(before), after)

    tags = scan_steps(step, argmax(final), best, shift_left(mask), reverse=True)
    return swap(tags)


def argmax(scores):
    return ops.cast(ops.argmax(scores, axis=-1), "int32")

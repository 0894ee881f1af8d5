"""Shapes of a graph's values, carried from operator to operator where the file does not name them; runs no operator.

Beside shapes, little lists of whole numbers are carried, because graphs compute the arguments of Reshape, Slice and
the like from them. What an operator here does not know stays unknown, and so does what follows from it. Does not know
how many bytes anything takes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from gpt4roi_runtime.planning.graph_file import GraphFile, Operator

Axes = tuple[int, ...]

_FEW = 16
_SAME_SHAPE = frozenset(
    {
        "Abs", "BatchNormalization", "Cast", "CastLike", "Ceil", "Clip", "DequantizeLinear", "Dropout", "Elu", "Erf",
        "Exp", "Floor", "Gelu", "GroupNormalization", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization",
        "LayerNormalization", "LeakyRelu", "Log", "LogSoftmax", "Neg", "Not", "QuantizeLinear", "Reciprocal", "Relu",
        "Round", "Sigmoid", "Softmax", "Sqrt", "Tanh",
    }
)  # fmt: skip
_BROADCAST = frozenset(
    {"Add", "And", "Div", "Equal", "Greater", "Less", "Max", "Min", "Mul", "Or", "Pow", "Sub", "Where"}
)


@dataclass(frozen=True)
class _Value:
    """What is known of a value: its shape, and its numbers where they are a few whole ones."""

    shape: Axes | None = None
    numbers: Axes | None = None


_UNKNOWN = _Value()


def carried_shapes(graph: GraphFile, n_regions: int) -> dict[str, Axes]:
    """Shape of every value that has a known one; an axis of any length counts as ``n_regions``."""
    known = {name: _Value(weight.shape, weight.numbers) for name, weight in graph.weights.items()}
    named = {name: tuple(n_regions if axis is None else axis for axis in shape) for name, shape in graph.shapes.items()}
    known |= {name: _Value(shape) for name, shape in named.items()}
    for operator in graph.operators:
        sources = [known.get(name, _UNKNOWN) for name in operator.inputs]
        try:
            results = _results(operator, sources)
        except (ValueError, IndexError, ZeroDivisionError):  # a graph that does not fit together; an engine will say so
            continue
        for name, value in zip(operator.outputs, results, strict=False):
            shape = named.get(name, value.shape)
            if name and shape is not None and all(axis >= 0 for axis in shape):
                known[name] = _Value(shape, value.numbers)
    return {name: value.shape for name, value in known.items() if value.shape is not None}


def _results(operator: Operator, sources: list[_Value]) -> list[_Value]:
    """What is known of an operator's outputs."""
    if operator.kind == "Split":
        return _split(operator, sources)
    if operator.kind == "Constant":
        return [_constant(operator)]
    numbers = _computed(operator, sources)
    shapes = [value.shape for value in sources]
    if operator.kind in _SAME_SHAPE:
        shape = shapes[0]
    elif operator.kind in _BROADCAST:
        shape = _broadcast(shapes)
    elif (rule := _RULES.get(operator.kind)) is not None:
        shape = rule(operator, sources)
    else:
        shape = None
    if shape is None and numbers is not None:
        shape = (len(numbers),)
    return [_Value(shape, numbers)]


def _constant(operator: Operator) -> _Value:
    if operator.tensor is not None:
        return _Value(operator.tensor.shape, operator.tensor.numbers)
    if numbers := operator.numbers.get("value_ints"):
        return _Value((len(numbers),), numbers)
    return _Value((), operator.numbers.get("value_int"))


def _computed(operator: Operator, sources: list[_Value]) -> Axes | None:
    """A little list of whole numbers that follows from others."""
    if operator.kind == "Shape":
        return None if sources[0].shape is None else _cut(operator, sources[0].shape)
    lists = [value.numbers for value in sources]
    if not lists or lists[0] is None:
        return None
    first = lists[0]
    match operator.kind:
        case "Cast" | "CastLike" | "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten":
            return first
        case "Concat" if all(one is not None for one in lists):
            joined = tuple(number for one in lists for number in one or ())
            return joined if len(joined) <= _FEW else None
        case "Gather" if lists[1] is not None:
            return tuple(first[index] for index in lists[1])
        case "Slice" if lists[1] is not None and lists[2] is not None:
            step = lists[4][0] if len(lists) > 4 and lists[4] else 1
            return first[lists[1][0] : lists[2][0] : step]
        case "Expand" if lists[1] is not None and len(first) == 1:
            return first * min(math.prod(lists[1]), _FEW)
        case "Add" | "Sub" | "Mul" | "Div" if lists[1] is not None:
            return _arithmetic(operator.kind, first, lists[1])
    return None


def _cut(operator: Operator, shape: Axes) -> Axes:
    start = _one(operator, "start", 0)
    end = _one(operator, "end", len(shape))
    return shape[start:end]


def _arithmetic(kind: str, left: Axes, right: Axes) -> Axes | None:
    length = max(len(left), len(right))
    if {len(left), len(right)} - {1, length}:
        return None
    pairs = zip(left * (length // len(left)), right * (length // len(right)), strict=True)
    match kind:
        case "Add":
            return tuple(a + b for a, b in pairs)
        case "Sub":
            return tuple(a - b for a, b in pairs)
        case "Mul":
            return tuple(a * b for a, b in pairs)
        case _:
            return tuple(int(a / b) for a, b in pairs)  # towards zero, as ONNX divides


def _one(operator: Operator, name: str, default: int) -> int:
    return next(iter(operator.numbers.get(name, ())), default)


def _argument(operator: Operator, sources: list[_Value], index: int, name: str) -> Axes | None:
    """Numbers that newer operators read as an input and older ones hold as an attribute."""
    if index < len(sources) and sources[index].numbers is not None:
        return sources[index].numbers
    return operator.numbers.get(name) or None


def _broadcast(shapes: list[Axes | None]) -> Axes | None:
    """Shape of an elementwise result; an operand nobody knows is taken for a scalar beside a large one."""
    known = [shape for shape in shapes if shape is not None]
    if len(known) != len(shapes):
        known = [shape for shape in known if len(shape) >= 3]
    if not known:
        return None
    rank = max(map(len, known))
    padded = [(1,) * (rank - len(shape)) + shape for shape in known]
    return tuple(0 if 0 in axes else max(axes) for axes in zip(*padded, strict=True))


def _windows(operator: Operator, image: Axes, kernel: Axes) -> Axes | None:
    """Sides of what a kernel that moves over an image leaves."""
    rank = len(kernel)
    strides = operator.numbers.get("strides") or (1,) * rank
    dilations = operator.numbers.get("dilations") or (1,) * rank
    pads = operator.numbers.get("pads") or (0,) * (2 * rank)
    if not len(image) == len(strides) == len(dilations) == rank or len(pads) != 2 * rank:
        return None
    return tuple(
        max(1, (side + before + after - dilation * (window - 1) - 1) // stride + 1)
        for side, before, after, dilation, window, stride in zip(
            image, pads[:rank], pads[rank:], dilations, kernel, strides, strict=True
        )
    )


def _conv(operator: Operator, sources: list[_Value]) -> Axes | None:
    image, kernel = sources[0].shape, sources[1].shape
    if image is None or kernel is None or len(kernel) < 3:
        return None
    sides = _windows(operator, image[2:], kernel[2:])
    return None if sides is None else (image[0], kernel[0], *sides)


def _pool(operator: Operator, sources: list[_Value]) -> Axes | None:
    image, kernel = sources[0].shape, operator.numbers.get("kernel_shape")
    sides = None if image is None or not kernel else _windows(operator, image[2:], kernel)
    return None if image is None or sides is None else (*image[:2], *sides)


def _global_pool(operator: Operator, sources: list[_Value]) -> Axes | None:
    del operator
    image = sources[0].shape
    return None if image is None else (*image[:2], *(1 for _ in image[2:]))


def _matmul(operator: Operator, sources: list[_Value]) -> Axes | None:
    del operator
    left, right = sources[0].shape, sources[1].shape
    if left is None or right is None or len(left) < 2 or len(right) < 2:
        return None
    leading = _broadcast([left[:-2], right[:-2]])
    return None if leading is None else (*leading, left[-2], right[-1])


def _gemm(operator: Operator, sources: list[_Value]) -> Axes | None:
    left, right = sources[0].shape, sources[1].shape
    if left is None or right is None or len(left) != 2 or len(right) != 2:
        return None
    return (left[_one(operator, "transA", 0)], right[1 - _one(operator, "transB", 0)])


def _concat(operator: Operator, sources: list[_Value]) -> Axes | None:
    shapes = [value.shape for value in sources]
    known = [shape for shape in shapes if shape is not None]
    if not known or len({len(shape) for shape in known}) != 1 or len(known[0]) == 0:
        return None
    joined = list(known[0])
    axis = range(len(joined))[_one(operator, "axis", 0)]
    if len(known) != len(shapes) and len(joined) < 3:
        return None
    joined[axis] = sum(shape[axis] for shape in known)
    return tuple(joined)


def _transpose(operator: Operator, sources: list[_Value]) -> Axes | None:
    shape = sources[0].shape
    if shape is None:
        return None
    order = operator.numbers.get("perm") or tuple(reversed(range(len(shape))))
    return tuple(shape[axis] for axis in order)


def _reshape(operator: Operator, sources: list[_Value]) -> Axes | None:
    shape, wanted = sources[0].shape, _argument(operator, sources, 1, "shape")
    if wanted is None:
        return None
    if shape is None:
        return None if -1 in wanted or 0 in wanted else wanted
    filled = [shape[axis] if length == 0 else length for axis, length in enumerate(wanted)]
    if -1 in filled:
        others = math.prod(length for length in filled if length != -1)
        filled[filled.index(-1)] = math.prod(shape) // others
    return tuple(filled)


def _expand(operator: Operator, sources: list[_Value]) -> Axes | None:
    wanted = _argument(operator, sources, 1, "shape")
    return None if wanted is None else _broadcast([wanted, sources[0].shape or (1,)])


def _pad(operator: Operator, sources: list[_Value]) -> Axes | None:
    shape, pads = sources[0].shape, _argument(operator, sources, 1, "pads")
    if shape is None or pads is None:
        return None
    axes = sources[3].numbers if len(sources) > 3 else None
    axes = tuple(range(len(shape))) if axes is None else axes
    padded = list(shape)
    for index, axis in enumerate(axes):
        padded[axis] += pads[index] + pads[index + len(axes)]
    return tuple(padded)


def _slice(operator: Operator, sources: list[_Value]) -> Axes | None:
    shape, starts = sources[0].shape, _argument(operator, sources, 1, "starts")
    ends = _argument(operator, sources, 2, "ends")
    if shape is None or starts is None or ends is None:
        return None
    axes = _argument(operator, sources, 3, "axes") or tuple(range(len(starts)))
    steps = _argument(operator, sources, 4, "steps") or (1,) * len(starts)
    cut = list(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[axis] = len(range(cut[axis])[start:end:step])
    return tuple(cut)


def _resize(operator: Operator, sources: list[_Value]) -> Axes | None:
    return _argument(operator, sources, 3, "sizes") if sources[0].shape is not None else None


def _unsqueeze(operator: Operator, sources: list[_Value]) -> Axes | None:
    shape, axes = sources[0].shape, _argument(operator, sources, 1, "axes")
    if shape is None or axes is None:
        return None
    rank = len(shape) + len(axes)
    ones = {range(rank)[axis] for axis in axes}
    rest = iter(shape)
    return tuple(1 if axis in ones else next(rest) for axis in range(rank))


def _squeeze(operator: Operator, sources: list[_Value]) -> Axes | None:
    shape, axes = sources[0].shape, _argument(operator, sources, 1, "axes")
    if shape is None:
        return None
    gone = {range(len(shape))[axis] for axis in axes} if axes else {i for i, length in enumerate(shape) if length == 1}
    return tuple(length for axis, length in enumerate(shape) if axis not in gone)


def _gather(operator: Operator, sources: list[_Value]) -> Axes | None:
    shape, index = sources[0].shape, sources[1].shape
    if shape is None or index is None:
        return None
    axis = range(len(shape))[_one(operator, "axis", 0)]
    return (*shape[:axis], *index, *shape[axis + 1 :])


def _reduce(operator: Operator, sources: list[_Value]) -> Axes | None:
    shape = sources[0].shape
    if shape is None:
        return None
    axes = _argument(operator, sources, 1, "axes")
    gone = {range(len(shape))[axis] for axis in axes} if axes else set(range(len(shape)))
    if _one(operator, "keepdims", 1):
        return tuple(1 if axis in gone else length for axis, length in enumerate(shape))
    return tuple(length for axis, length in enumerate(shape) if axis not in gone)


def _flatten(operator: Operator, sources: list[_Value]) -> Axes | None:
    shape, axis = sources[0].shape, _one(operator, "axis", 1)
    return None if shape is None else (math.prod(shape[:axis]), math.prod(shape[axis:]))


def _roi_align(operator: Operator, sources: list[_Value]) -> Axes | None:
    level, boxes = sources[0].shape, sources[1].shape
    if level is None or boxes is None or len(level) != 4:
        return None
    return (boxes[0], level[1], _one(operator, "output_height", 1), _one(operator, "output_width", 1))


def _split(operator: Operator, sources: list[_Value]) -> list[_Value]:
    shape, sizes = sources[0].shape, _argument(operator, sources, 1, "split")
    if shape is None:
        return []
    axis = range(len(shape))[_one(operator, "axis", 0)]
    sizes = sizes or (-(-shape[axis] // len(operator.outputs)),) * len(operator.outputs)
    return [_Value((*shape[:axis], size, *shape[axis + 1 :])) for size in sizes]


_RULES: dict[str, Callable[[Operator, list[_Value]], Axes | None]] = {
    "AveragePool": _pool,
    "Concat": _concat,
    "Conv": _conv,
    "ConvInteger": _conv,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "MaxPool": _pool,
    "Pad": _pad,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "ReduceMin": _reduce,
    "ReduceSum": _reduce,
    "Reshape": _reshape,
    "Resize": _resize,
    "RoiAlign": _roi_align,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}

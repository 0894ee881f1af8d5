"""The 1000 names of the ImageNet classes, read out of a Python source file without running it.

Does not know what the names are used for.
"""

import ast

from gpt4roi_runtime.errors import BundleError

VARIABLE = "IMAGENET_CLASSNAMES"


def read_class_names(source: str, expected: int) -> tuple[str, ...]:
    """Short class names in the order of the classifier's outputs.

    Explanations are cut off (``kite (bird of prey)`` is ``kite``, ``cardboard box / carton`` is ``cardboard box``):
    they help people to tell classes apart, but a language model reads them as part of the name.

    Args:
        source: Text of a Python file that assigns the list of names as a literal.
        expected: How many names there must be.

    Raises:
        BundleError: The list is not there, not a literal, or of another length.
    """
    try:
        names = _literal(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError) as refused:
        raise BundleError(f"{VARIABLE} cannot be read: {refused}", "Fetch the package again.") from refused
    if (
        not isinstance(names, list | tuple)
        or len(names) != expected
        or not all(isinstance(name, str) for name in names)
    ):
        raise BundleError(f"{VARIABLE} is not a list of {expected} names", "Fetch the package again.")
    return tuple(name.split(" (")[0].split(" / ")[0].strip() for name in names)


def _literal(module: ast.Module) -> object:
    for node in module.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == VARIABLE for target in node.targets
        ):
            return ast.literal_eval(node.value)
    raise ValueError("no such variable")

"""JMESPath expressions within limits.

Guarantees, for every expression and every event:
- An expression has at most `EXPRESSION_MAX_CHARS` characters and `EXPRESSION_MAX_NODES` nodes.
- Its evaluation visits at most `VISITS_MAX` nodes and takes at most `EVALUATION_MAX_S` of processor time, and one
  function or comparison more.
- It creates at most `ELEMENTS_MAX` items and characters, and no value has more of them. Lists may share their items, so
  the size of a value is counted as it would be written, not as it is stored.
- Every failure is an ExpressionError, whose text contains no value of the event.

The library limits nothing. Its interpreter passes each node to `visit`, and each function to `call_function`: the
limits are checked there.
"""

import warnings
from typing import Any, cast

from jmespath import exceptions
from jmespath.functions import TYPES_MAP, Functions, signature
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter

from hub.platform.cpu_timer import CpuTimer

EXPRESSION_MAX_CHARS = 1_000
EXPRESSION_MAX_NODES = 100
EVALUATION_MAX_S = 0.05  # processor time of the thread
VISITS_MAX = 50_000
ELEMENTS_MAX = 400_000  # more than the largest event has: 256 KiB

PROJECTIONS = frozenset({"projection", "filter_projection", "value_projection"})
MULTI_SELECTS = frozenset({"multi_select_list", "multi_select_dict"})
CREATING = PROJECTIONS | MULTI_SELECTS | {"flatten", "slice", "function_expression"}
"""The nodes whose value may be new."""


class ExpressionError(ValueError):
    """An expression that cannot be compiled or evaluated. The message says why."""


class LimitExceeded(ExpressionError):
    """The evaluation was stopped at a limit."""


class Expression:
    """A compiled expression. Raise ExpressionError if it is not valid or too large."""

    def __init__(self, source: str) -> None:
        if len(source) > EXPRESSION_MAX_CHARS:
            raise ExpressionError(f"an expression has at most {EXPRESSION_MAX_CHARS:,} characters")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", PendingDeprecationWarning)
                self._tree = Parser().parse(source).parsed
        except PendingDeprecationWarning:
            raise ExpressionError(
                "a literal in backquotes must be JSON, such as `10`; texts have single quotes"
            ) from None
        except exceptions.JMESPathError as error:
            raise ExpressionError(_syntax_error(error)) from None
        except RecursionError:
            raise ExpressionError("the expression is nested too deeply") from None
        except Exception as error:  # noqa: BLE001 - the library raises other errors for some malformed texts
            raise ExpressionError(f"this is not a JMESPath expression ({type(error).__name__})") from None
        _check_tree(self._tree)

    def evaluate(self, value: object) -> Any:
        """Return the result for a JSON value. Raise ExpressionError or LimitExceeded."""
        try:
            return _Interpreter().visit(self._tree, value)
        except ExpressionError:
            raise
        except exceptions.JMESPathTypeError as error:
            raise ExpressionError(_type_error(error)) from None
        except RecursionError:
            raise LimitExceeded("a value is nested too deeply") from None
        except Exception as error:  # noqa: BLE001 - any error is about the expression and the event
            raise ExpressionError(f"a value cannot be used here ({type(error).__name__})") from None


def is_true(value: object) -> bool:
    """Return True unless JMESPath takes a value for false: null, false, and empty texts, arrays, and objects."""
    return value is not None and value is not False and value not in ("", [], {})


def _syntax_error(error: exceptions.JMESPathError) -> str:
    if isinstance(error, exceptions.IncompleteExpressionError):
        return "the expression is incomplete"
    if isinstance(error, exceptions.EmptyExpressionError):
        return "the expression is empty"
    position = getattr(error, "lex_position", None)
    return "this is not a JMESPath expression" + ("" if position is None else f" (character {position + 1})")


def _type_error(error: exceptions.JMESPathTypeError) -> str:
    expected = " or ".join(error.expected_types)
    actual = TYPES_MAP.get(error.actual_type, error.actual_type)
    return f"{error.function_name}() requires {expected}, not {actual}"


def _check_tree(tree: dict[str, Any]) -> None:
    """Raise ExpressionError if a tree has too many nodes, calls an unknown function, or has a multi-select in a
    projection in a projection, whose result may be very large."""
    nodes, stack = 0, [(tree, 0)]
    while stack:
        node, projections = stack.pop()
        nodes += 1
        if nodes > EXPRESSION_MAX_NODES:
            raise ExpressionError(f"an expression has at most {EXPRESSION_MAX_NODES} nodes")
        if node["type"] in MULTI_SELECTS and projections > 1:
            raise ExpressionError("a multi-select such as [a, b] or {a: b} must not be in two projections")
        if node["type"] == "function_expression":
            _check_call(node)
        projections += node["type"] in PROJECTIONS
        stack += [(child, projections) for child in node["children"] if isinstance(child, dict)]


def _check_call(node: dict[str, Any]) -> None:
    name, given = node["value"], len(node["children"])
    if name not in _Functions.FUNCTION_TABLE:
        raise ExpressionError(f"the function {name}() does not exist")
    expected = _Functions.FUNCTION_TABLE[name]["signature"]
    variadic = bool(expected and expected[-1].get("variadic"))
    if given < len(expected) or (given > len(expected) and not variadic):
        least = "at least " if variadic else ""
        raise ExpressionError(f"{name}() requires {least}{len(expected)} arguments, not {given}")


class _Budget:
    """What one evaluation may still use."""

    def __init__(self) -> None:
        self._timer = CpuTimer()
        self._visits = 0
        self._created = 0
        self._sizes: dict[int, tuple[object, int]] = {}  # by id: the value is kept, so no other gets its id

    def visit(self) -> None:
        self._visits += 1
        if self._visits > VISITS_MAX:
            raise LimitExceeded(f"the evaluation visits more than {VISITS_MAX:,} nodes")
        if self._timer.exceeds(EVALUATION_MAX_S):
            raise LimitExceeded(f"the evaluation takes longer than {round(EVALUATION_MAX_S * 1000)} ms")

    def create(self, value: object) -> None:
        """Charge a value that a node returned."""
        if isinstance(value, str | list | dict):
            self.charge(len(value))
            if self._size(value) > ELEMENTS_MAX:
                raise LimitExceeded(f"a value has more than {ELEMENTS_MAX:,} items and characters")

    def charge(self, elements: int) -> None:
        self._created += elements
        if self._created > ELEMENTS_MAX:
            raise LimitExceeded(f"the evaluation creates more than {ELEMENTS_MAX:,} items and characters")

    def _size(self, value: object) -> int:
        """Return the number of items and characters of a value as it would be written."""
        if isinstance(value, str):
            return 1 + len(value)
        if not isinstance(value, list | dict):
            return 1
        known = self._sizes.get(id(value))
        if known is None:
            inner = value.values() if isinstance(value, dict) else value
            names = sum(map(len, value)) if isinstance(value, dict) else 0
            known = self._sizes[id(value)] = value, 1 + names + sum(map(self._size, inner))
        return known[1]


class _Functions(Functions):  # type: ignore[misc]
    """The functions of JMESPath. `join` checks the length of its result before it allocates."""

    def __init__(self, budget: _Budget) -> None:
        self._budget = budget

    @signature({"types": ["string"]}, {"types": ["array-string"]})  # type: ignore[untyped-decorator]
    def _func_join(self, separator: str, array: list[str]) -> str:
        self._budget.charge(len(separator) * len(array) + sum(map(len, array)))
        return separator.join(array)


class _Interpreter(TreeInterpreter):  # type: ignore[misc]
    def __init__(self) -> None:
        self._budget = _Budget()
        super().__init__(Options(custom_functions=_Functions(self._budget)))

    def visit(self, node: dict[str, Any], *arguments: Any, **named: Any) -> Any:
        self._budget.visit()
        value = super().visit(node, *arguments, **named)
        if node["type"] in CREATING:
            self._budget.create(value)
        return cast("Any", value)

"""Formulas of docstrings, which are written as one would type them, as MathML: `|W_i|^4 / sum_j (W_i . W_j)^2`."""

import re

from latex2mathml.converter import convert

WORDS = {
    "sum": r"\sum", "int": r"\int", "max": r"\max", "min": r"\min", "exp": r"\exp", "log": r"\log", "cos": r"\cos",
    "sin": r"\sin", "sqrt": r"\sqrt", "pi": r"\pi", "lambda": r"\lambda", "theta": r"\theta", "What": r"\hat{W}",
}  # fmt: skip
SIGNS = {
    "!=": r"\ne",
    "<=": r"\le",
    ">=": r"\ge",
    "...": r"\dots",
    "D*": "D^{\\ast}",
    " . ": r" \cdot ",
    " * ": r"\, ",
    "->": r"\to",
}
LINE = "\ue000"  # the line in a name, which is no index
IS_FORMULA = re.compile(
    r"\^|\b(sum|int|max|min)_|\bsqrt\(|\b[A-Za-z]_[ijkst]\b|\|\w+\||\bWhat_|^[A-Za-z]'? = "
)
IS_CODE = re.compile(r"[\"\[=]=|[a-z]{2,}\[|\*\*|\w\.\w|\w\(\w+=|[\"{}:]|^\||__")


def is_formula(text: str) -> bool:
    """Whether what is between backticks is mathematics and not code."""
    return bool(IS_FORMULA.search(text)) and not IS_CODE.search(text)


def latex(text: str) -> str:
    r"""The formula in LaTeX.

    >>> latex("D_i = |W_i|^4 / sum_{j != i} (W_i . W_j)^2")
    'D_{i} = |W_{i}|^{4} / \\sum_{j \\ne i} (W_{i} \\cdot W_{j})^{2}'
    """
    # A space beside a word is seen.
    text = re.sub(r"(?<=[\w)}|]) (?=[A-Za-z]{2})|(?<=[A-Za-z]{2}) (?=[\w|])", r"\\ ", text)
    text = _roots(text)
    for sign, meant in SIGNS.items():
        text = text.replace(sign, meant)
    text = re.sub(r"(?<![A-Za-z])(?!sum_|max_|min_|int_)[A-Za-z]{2,}_[A-Za-z]{2,}", _name, text)  # one word
    text = re.sub(r"(?<!\\)([_^])(-?\w+|\+)", _script, text)
    text = re.sub(r"([_^])\(([^()]*)\)", r"\1{\2}", text)
    text = re.sub(rf"(?<![\\A-Za-z{LINE}])(?<!text{{)(?<!mathrm{{)[A-Za-z]{{2,}}", _word, text)
    return text.replace(LINE, "_")


def _name(found) -> str:
    return rf"\text{{{found[0].replace('_', LINE)}}}"


def _script(found) -> str:
    sign, script = found.groups()
    if sign == "_" and len(script) > 1 and script.isalpha() and script.islower() and len(script) <= 2:
        return f"_{{{' '.join(script)}}}"  # W_ki: two indices
    return f"{sign}{{{script}}}"


def _word(found) -> str:
    word = found[0]
    return WORDS.get(word, rf"\mathrm{{{word}}}")


def _roots(text: str) -> str:
    """`sqrt(...)` with the bracket that belongs to it."""
    while (at := text.find("sqrt(")) >= 0:
        depth = 0
        for end in range(at + 4, len(text)):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            if not depth:
                break
        text = text[:at] + r"\sqrt{" + text[at + 5 : end] + "}" + text[end + 1 :]
    return text


def mathml(text: str, display: str = "inline") -> str:
    """LaTeX as MathML, which browsers draw themselves."""
    return convert(text, display=display)

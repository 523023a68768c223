"""Find Python and TypeScript files of more than 400 lines, and Python functions of more than 60.

python infra/checks/sizes.py [FOLDER ...]
"""

import ast
import sys
from pathlib import Path

FOLDERS = ["hub", "tests", "infra", "frontend-demo/src", "frontend-demo/packages"]
UNCHECKED = {"node_modules", "dist"}
FILE_MAX_LINES = 400
FUNCTION_MAX_LINES = 60


def main(folders: list[str]) -> int:
    faults = 0
    found = (path for folder in folders or FOLDERS for kind in ("*.py", "*.ts") for path in Path(folder).rglob(kind))
    for path in sorted(path for path in found if not UNCHECKED.intersection(path.parts)):
        source = path.read_text(encoding="utf-8")
        if (lines := source.count("\n")) > FILE_MAX_LINES:
            faults += 1
            print(f"{path}: {lines} lines, more than {FILE_MAX_LINES}")
        for node in ast.walk(ast.parse(source if path.suffix == ".py" else "")):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_MAX_LINES:
                    faults += 1
                    print(f"{path}:{node.lineno}: {node.name} has {lines} lines, more than {FUNCTION_MAX_LINES}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

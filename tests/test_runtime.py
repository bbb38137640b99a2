"""What a process takes of the machine it meets."""

import pytest
import torch

from kebench.runtime import use_own_gpu


@pytest.mark.parametrize(
    ("device", "local_rank", "taken"),
    [("cuda", "1", [1]), ("cuda", "5", [1]), ("cuda", None, []), ("cpu", "1", [])],
)
def test_each_launched_process_takes_a_gpu_of_its_own(
    device: str, local_rank: str | None, taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", seen.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
    use_own_gpu(device)
    assert seen == taken

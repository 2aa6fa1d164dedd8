"""A batch on a Dask cluster: workers checked first, one run at a time for a list and for a key, a dead worker's run."""

import os
import signal
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import dask
import pytest
from batching import batch_file, batched, ended, small_notebook, small_vault, started
from distributed import LocalCluster

from misp_playbook_lib.batch_cluster import check_worker

LEASE = ("timeout", "validation-interval")
VERSION = metadata.version("misp-playbook")
ALONE = """
(here / 'busy').mkdir()
threading.Event().wait(2)
(here / 'busy').rmdir()
(here / 'state').write_text(os.environ["XDG_STATE_HOME"])
step('IN:5')
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two workers of a thread each, as processes of this machine; what a dead one held is free soon."""
    with (
        dask.config.set(
            {f"distributed.scheduler.locks.lease-{one}": "1s" for one in ("timeout", "validation-interval")}
        ),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local,
    ):
        yield local.scheduler_address


def test_the_same_file_runs_on_a_cluster_and_a_dead_workers_run_goes_to_another(cluster: str, tmp_path: Path) -> None:
    dies = "(here / 'died').mkdir(); os.kill(os.getppid(), signal.SIGKILL); threading.Event().wait()"
    code = f"if warninglist_name == 'Two' and not (here / 'died').exists():\n    {dies}\nstep('IN:5')"
    runs = [{"warninglist_name": name} for name in ("One", "Two", "Three")]
    file = batch_file(tmp_path, small_notebook(tmp_path, code), runs)
    ran = batched(tmp_path, file, "--vault", str(small_vault(tmp_path)), "--cluster", cluster)
    assert ran.exit_code == 0, ran.output
    assert ran.outcomes == ["success"] * 3
    assert len(ran.record["runs"][1]["figures"]["died"]) == 1
    assert sorted(one["outcome"] for one in ran.manifests) == ["crashed", *["success"] * 3]
    assert list(ran.archive.glob(".probe-*")) == []


@pytest.mark.parametrize(
    "names", [{"a": "One", "b": "One"}, {"a": "One", "b": "Two"}], ids=["of a list", "with a key that is asked with"]
)
def test_two_batches_have_one_run_at_a_time(cluster: str, tmp_path: Path, names: dict[str, str]) -> None:
    playbook = small_notebook(tmp_path, ALONE)
    asks = names["a"] != names["b"]
    archive = tmp_path / "reports"
    batches = []
    for folder, name in names.items():
        (tmp_path / folder).mkdir()
        defaults = {"enrich_with": ["virustotal_public"] if asks else []}
        file = batch_file(tmp_path / folder, playbook, [{"warninglist_name": name}], defaults=defaults)
        words = ("--vault", str(small_vault(tmp_path)), "--cluster", cluster)
        batches.append(started(tmp_path, file, *words))
    for process in batches:
        assert ended(tmp_path, process).exit_code == 0
    assert (tmp_path / "state").read_text() == str(archive / ".state")


def test_a_signal_ends_the_runs_on_the_workers(cluster: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hangs")
    code = "(here / 'hangs').write_text('')\nthreading.Event().wait()"
    file = batch_file(tmp_path, small_notebook(tmp_path, code), [{"warninglist_name": "One"}])
    process = started(tmp_path, file, "--vault", str(small_vault(tmp_path)), "--cluster", cluster)
    (tmp_path / "hangs").read_text()  # until the run has come so far
    process.send_signal(signal.SIGINT)
    ran = ended(tmp_path, process)
    assert ran.exit_code == 1
    assert ran.outcomes == ["crashed"]
    assert "the batch was interrupted" in ran.manifests[0]["message"]


def test_what_workers_lack_is_told_for_each_before_anything_runs(cluster: str, tmp_path: Path) -> None:
    file = batch_file(tmp_path, small_notebook(tmp_path), [{"warninglist_name": "One"}])
    ran = batched(tmp_path, file, "--vault", str(tmp_path / "absent.py"), "--cluster", cluster)
    assert ran.exit_code == 2
    assert ran.errors.count("absent.py cannot be read") == 2
    assert not ran.manifests


def test_an_address_where_no_scheduler_is_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("misp_playbook_lib.batch_cluster.CONNECT_TIMEOUT", 1.0)
    file = batch_file(tmp_path, small_notebook(tmp_path), [{"warninglist_name": "One"}])
    ran = batched(tmp_path, file, "--cluster", "tcp://127.0.0.1:9")
    assert ran.exit_code == 2
    assert "There is no Dask scheduler at tcp://127.0.0.1:9" in ran.errors


def test_a_worker_needs_the_package_a_vault_and_the_archive(tmp_path: Path) -> None:
    playbook, vault = "create_custom_misp_warninglist", small_vault(tmp_path)
    (tmp_path / "probe").touch()
    assert check_worker(VERSION, playbook, tmp_path, "probe", vault, hermetic=True) == ("sandbox", [])
    _, missing = check_worker("9.9.9", "nothing", tmp_path / "elsewhere", "probe", vault, hermetic=True)
    assert missing[0] == f"it has misp-playbook {VERSION}, not 9.9.9"
    assert missing[1].startswith("There is no playbook nothing")
    assert "is not the folder that it is here" in missing[2]


def test_a_worker_without_the_package_is_told_what_to_install(tmp_path: Path) -> None:
    preload = "import sys\nsys.modules['misp_playbook_lib.batch_cluster'] = None\n"
    file = batch_file(tmp_path, small_notebook(tmp_path), [{"warninglist_name": "One"}])
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", preload=preload) as bare:
        ran = batched(tmp_path, file, "--vault", str(small_vault(tmp_path)), "--cluster", bare.scheduler_address)
    assert ran.exit_code == 2
    assert f"install misp-playbook {VERSION} there" in ran.errors

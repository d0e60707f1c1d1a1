import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.tiny import spoil
from xdcbench.cli.main import app
from xdcbench.errors import UserError
from xdcbench.reports.clusters import page, previews
from xdcbench.reports.clusters.origin import find_round
from xdcbench.reports.results.page import write_report

Results = tuple[Path, dict[str, str]]


def write(
    results: Results, root: Path, to: Path, *, nearest: int = 3, single_file: bool = False
) -> list[str]:
    found = find_round("xdc", None, results[0], data_root=root, shards=())
    lines = page.write_gallery([found], to, nearest=nearest, single_file=single_file, device="cpu", workers=0)
    return list(lines)


def test_every_link_leads_to_a_file(results: Results, files: Path, tmp_path: Path) -> None:
    lines = write(results, files, tmp_path / "gallery")
    assert len(lines) == 1
    text = (tmp_path / "gallery" / "index.html").read_text()
    links = set(re.findall(r'(?:src|data-video|data-audio)="([^"]+)"', text))
    assert {Path(link).suffix for link in links} == {".jpg", ".mp4", ".png", ".mp3"}
    assert links == {f"media/{path.name}" for path in (tmp_path / "gallery" / "media").iterdir()}


def test_previews_are_kept(results: Results, files: Path, tmp_path: Path) -> None:
    write(results, files, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "media").iterdir()}
    gone = min(before)
    gone.unlink()
    write(results, files, tmp_path)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "media").iterdir()}
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == {gone}


def test_vanished_and_spoiled_files_are_told(results: Results, files: Path, tmp_path: Path) -> None:
    media = sorted((files / "kinetics400" / "train").rglob("*.mp4"))
    media[0].unlink()
    spoil(media[1])
    lines = write(results, files, tmp_path / "gallery", nearest=100)
    assert re.match(r"2 of \d+ items could not be read any more", lines[1])
    text = (tmp_path / "gallery" / "index.html").read_text()
    assert "2 of" in text
    assert "No such file" in text
    assert text.count('class="tile gone') == 4


def test_one_file_holds_all(
    results: Results, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(results, files, tmp_path, single_file=True)
    assert [path.name for path in tmp_path.iterdir() if path.name != "files"] == ["index.html"]
    text = (tmp_path / "index.html").read_text()
    assert 'data-video="data:video/mp4;base64,' in text
    assert "media/" not in text
    monkeypatch.setattr(page, "SINGLE_FILE", 1000)
    monkeypatch.setattr(page, "SURE", float("inf"))
    with pytest.raises(UserError, match=r"--single-file: the previews are .* kB, more than"):
        write(results, files, tmp_path, single_file=True)


def test_same_round_same_page(results: Results, files: Path, tmp_path: Path) -> None:
    write(results, files, tmp_path / "a")
    write(results, files, tmp_path / "b")
    assert (tmp_path / "a" / "index.html").read_bytes() == (tmp_path / "b" / "index.html").read_bytes()


def test_long_items_are_sought_in(
    results: Results, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought = []
    real = previews.audio_within
    monkeypatch.setattr(previews, "LONG", 1.0)
    monkeypatch.setattr(previews, "audio_within", lambda *a, **k: sought.append(k["start"]) or real(*a, **k))
    write(results, files, tmp_path, nearest=1)
    assert sought
    assert all(start > 0 for start in sought)


def test_names_full_of_markup_are_text(results: Results, files: Path, tmp_path: Path) -> None:
    found = find_round("xdc", None, results[0], data_root=files, shards=())
    evil = '"><script>x</script>'
    index = replace(found.index, classes=tuple(evil + name for name in found.index.classes))
    found = replace(found, index=index)
    list(page.write_gallery([found], tmp_path, nearest=1, single_file=False, device="cpu", workers=0))
    text = (tmp_path / "index.html").read_text()
    assert "<script>x" not in text
    assert "&lt;script&gt;x" in text


def test_the_command(results: Results, files: Path, tmp_path: Path) -> None:
    words = [
        "clusters",
        "xdc",
        "--round",
        "1",
        "--nearest",
        "2",
        "--results",
        results[0],
        "--output",
        tmp_path / "page",
    ]
    done = CliRunner().invoke(app, [*map(str, words), "--data-root", str(files)])
    assert done.exit_code == 0, done.output
    assert f"clusters {tmp_path / 'page' / 'index.html'} (" in done.output
    text = (tmp_path / "page" / "index.html").read_text()
    assert results[1]["xdc/1"] in text
    cards = [part.count('class="card') for part in text.split("<article")[1:]]
    assert cards
    assert max(cards) == 3  # the list of cards and two in it


def test_a_folder_that_cannot_be_written(results: Results, files: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text(json.dumps({}))
    with pytest.raises(UserError, match=r"cannot write to .*taken.*--output"):
        write(results, files, tmp_path / "taken")


def test_two_rounds_share_a_page(results: Results, files: Path, tmp_path: Path) -> None:
    words = ["clusters", "xdc", "--round", "1", "--round", "2", "--nearest", "1", "--results", results[0]]
    done = CliRunner().invoke(app, [*map(str, words), "--output", str(tmp_path), "--data-root", str(files)])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "index.html").read_text()
    assert results[1]["xdc/1"] in text and results[1]["xdc/2"] in text
    assert "NMI between both sides" in text and "of the other side" in text


def test_more_than_two_rounds_are_refused(results: Results) -> None:
    words = ["clusters", "xdc", "sdc", "--round", "1", "--round", "2", "--results", str(results[0])]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, UserError)
    assert str(done.exception).startswith("4 rounds are named")


def test_titles_are_those_of_tables_and_datasets(results: Results, files: Path, tmp_path: Path) -> None:
    write(results, files, tmp_path / "gallery", nearest=1)
    text = (tmp_path / "gallery" / "index.html").read_text()
    assert "<bdi>XDC</bdi>" in text and "<bdi>Kinetics</bdi>" in text


def links(page: Path) -> list[str]:
    """Places in a page's links, where a browser follows them."""
    return [link for link in re.findall(r'<a href="([^"#][^"]*)', page.read_text()) if "report" in link]


@pytest.mark.parametrize("order", ["clusters report", "report clusters", "clusters report clusters"])
def test_the_report_is_linked_once_it_is_there(
    results: Results, files: Path, tmp_path: Path, order: str
) -> None:
    folder = tmp_path / "results"
    shutil.copytree(results[0], folder)
    key = results[1]["xdc/2"]
    index, report = folder / "clusters" / key / "index.html", folder / "report"
    for command in order.split():
        if command == "report":
            list(write_report([folder], None, report))
        else:
            write((folder, results[1]), files, index.parent)
        assert not index.exists() or bool(links(index)) == (report / "index.html").exists()
    assert links(index) == ["../../report/index.html", f"../../report/index.html#run-{key}"]
    assert f'id="run-{key}"' in (report / "index.html").read_text(), "there is what is linked to"
    alone = re.sub(r' (href|data-report)="', " ", index.read_text())
    write((folder, results[1]), files, index.parent)
    assert alone == re.sub(r' (href|data-report)="', " ", index.read_text()), "nothing else has changed"


def test_a_report_elsewhere_opens_no_link(results: Results, files: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    shutil.copytree(results[0], folder)
    index = folder / "clusters" / "mine" / "index.html"
    write((folder, results[1]), files, index.parent)
    before = index.read_bytes()
    list(write_report([folder], None, tmp_path / "elsewhere"))
    assert index.read_bytes() == before
    assert links(index) == [] and f"<code>{results[1]['xdc/2']}</code>" in index.read_text()

import pathlib
import re

import pytest

from kzoo import registry

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_of(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def run(page, code):
    exec(compile(code, page.name, "exec"), {"__name__": "__main__"})


@pytest.mark.tensorflow
def test_the_ten_lines_of_the_readme_run_as_they_stand(tmp_path, monkeypatch):
    (code,) = code_of(PAGES[0])
    monkeypatch.chdir(tmp_path)
    run(PAGES[0], code.replace("epochs=2", "epochs=1"))
    assert (tmp_path / "student" / "saved_model.pb").exists()


@pytest.mark.tensorflow
def test_the_code_of_the_page_on_export_writes_what_it_says(tmp_path, monkeypatch, capsys):
    (code,) = code_of(ROOT / "docs" / "export.md")
    monkeypatch.chdir(tmp_path)
    run(ROOT / "docs" / "export.md", code)
    assert (tmp_path / "served" / "1" / "saved_model.pb").exists()
    assert (tmp_path / "small.tflite").stat().st_size > 0
    assert capsys.readouterr().out.count("verified on") == 2


@pytest.mark.filterwarnings("ignore:The teacher .* no better than chance")
def test_the_code_of_the_page_on_distillation_runs():
    page = ROOT / "docs" / "distillation.md"
    run(page, "".join(code_of(page)))


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:The teacher .* no better than chance")
def test_the_code_of_the_page_on_learning_without_a_teacher_runs():
    page = ROOT / "docs" / "without-a-teacher.md"
    run(page, "".join(code_of(page)))


def test_the_page_on_learning_without_a_teacher_names_every_method():
    text = (ROOT / "docs" / "without-a-teacher.md").read_text()
    trainers = [entry.name for entry in registry.entries("trainer") if entry.name != "Distiller"]
    for name in [*trainers, "FilterGrafting", "SnapshotEnsemble"]:
        assert f"| `{name}`" in text, name
        assert f": `{name}`\n" in text, name


def test_the_page_on_distillation_names_every_loss():
    text = (ROOT / "docs" / "distillation.md").read_text()
    for entry in registry.entries("loss"):
        row = rf"\| `{entry.name}` \({entry.aliases[0]}\)"
        assert re.search(row, text), entry.name
        assert f"    {entry.name} " in text, f"no formula of {entry.name}"


def test_the_code_of_the_page_on_checks_passes(capsys):
    (code,) = code_of(ROOT / "docs" / "checks.md")
    run(ROOT / "docs" / "checks.md", code)
    assert "passed" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_readme_leads_to_every_page():
    text = PAGES[0].read_text()
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in text] == []

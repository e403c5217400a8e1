"Every notebook is a test: its cells run from top to bottom as `nbdev_test` runs them."
import runpy
from pathlib import Path
import pytest
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.test import test_nb as run_nb

cfg = get_config()
nbs = cfg.nbs_path.absolute()
drive = runpy.run_path(str(Path(__file__).resolve().parent.parent/'tools'/'drive.py'))['drive']

@pytest.mark.parametrize('path', sorted(p.absolute() for p in nbglob(as_path=True)), ids=lambda p: p.relative_to(nbs).as_posix())
def test_notebook(path, capfd):
    with drive(path.stem): passed, _ = run_nb(path, skip_flags=cfg.tst_flags.split(), basepath=cfg.config_path)
    if not passed: pytest.fail(capfd.readouterr().err, pytrace=False)

"""Every notebook is a test: its cells run from top to bottom as `nbdev_test` runs them.

The tutorials run whole in `test_tutorials.py`; the original road is here as well, for its network is narrower there.
"""
import runpy
from pathlib import Path
import pytest
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.test import test_nb as run_nb

cfg = get_config()
nbs = cfg.nbs_path.absolute()
pages = [o.absolute() for o in nbglob(as_path=True) if o.parent.name != 'tutorials' or o.stem == '00_original']
drive = runpy.run_path(str(Path(__file__).resolve().parent.parent/'tools'/'drive.py'))['drive']

@pytest.mark.parametrize('path', sorted(pages), ids=lambda p: p.relative_to(nbs).as_posix())
def test_notebook(path, capfd):
    with drive(path.stem): passed, _ = run_nb(path, skip_flags=cfg.tst_flags.split(), basepath=cfg.config_path)
    if not passed: pytest.fail(capfd.readouterr().err, pytrace=False)

"TensorFlow speaks up only when something is wrong, and no test opens a window: both must be said before an import."
import os
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('MPLBACKEND', 'Agg')

from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parent.parent

@pytest.fixture
def shared():
    "The folder of real recordings beside the repository; tests that need it are skipped where it is missing"
    path = ROOT.parent/'shared'
    if not path.is_dir(): pytest.skip(f'needs the recordings in ../{path.name}')
    return path

PEAK = '''
def peak(): # kB; what `resource` says begins with the peak of the process that started this one
    return int(next(o for o in open('/proc/self/status') if o.startswith('VmHWM')).split()[1])
'''

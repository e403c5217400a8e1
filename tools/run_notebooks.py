"""Run notebooks in place and store their outputs, which are what the documentation shows.

    python tools/run_notebooks.py                 all of them
    python tools/run_notebooks.py 01_audio index  only these

Cells that `nbdev_test` skips keep the outputs they have. What goes to stderr (progress bars, the chatter of
libraries) is not stored: it changes with every run. Large pictures are made smaller. Plots have no background, and their
writing is a grey that can be read on a white page and on a dark one.
"""
import base64, io, os, re, sys
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from fastcore.xtras import working_directory
from nbdev.clean import nbdev_clean
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.process import extract_directives
from matplotlib import pyplot as plt
import numpy as np
from PIL import Image
from drive import drive

cfg = get_config()
sys.path.insert(0, str(cfg.config_path))
skip_flags = set(cfg.tst_flags.split())

def skipped(cell):
    "Does `nbdev_test` leave this cell alone?"
    if cell.cell_type != 'code' or 'nbdev_export(' in cell.source: return True
    directives = extract_directives(cell, remove=False)
    return directives.get('eval:', [''])[0].lower() == 'false' or bool(skip_flags & directives.keys())

def shrink(png):
    "A large picture in 240 colours, which look the same in a third of the bytes: 112 opaque ones, and 128 of soft edges"
    if len(png) < 60_000: return png
    picture, out = Image.open(io.BytesIO(base64.b64decode(png))).convert('RGBA'), io.BytesIO()
    hard = np.array(picture)[..., 3:] == 255
    few = picture.convert('RGB').quantize(112, dither=Image.Dither.NONE)
    edges = Image.fromarray(np.where(hard, 0, picture).astype('uint8'))
    soft = edges.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    colours = np.array(soft.getpalette('RGBA')).reshape(-1, 4)
    res = Image.fromarray(np.where(hard[..., 0], few, 112 + np.array(soft)).astype('uint8'))
    res = res.convert('P')
    res.putpalette(few.getpalette()[:3*112] + colours[:, :3].ravel().tolist())
    res.save(out, 'png', optimize=True, transparency=bytes([255]*112 + colours[:, 3].tolist()))
    return base64.b64encode(out.getvalue()).decode()

GREY = '#6e6e6e' # 5.1 to 1 on white; nbs/styles.css makes pictures a little brighter in dark mode
INK = 'text.color axes.titlecolor axes.labelcolor axes.edgecolor xtick.color ytick.color legend.labelcolor'.split()
PAPER = ['figure.facecolor', 'axes.facecolor', 'legend.facecolor']

def theme():
    "Plots for white and for dark pages"
    plt.rcParams.update(dict.fromkeys(INK, GREY) | dict.fromkeys(PAPER, 'none'))

PACE = re.compile(r' - \d+m?s - \d+m?s/step') # what Keras says about time

def keep_output(cell):
    cell.outputs = [o for o in cell.get('outputs', []) if o.get('name') != 'stderr']
    for o in cell.outputs:
        if o.get('name') == 'stdout': o['text'] = PACE.sub('', ''.join(o['text'])).splitlines(True)
        if png := o.get('data', {}).get('image/png'): o['data']['image/png'] = shrink(png if isinstance(png, str) else ''.join(png))

def run(path):
    "Execute one notebook from its own folder; at the first error show it and stop, with the file untouched"
    nb, shell = read_nb(path), CaptureShell(path, mpl_format='png') # not retina: a page stays small
    theme()
    for cell in nb.cells:
        if not skipped(cell): cell.outputs = []
    with working_directory(path.parent), drive(path.stem):
        try: shell.run_all(nb, exc_stop=True, preproc=skipped, postproc=keep_output)
        except Exception: sys.exit(shell.prettytb(path))
    write_nb(nb, path)
    nbdev_clean(path)

def main(names):
    paths = {p.stem: p.absolute() for p in sorted(nbglob(as_path=True))}
    if unknown := set(names) - paths.keys(): sys.exit(f"No notebook named {', '.join(unknown)}. There are: {', '.join(paths)}")
    for name in names or paths:
        run(paths[name])
        print('ran', name)

if __name__ == '__main__': main(sys.argv[1:])
